"""Types and shapes of every value: onnx's own shape inference on the skeleton, in a child process.

The C++ code of shape inference crashes or hangs on some hostile models, hence the child. What it finds goes to
`Graph.inferred` of each scope and never into the model, so that a saved model gains nothing by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx
from onnx import GraphProto, ModelProto, ValueInfoProto

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import CorruptModel, MachineError, ModelError
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import Model
from onnxctl.model.propagation import Propagation, propagate
from onnxctl.reports import JSON

INFERENCE_TIMEOUT_S = 60.0
"""Shape inference of the largest graphs we know takes two seconds; what takes longer will not end."""


def infer_types(graphs: ModelGraphs, child: Child, *, timeout_s: float = INFERENCE_TIMEOUT_S) -> str:
    """Fill `Graph.inferred` of the top graph and its subgraphs; returns why it could not, or "" when it could.

    Function bodies get no types: they have none of their own. Never raises for what the model does to the C++ code.
    """
    graphs.commit()
    data = graphs.model.proto.SerializeToString()
    try:
        _, blobs = child.call(
            "onnxctl.model.shapes:infer_in_child", {}, [data], timeout_s=timeout_s, doing="shape inference"
        )
    except (ModelError, MachineError) as error:
        return error.message
    for scope, blob in zip(graphs.top.walk(), blobs, strict=True):
        values = GraphProto.FromString(bytes(blob)).value_info
        scope.inferred = {value.name: value.type for value in values if value.HasField("type")}
    return ""


def sharpen_types(graphs: ModelGraphs) -> Propagation:
    """Add to `Graph.inferred` what symbolic propagation finds beyond it, and return all that it finds.

    Sizes that follow from the model's symbols are written out as dim_param ("batch*seq"): equal texts are equal sizes.
    So is a number that no dim_value holds.
    """
    found = propagate(graphs)
    for scope in graphs.scopes():
        facts = found.of(scope)
        if facts is None:
            continue
        for name, fact in facts.facts.items():
            if fact.kind != "tensor" or fact.dtype is None or fact.shape is None or scope.is_input(name):
                continue
            if scope.static_shape(name) is None or scope.element_type(name) is None:
                dims = [int(dim) if isinstance(dim, int) and abs(dim) < 2**63 else str(dim) for dim in fact.shape]
                scope.inferred[name] = onnx.helper.make_tensor_type_proto(fact.dtype, dims)
    return found


def infer_in_child(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """The child's side of `infer_types`: one GraphProto with nothing but value_info for each scope, outer first.

    What the model states of values in between is false in many a model whose input shapes were edited, so inference
    starts from the inputs alone. Only what it finds no type for is taken as stated, and inference done once more.
    """
    model = ModelProto.FromString(bytes(blobs[0]))
    stated = [_take_types(graph) for graph in _scopes(model.graph)]
    inferred = _infer(model)
    if _restore_types(model, inferred, stated):
        inferred = _infer(model)
    return {}, [_only_types(graph).SerializeToString() for graph in _scopes(inferred.graph)]


def _infer(model: ModelProto) -> ModelProto:
    try:
        inferred = onnx.shape_inference.infer_shapes(model.SerializeToString(), data_prop=True)
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
        raise CorruptModel(f"shape inference refused the model: {error}") from error
    assert isinstance(inferred, ModelProto)
    return inferred


def _take_types(graph: GraphProto) -> dict[str, ValueInfoProto]:
    """Take the types of values in between, and the shapes of outputs, out of the graph."""
    stated = {value.name: value for value in graph.value_info}
    del graph.value_info[:]
    for value in graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    return stated


def _restore_types(model: ModelProto, inferred: ModelProto, stated: Sequence[dict[str, ValueInfoProto]]) -> int:
    """Put those stated types back that inference found nothing for; how many."""
    count = 0
    for graph, found, types in zip(_scopes(model.graph), _scopes(inferred.graph), stated, strict=True):
        known = {value.name for value in (*found.value_info, *found.output) if value.type.WhichOneof("value")}
        missing = [value for name, value in types.items() if name not in known]
        graph.value_info.extend(missing)
        count += len(missing)
    return count


def _scopes(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and those inside it, in the order of `Graph.walk`."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _scopes(attribute.g)
            for inner in attribute.graphs:
                yield from _scopes(inner)


def _only_types(graph: GraphProto) -> GraphProto:
    types = GraphProto()
    types.value_info.extend(graph.value_info)
    types.value_info.extend(graph.output)
    return types


def state_input_shapes(model: Model, shapes: Mapping[str, Sequence[int]]) -> None:
    """Write down, in the model in memory, the shapes that its inputs were seen to have."""
    for value in model.proto.graph.input:
        shape = shapes.get(value.name)
        if shape is not None and value.type.HasField("tensor_type"):
            del value.type.tensor_type.shape.dim[:]
            value.type.tensor_type.shape.SetInParent()
            for size in shape:
                value.type.tensor_type.shape.dim.add(dim_value=size)
