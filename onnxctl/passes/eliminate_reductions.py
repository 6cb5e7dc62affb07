"""Remove reductions over axes of size 1: there is nothing to add up.

ReduceSum, ReduceMean, ReduceMax, ReduceMin and ReduceProd of x over axes of size 1 are x with keepdims = 1, and
Squeeze(x) over these axes with keepdims = 0. Exact. Sizes known or symbolic, all opsets. Left alone: axes that are
computed; ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum and ReduceLogSumExp, which change single values too; sums
and means of floats, which begin with 0.0 (see `eliminate_add_zero`).
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.arrays import numpy_dtype
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, bypass, standard_nodes, written_bytes
from onnxctl.passes.semantics import add_integers, integers_bytes, normalized, stated_axes

_SUMS = ("ReduceSum", "ReduceMean")
_OTHERS = ("ReduceMax", "ReduceMin", "ReduceProd")
_FIRST_OPSET_WITH_AXES_AS_INPUT = 13


def eliminate_reductions(graph: Graph, context: Context) -> int:
    """Replace reductions that reduce nothing; returns how many."""
    nodes = standard_nodes(graph, *_SUMS, *_OTHERS)
    return sum(_replace(graph, context, node) for node in nodes if not _adds_floats(graph, node))


def eliminate_sums_of_one_float(graph: Graph, context: Context) -> int:
    """Replace those that `eliminate_reductions` leaves alone because -0.0 becomes 0.0 there; returns how many."""
    return sum(_replace(graph, context, node) for node in standard_nodes(graph, *_SUMS) if _adds_floats(graph, node))


def _adds_floats(graph: Graph, node: NodeProto) -> bool:
    element_type = graph.element_type(node.input[0])
    return node.op_type in _SUMS and (element_type is None or numpy_dtype(element_type).kind not in "iu")


def _replace(graph: Graph, context: Context, node: NodeProto) -> bool:
    axes = _axes(graph, context, node)
    if axes is None:
        return False
    if not axes or attribute(node, "keepdims", 1):
        return bypass(graph, context, node, node.input[0])
    return _squeeze(graph, context, node, axes)


def _axes(graph: Graph, context: Context, node: NodeProto) -> tuple[int, ...] | None:
    """The axes it reduces, if all of them have size 1; () where it reduces none at all."""
    shape, stated = context.fact(graph, node.input[0]).shape, stated_axes(graph, node)
    if shape is None or stated is None:
        return None
    if not stated and attribute(node, "noop_with_empty_axes", 0):
        return ()
    axes = normalized(stated, len(shape)) if stated else tuple(range(len(shape)))
    return axes if axes and all(shape[axis] == 1 for axis in axes) else None


def _squeeze(graph: Graph, context: Context, node: NodeProto, axes: tuple[int, ...]) -> bool:
    inputs, attributes = [name for name in node.input if name], {}
    if graph.opset() < _FIRST_OPSET_WITH_AXES_AS_INPUT:
        attributes["axes"] = sorted(axes)
    elif attribute(node, "axes"):  # with its own axes as input, or without any, Squeeze does the same
        made = NodeProto(op_type="Squeeze", input=inputs, output=node.output, name=node.name or None)
        if not context.afford(written_bytes(made) + integers_bytes(graph, len(axes), near="axes"), written_bytes(node)):
            context.skip(node, "the axes would make the model larger")
            return False
        inputs.append(add_integers(graph, sorted(axes), near="axes", before=node))
    graph.add_node("Squeeze", inputs, [node.output[0]], before=node, name=node.name, attributes=attributes)
    graph.remove(node)
    return True
