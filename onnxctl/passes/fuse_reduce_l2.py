"""Make one ReduceL2 of the root of a sum of squares.

Sqrt(ReduceSum(x^2)) = Sqrt(ReduceSumSquare(x)) = ReduceL2(x) over the same axes (ONNX operator documentation). The
square may be Mul(x, x) or Pow(x, 2). Equal but for the rounding of the steps. All opsets: axes that ReduceSum has as an
input from 13 on are an attribute of ReduceL2 before 18. Left alone: element types other than float32 and float64, for
which onnxruntime has no kernel, axes that are computed before opset 18, and values inside that others read.
"""

from __future__ import annotations

from onnx import NodeProto, TensorProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, input_name, standard_nodes
from onnxctl.passes.pattern import fuse, is_scalar, keeps_rank, maker
from onnxctl.passes.semantics import stated_axes

_TYPES = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE})
_FIRST_OPSET_WITH_AXES_AS_INPUT = 18


def fuse_reduce_l2(graph: Graph, context: Context) -> int:
    """Fuse roots of sums of squares; returns how many."""
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Sqrt"))


def _fuse(graph: Graph, context: Context, root: NodeProto) -> bool:
    total = maker(graph, root.input[0], "ReduceSum", "ReduceSumSquare")
    if total is None or graph.element_type(root.output[0]) not in _TYPES:
        return False
    if attribute(total, "noop_with_empty_axes", 0):
        context.skip(total, "may reduce nothing where it has no axes")
        return False
    value, squares = total.input[0], list[NodeProto]()
    if total.op_type == "ReduceSum":
        square = maker(graph, value, "Mul", "Pow")
        if square is None or not _is_square(graph, square):
            return False
        value, squares = square.input[0], [square]
    inputs, attributes = [value], {"keepdims": attribute(total, "keepdims", 1)}
    if graph.opset() >= _FIRST_OPSET_WITH_AXES_AS_INPUT:
        inputs += filter(None, [input_name(total, 1)])
    else:
        axes = stated_axes(graph, total)
        if axes is None:
            context.skip(total, "its axes are computed")
            return False
        attributes |= {"axes": axes} if axes else {}
    return fuse(graph, context, [root, total, *squares], "ReduceL2", inputs, attributes)


def _is_square(graph: Graph, node: NodeProto) -> bool:
    first, second = node.input
    if node.op_type == "Mul":
        return first == second
    return is_scalar(graph, second, 2.0) and keeps_rank(graph, first, second)
