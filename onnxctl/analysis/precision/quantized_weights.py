"""Which stored tensors are quantized weights, which are the scales and zero points of such, and how many a byte holds.

Positions of inputs as in https://onnx.ai/onnx/operators and, for com.microsoft,
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from onnx import NodeProto

from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.nodes import attribute
from onnxctl.model.tensors import Tensor, dtype_name
from onnxctl.reports import WeightRole


class Stored(NamedTuple):
    """What quantization makes of a stored tensor.

    bits are those of one weight where several share a byte, weight_count then says how many weights there are; else 0.
    """

    role: WeightRole
    bits: int = 0
    weight_count: int = 0


_PACKED: dict[str, tuple[str, tuple[int, ...]]] = {
    "MatMulNBits": ("bits", (1,)),
    "MatMulBnb4": ("", (1,)),
    "MatMulFpQ4": ("", (1,)),
    "GatherBlockQuantized": ("bits", (0,)),
    "QMoE": ("expert_weight_bits", (2, 5, 8)),
}
"""Operators that unpack weights of a few bits while they compute: the attribute with the bits, and the inputs."""

_BYTE = 8
_PACKED_BITS = 4
"""Where no attribute says otherwise."""

_SCALES: dict[str, tuple[int, ...]] = {
    "DequantizeLinear": (1, 2),
    "QuantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QLinearAdd": (1, 2, 4, 5, 6, 7),
    "QLinearMul": (1, 2, 4, 5, 6, 7),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "QAttention": (3, 4, 6, 7),
    "MatMulInteger": (2, 3),
    "ConvInteger": (2, 3),
    "MatMulIntegerToFloat": (2, 3, 4, 5),
    "DynamicQuantizeMatMul": (2, 3),
    "DynamicQuantizeLSTM": (8, 9, 10, 11),
    "MatMulNBits": (2, 3),
    "MatMulBnb4": (2,),
    "GatherBlockQuantized": (2, 3),
    "QMoE": (3, 6, 9, 11, 12, 13),
}
"""The inputs that are scales and zero points."""

_UNARY_SCALES = (1, 2, 3, 4)
"""Those of QLinearSigmoid, QLinearGlobalAveragePool and what else quantizes one input."""


def is_packed(node: NodeProto) -> bool:
    """Whether the operator unpacks weights of a few bits while it computes."""
    return node.domain == "com.microsoft" and node.op_type in _PACKED


def packed_bits(node: NodeProto, position: int = 0) -> int:
    """The bits of one weight of such an operator, of this input where they differ: QMoE has three layers."""
    bits = attribute(node, _PACKED[node.op_type][0], _PACKED_BITS)
    if node.op_type == "QMoE":
        bits = attribute(node, f"fc{position // 3 + 1}_expert_weight_bits", bits)
    return bits if isinstance(bits, int) and bits > 0 else _PACKED_BITS


def is_quantized_operator(node: NodeProto) -> bool:
    """Whether the operator computes on quantized numbers itself."""
    name = node.op_type
    return name.startswith(("QLinear", "QGemm", "QAttention", "DynamicQuantize")) or "Integer" in name


def factors(node: NodeProto) -> tuple[int, int]:
    """The inputs that a quantized operator multiplies."""
    return (0, 3) if node.op_type.startswith(("QLinear", "QGemm")) else (0, 1)


def quantized_tensors(graphs: ModelGraphs) -> dict[tuple[str, str], Stored]:
    """The stored tensors that quantized nodes read, by scope and name. What is a weight to one node stays one."""
    found: dict[tuple[str, str], Stored] = {}
    for scope in graphs.scopes():
        for node in scope.nodes:
            if is_packed(node) or is_quantized_operator(node) or "uantize" in node.op_type:
                for key, stored in _tensors_of(scope, node):
                    if stored.role == "weight" or key not in found:
                        found[key] = stored
    return found


def _tensors_of(scope: Graph, node: NodeProto) -> Iterator[tuple[tuple[str, str], Stored]]:
    scales, weights = _positions(node)
    for position, name in enumerate(node.input):
        owner, tensor = scope.scope_of(name), scope.constant(name) if name else None
        if owner is None or tensor is None:
            continue
        if position in scales:
            yield (owner.path, name), Stored("scale")
        elif (weights is None or position in weights) and _is_narrow(dtype_name(tensor.proto.data_type)):
            yield (owner.path, name), _weight(node, position, tensor)


def _weight(node: NodeProto, position: int, tensor: Tensor) -> Stored:
    if not is_packed(node) or node.op_type == "MatMulFpQ4" or tensor.dtype.bits != _BYTE:
        return Stored("weight")  # of MatMulFpQ4, scales lie among the weights
    bits = packed_bits(node, position)
    whole = attribute(node, "K", 0), attribute(node, "N", 0)
    count = tensor.element_count * _BYTE // bits
    if node.op_type.startswith("MatMul") and all(isinstance(each, int) and each > 0 for each in whole):
        count = min(count, whole[0] * whole[1])  # the last block of a row is filled up
    return Stored("weight", bits, count)


def _positions(node: NodeProto) -> tuple[Sequence[int], Sequence[int] | None]:
    """The inputs that are scales and zero points, and those that are weights; None: all others."""
    if node.op_type == "QLinearConcat":
        return [0, 1, *(at for at in range(2, len(node.input)) if at % 3 != 2)], None
    default = _UNARY_SCALES if node.op_type.startswith("QLinear") else ()
    weights = _PACKED[node.op_type][1] if is_packed(node) else (0,) if node.op_type == "DequantizeLinear" else None
    return _SCALES.get(node.op_type, default), weights


def _is_narrow(dtype: str) -> bool:
    """Whether a weight of this type is a quantized one; biases are, in 32 bits."""
    return dtype.startswith(("int", "uint", "float8", "float4", "float6")) and "64" not in dtype
