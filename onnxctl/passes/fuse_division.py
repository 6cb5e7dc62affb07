"""Divide instead of multiplying by a reciprocal: x * (1 / y) = x / y.

1 / y is Reciprocal(y), or Div(1, y) with a scalar 1. One rounding less than before: equal within one unit in the last
place, and where 1 / y overflows (y below 1e-38 in float32) x / y may not. Opsets 7 on. Left alone: integers, a
reciprocal that others read too (the division would be done again for each), and 1 itself divided by something of more
dimensions than x, which would shape the result.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.pattern import FLOATS, fuse, is_scalar, keeps_rank, operands

_FIRST_OPSET = 7


def fuse_division(graph: Graph, context: Context) -> int:
    """Fuse reciprocals into divisions; returns how many."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Mul"))


def _fuse(graph: Graph, context: Context, node: NodeProto) -> bool:
    if graph.element_type(node.output[0]) not in FLOATS:
        return False
    for inverse, value in operands(graph, node, "Reciprocal", "Div"):
        if inverse.op_type == "Reciprocal":
            divisor = inverse.input[0]
        elif is_scalar(graph, inverse.input[0], 1.0) and keeps_rank(graph, inverse.input[1], inverse.input[0]):
            divisor = inverse.input[1]
        else:
            continue
        if value != inverse.output[0]:
            return fuse(graph, context, [node, inverse], "Div", [value, divisor])
    return False
