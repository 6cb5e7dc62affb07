"""Let onnxsim, a foreign optimizer, work on the skeleton of a model: in a child, without weights, never on a path.

onnxsim follows external data anywhere and zero-fills what is broken, so it gets no file. It gets the graph alone:
every large weight stands in it as an input of the weight's type and shape (which is why onnxsim can't copy or fold
one), and so does every initializer that a caller can override, which onnxsim would take for a constant. Of what comes
back only nodes and small constants are taken over; inputs, outputs, opset imports, metadata and all else stay as they
are, and the stand-ins become the weights again.

The result is taken only if it is valid, has fewer nodes, is no larger, and brings no domain that the model does not
use. Left alone are models with functions, sparse initializers, quantization annotations, training information, and
large weights inside of subgraphs or attributes, since what onnxsim makes of those can't be mapped back with
certainty.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import onnx
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import ChildCrashed, CorruptModel, MissingPackage, ModelError, ResourceLimit
from onnxctl.model import wire
from onnxctl.model.loading import Model, tensors_of_model
from onnxctl.model.nodes import plain_domain
from onnxctl.model.saving import saved_bytes
from onnxctl.passes.effects import nodes_within, pinned_names
from onnxctl.reports import JSON, PassOutcome, Refusal

NAME = "simplify_with_onnxsim"

ONNXSIM_TIMEOUT_S = 300.0

FOLDING_LIMIT = "16MB"
"""What onnxsim may fold at most into one constant; it takes the limit as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simplification:
    """What onnxsim did: rewrite_count is how many nodes went; refusal says why nothing was taken."""

    outcome: PassOutcome
    refusal: Refusal | None = None


def simplify_with_onnxsim(model: Model, child: Child, *, timeout_s: float = ONNXSIM_TIMEOUT_S) -> Simplification:
    """Put what onnxsim makes of the model's graph in its place if it is better; Graphs over the model are void then.

    Raises MissingPackage where onnxsim is not installed; whatever else it does wrong is a refusal.
    """
    started = time.perf_counter_ns()
    found, reason = 0, _obstacle(model)
    if not reason:
        found, reason = _attempt(model, child, timeout_s)
    outcome = PassOutcome(name=NAME, rewrite_count=found, elapsed_ns=time.perf_counter_ns() - started)
    return Simplification(
        outcome=outcome, refusal=Refusal(pass_name=NAME, reason=reason, where="the model") if reason else None
    )


def _obstacle(model: Model) -> str:
    """Why the model can't be given to onnxsim and mapped back, or ""."""
    proto = model.proto
    if proto.functions:
        return "the model has functions of its own"
    if proto.graph.sparse_initializer:
        return "the model has sparse initializers"
    if proto.training_info or pinned_names(proto):
        return "annotations or training information refer to values by name"
    large = {tensor.name for tensor in proto.graph.initializer if model.payload(tensor) is not None}
    if sum(model.payload(tensor) is not None for tensor in tensors_of_model(proto)) != len(large):
        return "an attribute or a subgraph holds a large weight, or two large weights have one name"
    inner = (each for node in proto.graph.node for each in islice(nodes_within([node]), 1, None))
    if any(not large.isdisjoint(node.input) for node in inner):
        return "a subgraph reads a large weight"
    return ""


def _attempt(model: Model, child: Child, timeout_s: float) -> tuple[int, str]:
    try:
        _, blobs = child.call(
            "onnxctl.passes.simplify_with_onnxsim:run_onnxsim",
            {},
            [_without_weights(model).SerializeToString()],
            timeout_s=timeout_s,
            doing="onnxsim",
        )
    except (ChildCrashed, ResourceLimit, ModelError) as error:
        return 0, error.message
    result = ModelProto.FromString(bytes(blobs[0]))
    before = _node_count(model.proto)
    reason = _flaw(model.proto, result)
    if reason:
        return 0, reason
    if _node_count(result) >= before:
        return 0, "onnxsim found nothing to remove"
    original, original_bytes = GraphProto(), saved_bytes(model)
    original.CopyFrom(model.proto.graph)
    _take_over(model, result.graph)
    if saved_bytes(model) > original_bytes:
        model.proto.graph.CopyFrom(original)
        return 0, "what onnxsim made is larger: the file may not grow"
    return before - _node_count(model.proto), ""


def _node_count(model: ModelProto) -> int:
    return sum(1 for _ in nodes_within(model.graph.node))


# ---------------------------------------------------------------- there


def _without_weights(model: Model) -> ModelProto:
    """A copy in which what is no small constant is an input."""
    copy = ModelProto()
    copy.CopyFrom(model.proto)
    graph = copy.graph
    inputs = {value.name for value in graph.input}
    constant = [tensor for tensor in model.proto.graph.initializer if _is_constant(model, tensor, inputs)]
    for tensor in graph.initializer:
        if model.payload(tensor) is not None and tensor.name not in inputs:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    del graph.initializer[:]
    graph.initializer.extend(constant)
    del graph.value_info[:]
    return copy


def _is_constant(model: Model, tensor: TensorProto, inputs: set[str]) -> bool:
    return model.payload(tensor) is None and tensor.name not in inputs


def run_onnxsim(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: what onnxsim makes of blob 0, a ModelProto; checked by onnx."""
    try:
        import onnxsim  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingPackage(
            f"onnxsim can't be imported: {error}", hint='install it with: pip install "onnxctl[onnxsim]"'
        ) from error
    try:
        result, _ = onnxsim.simplify(
            ModelProto.FromString(bytes(blobs[0])),
            check_n=0,
            certify=False,
            import_custom_schemas=False,
            tensor_size_threshold=FOLDING_LIMIT,
        )
        onnx.checker.check_model(result)
    except MemoryError:
        raise
    except Exception as error:
        raise CorruptModel(f"onnxsim failed: {type(error).__name__}: {error}") from error
    return {}, [result.SerializeToString()]


# ---------------------------------------------------------------- and back again


def _flaw(original: ModelProto, result: ModelProto) -> str:
    """Why the result can't take the original's place, or ""."""
    if _domains(result) - _domains(original):
        return f"onnxsim uses operators of {', '.join(sorted(_domains(result) - _domains(original)))}"
    if _opsets(result) != _opsets(original):
        return "onnxsim changed the opset imports"
    if result.functions or result.graph.sparse_initializer:
        return "onnxsim added functions or sparse initializers"
    made = {name for node in result.graph.node for name in node.output}
    made |= {value.name for value in original.graph.input} | {tensor.name for tensor in result.graph.initializer}
    made |= {tensor.name for tensor in original.graph.initializer}
    missing = [value.name for value in original.graph.output if value.name not in made]
    return f"onnxsim lost the output {missing[0]!r}" if missing else ""


def _domains(model: ModelProto) -> set[str]:
    return {plain_domain(node.domain) for node in nodes_within(model.graph.node)}


def _opsets(model: ModelProto) -> dict[str, int]:
    return {plain_domain(each.domain): each.version for each in model.opset_import}


def _take_over(model: Model, result: GraphProto) -> None:
    """Put the nodes and constants of the result in the model's graph; weights and overridable initializers stay."""
    graph = model.proto.graph
    inputs = {value.name for value in graph.input}
    makers = {name: node.op_type for node in graph.node for name in node.output}
    weights = [tensor for tensor in graph.initializer if not _is_constant(model, tensor, inputs)]
    taken = inputs | {tensor.name for tensor in weights}
    constants = [_stored(model, tensor) for tensor in result.initializer if tensor.name not in taken]
    made = {(name, node.op_type) for node in result.node for name in node.output}
    types = [value for value in graph.value_info if (value.name, makers.get(value.name)) in made]
    replacement = GraphProto(node=result.node, initializer=[*weights, *constants], value_info=types)
    for field in ("node", "initializer", "value_info"):
        graph.ClearField(field)
    graph.MergeFrom(replacement)


def _stored(model: Model, tensor: TensorProto) -> TensorProto:
    """The constant as a tensor of the model; a large one goes to disk."""
    if tensor.data_type == TensorProto.STRING or tensor.ByteSize() < wire.PAYLOAD_THRESHOLD_BYTES:
        return tensor
    return model.new_tensor(tensor.name, numpy_helper.to_array(tensor))
