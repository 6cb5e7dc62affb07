"""Constants computed by onnxruntime's own kernels, in a child process: what native code can't compute is left alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnx import ModelProto, NodeProto, TensorProto

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import ChildCrashed, ModelError, ResourceLimit
from onnxctl.reports import JSON

EVALUATION_TIMEOUT_S = 60.0


def evaluate_in_child(
    child: Child, model: ModelProto, *, timeout_s: float = EVALUATION_TIMEOUT_S
) -> tuple[list[TensorProto | None], str]:
    """The outputs of a small model without inputs, in order: None for one that can't be had, and the reason if so.

    A crash or a time-out of native code gives None for all of them; the child is fit for the next call.
    """
    try:
        answer, blobs = child.call(
            "onnxctl.runtime.evaluate:evaluate",
            {},
            [model.SerializeToString()],
            timeout_s=timeout_s,
            doing="the folding of constants",
        )
    except (ChildCrashed, ResourceLimit, ModelError) as error:
        return [None] * len(model.graph.output), error.message
    parts = iter(blobs)
    tensors = [None if reason else TensorProto.FromString(bytes(next(parts))) for reason in answer]
    return tensors, next((reason for reason in answer if reason), "")


def evaluate(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: run blob 0, a ModelProto without inputs, as it stands.

    Answers one reason per output, "" where it was computed, and the computed ones as TensorProtos.
    """
    model = ModelProto.FromString(bytes(blobs[0]))
    names = [value.name for value in model.graph.output]
    values, reasons = _computed(model, names)
    parts: list[bytes] = []
    for index, value in enumerate(values):
        if reasons[index]:
            continue
        tensor = _tensor(names[index], value)
        if tensor is None:
            reasons[index] = f"{names[index]!r} is no tensor"
        else:
            parts.append(tensor)
    return reasons, parts


def _computed(model: ModelProto, names: Sequence[str]) -> tuple[list[object], list[str]]:
    """The values and the reasons. Where the whole fails, each output by itself: what fails costs only what needs it."""
    from onnxctl.runtime.session import SessionSettings, open_session

    try:
        session = open_session(
            model.SerializeToString(), SessionSettings(graph_optimization="disable"), path="a constant expression"
        )
        return list(session.run({})), [""] * len(names)
    except (ModelError, ResourceLimit) as error:
        if len(names) == 1:
            return [None], [error.message]
    alone = [_computed(_only(model, name), [name]) for name in names]
    return [values[0] for values, _ in alone], [reasons[0] for _, reasons in alone]


def _only(model: ModelProto, output: str) -> ModelProto:
    """The model with one of its outputs and the nodes that it needs."""
    needed, kept = {output}, []
    for node in reversed(model.graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(_names_read(node))
            kept.append(node)
    part = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
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


def _tensor(name: str, value: object) -> bytes | None:
    import numpy as np
    from onnx import numpy_helper

    if not isinstance(value, np.ndarray):
        return None
    if value.dtype != object:
        return bytes(numpy_helper.from_array(value, name).SerializeToString())
    texts = [text.encode("utf-8", "surrogateescape") for text in value.reshape(-1).tolist()]
    tensor = TensorProto(name=name, data_type=TensorProto.STRING, dims=value.shape, string_data=texts)
    return tensor.SerializeToString()
