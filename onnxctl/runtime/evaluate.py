"""Constants computed by onnxruntime's own kernels, in a child process: what native code can't compute is left alone.

The child knows nothing of protobuf, so that it is ready as soon as onnxruntime is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import ChildCrashed, ModelError, ResourceLimit
from onnxctl.reports import JSON

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

EVALUATION_TIMEOUT_S = 60.0


def evaluate_in_child(
    child: Child, model: ModelProto, *, timeout_s: float = EVALUATION_TIMEOUT_S
) -> tuple[list[TensorProto | None], str]:
    """The outputs of a small model without inputs, in order: None for one that can't be had, and the reason if so.

    Where the model is refused or fails each output is computed by itself: what fails costs only what needs it. Where
    native code crashes, takes too long or too much memory none can be had; the child is fit for the next call.
    """
    outputs = list(model.graph.output)
    try:
        return [_tensor(*each) for each in _computed(child, model, timeout_s)], ""
    except (ChildCrashed, ResourceLimit) as error:
        return [None] * len(outputs), error.message
    except ModelError as error:
        if len(outputs) <= 1:
            return [None] * len(outputs), error.message
    found: list[TensorProto | None] = []
    first_reason = ""
    for output in outputs:
        tensors, reason = evaluate_in_child(child, _only(model, output.name), timeout_s=timeout_s)
        found += tensors
        first_reason = first_reason or reason
    return found, first_reason


def _computed(child: Child, model: ModelProto, timeout_s: float) -> Iterator[tuple[str, JSON, Blob]]:
    """Name, description and bytes of each output."""
    answer, blobs = child.call(
        "onnxctl.runtime.evaluate:evaluate",
        {},
        [model.SerializeToString()],
        timeout_s=timeout_s,
        doing="the folding of constants",
    )
    names = [value.name for value in model.graph.output]
    return zip(names, answer, blobs, strict=True)


def _tensor(name: str, described: JSON, data: Blob) -> TensorProto:
    import numpy as np
    from onnx import TensorProto

    from onnxctl.model.arrays import new_inline_tensor

    if described["dtype"] == "object":
        texts = [text.encode("utf-8", "surrogateescape") for text in described["texts"]]
        return TensorProto(name=name, data_type=TensorProto.STRING, dims=described["shape"], string_data=texts)
    try:
        dtype = np.dtype(described["dtype"])
    except TypeError:
        import onnx.helper  # with it comes ml_dtypes, which tells numpy of its types  # noqa: F401

        dtype = np.dtype(described["dtype"])
    return new_inline_tensor(name, np.frombuffer(data, dtype).reshape(described["shape"]))


def _only(model: ModelProto, output: str) -> ModelProto:
    """The model with one of its outputs and the nodes that it needs."""
    needed, kept = {output}, []
    for node in reversed(model.graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(_names_read(node))
            kept.append(node)
    part = type(model)(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    part.graph.name = model.graph.name
    part.graph.node.extend(reversed(kept))
    part.graph.output.extend([value for value in model.graph.output if value.name == output][:1])
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in needed)
    return part


def _names_read(node: NodeProto) -> Iterator[str]:
    """The values a node reads, those that its subgraphs may read from outside included."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _names_read(inner)
            yield from (value.name for value in graph.output)


# ---------------------------------------------------------------- the child's side


def evaluate(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: run blob 0, a serialized ModelProto without inputs, as it stands.

    Answers shape and numpy's name of the type for each output, with its bytes; for strings, which have none, the texts.
    Raises UnsupportedModel where one is no tensor, ModelError or ResourceLimit where the model can't be run.
    """
    from onnxctl.runtime.session import SessionSettings, open_session

    settings = SessionSettings(graph_optimization="disable")
    session = open_session(bytes(blobs[0]), settings, path="a constant expression")
    described = [_describe(each.name, value) for each, value in zip(session.outputs, session.run({}), strict=True)]
    return [each for each, _ in described], [data for _, data in described]


def _describe(name: str, value: object) -> tuple[JSON, bytes]:
    import numpy as np

    from onnxctl.errors import UnsupportedModel

    if not isinstance(value, np.ndarray):
        raise UnsupportedModel(f"{name!r} is no tensor")
    described: JSON = {"dtype": value.dtype.name, "shape": value.shape}
    if value.dtype == object:
        return {**described, "texts": value.reshape(-1).tolist()}, b""
    return described, value.tobytes()
