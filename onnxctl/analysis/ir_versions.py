"""The lowest IR version that knows everything a model is made of.

Source: the comments beside the versions in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from onnx import GraphProto, ModelProto, TensorProto

from onnxctl.analysis.scopes import walk_scopes
from onnxctl.analysis.types import element_types
from onnxctl.model.loading import tensors_of_model
from onnxctl.model.tensors import dtype_name

_TYPES: dict[int, int] = {
    TensorProto.BFLOAT16: 4,
    TensorProto.FLOAT8E4M3FN: 9,
    TensorProto.FLOAT8E4M3FNUZ: 9,
    TensorProto.FLOAT8E5M2: 9,
    TensorProto.FLOAT8E5M2FNUZ: 9,
    TensorProto.UINT4: 10,
    TensorProto.INT4: 10,
    TensorProto.FLOAT4E2M1: 11,
    TensorProto.FLOAT8E8M0: 12,
    TensorProto.UINT2: 13,
    TensorProto.INT2: 13,
    TensorProto.FLOAT6E2M3: 14,
    TensorProto.FLOAT6E3M2: 14,
}
"""The IR version that brought the element type; 3 for all others."""

_LOWEST = 3
"""The first version with opset_import; onnxruntime takes no older meaning of a model."""


class Need(NamedTuple):
    """An IR version, and what is in the model that needs it."""

    ir_version: int
    reason: str


def lowest_ir_version(proto: ModelProto) -> Need:
    """The lowest IR version that has all fields and element types of the model, and what needs it."""
    return max(_needs(proto), key=lambda need: need.ir_version)


def _needs(proto: ModelProto) -> Iterator[Need]:
    yield Need(_LOWEST, "")
    for number in {tensor.data_type for tensor in tensors_of_model(proto)}:
        yield Need(_TYPES.get(number, _LOWEST), f"tensors of {dtype_name(number)}")
    if proto.training_info:
        yield Need(7, "training_info")
    if proto.functions:
        yield Need(8, "model-local functions")
    for function in proto.functions:
        if function.attribute_proto:
            yield Need(9, "functions' attributes with defaults")
        if function.overload or function.metadata_props or function.value_info:
            yield Need(10, "overloads, metadata or types of functions")
    for scope in walk_scopes(proto):
        if isinstance(scope.body, GraphProto):
            yield from _needs_of_graph(scope.body)
        if any(node.metadata_props or node.overload for node in scope.body.node):
            yield Need(10, "metadata_props of nodes")
        if any(node.device_configurations for node in scope.body.node):
            yield Need(11, "device configurations")


def _needs_of_graph(graph: GraphProto) -> Iterator[Need]:
    inputs = {value.name for value in graph.input}
    if any(tensor.name not in inputs for tensor in graph.initializer):
        yield Need(4, "initializers that are no inputs")
    if graph.quantization_annotation:
        yield Need(5, "quantization annotations")
    if graph.sparse_initializer:
        yield Need(6, "sparse initializers")
    if graph.metadata_props:
        yield Need(10, "metadata_props of the graph")
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.metadata_props:
            yield Need(10, "metadata_props of values")
        kind = value.type.WhichOneof("value")
        if kind in ("sparse_tensor_type", "optional_type"):
            yield Need(8, "optional or sparse values")
        for number in element_types(value.type):
            yield Need(_TYPES.get(number, _LOWEST), f"values of {dtype_name(number)}")
