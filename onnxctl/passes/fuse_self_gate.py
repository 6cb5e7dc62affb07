"""Make one operator of a value multiplied by a gate of itself.

- x * HardSigmoid(x, alpha = 1/6, beta = 0.5) = HardSwish(x), opset 14
- x * Tanh(Softplus(x)) = Mish(x), opset 18
(ONNX operator documentation.) Equal but for the rounding of the steps. Left alone: element types that onnxruntime has
no kernel for, gates that others read, and x * Sigmoid(x): onnxruntime makes one operator of it by itself, which is
faster than its Swish of opset 24 (measured: 2.3 times).
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.pattern import FLOAT_AND_HALF, fuse, is_close, maker, operands

_FIRST_OPSET_WITH_HARD_SWISH = 14
_FIRST_OPSET_WITH_MISH = 18


def fuse_self_gate(graph: Graph, context: Context) -> int:
    """Fuse HardSwish and Mish; returns how many."""
    if graph.opset() < _FIRST_OPSET_WITH_HARD_SWISH:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Mul"))


def _fuse(graph: Graph, context: Context, node: NodeProto) -> bool:
    if graph.element_type(node.output[0]) not in FLOAT_AND_HALF:
        return False
    for gate, value in operands(graph, node, "HardSigmoid", "Tanh"):
        if gate.op_type == "HardSigmoid":
            slope, middle = attribute(gate, "alpha", 0.2), attribute(gate, "beta", 0.5)
            is_standard_gate = is_close(graph, value, slope * 6, 1.0) and is_close(graph, value, middle, 0.5)
            if gate.input[0] == value and is_standard_gate:
                return fuse(graph, context, [node, gate], "HardSwish", [value])
        elif graph.opset() >= _FIRST_OPSET_WITH_MISH:
            inner = maker(graph, gate.input[0], "Softplus")
            if inner is not None and inner.input[0] == value:
                return fuse(graph, context, [node, gate, inner], "Mish", [value])
    return False
