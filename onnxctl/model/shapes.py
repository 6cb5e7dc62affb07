"""Types and shapes of every value: onnx's own shape inference on the skeleton, in a child process.

The C++ code of shape inference crashes or hangs on some hostile models, hence the child. What it finds goes to
`Graph.inferred` of each scope and never into the model, so that a saved model gains nothing by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx
from onnx import GraphProto, ModelProto

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import CorruptModel, MachineError, ModelError
from onnxctl.model.graph import ModelGraphs
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


def infer_in_child(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """The child's side of `infer_types`: one GraphProto with nothing but value_info for each scope, outer first."""
    try:
        inferred = onnx.shape_inference.infer_shapes(bytes(blobs[0]), data_prop=True)
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
        raise CorruptModel(f"shape inference refused the model: {error}") from error
    assert isinstance(inferred, ModelProto)
    return {}, [_only_types(graph).SerializeToString() for graph in _scopes(inferred.graph)]


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
