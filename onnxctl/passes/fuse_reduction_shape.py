"""Let a reduction leave out the axes it reduces, instead of removing them behind it.

ReduceX(x, axes, keepdims = 1), then a Squeeze, Reshape or Flatten to the shape without those axes, is
ReduceX(x, axes, keepdims = 0). GlobalAveragePool and GlobalMaxPool of x [N, C, D1 ...] are ReduceMean and ReduceMax
over the axes from 2 on (ONNX operator documentation), followed by such a node too. Equal but for the order in which a
kernel sums. Left alone: shapes that are not known well enough, a reduction that others read too, and element types that
onnxruntime has no kernel for.
"""

from __future__ import annotations

from onnx import AttributeProto, NodeProto

from onnxctl.model.attributes import AttributeValue
from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, bypass, standard_nodes
from onnxctl.passes.pattern import FLOAT_AND_HALF, is_private, maker
from onnxctl.passes.semantics import add_integers, normalized, stated_axes

_REDUCTIONS = (
    "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare"
).split()
_POOLINGS = {"GlobalAveragePool": "ReduceMean", "GlobalMaxPool": "ReduceMax"}
_FIRST_OPSET_WITH_AXES_AS_INPUT = 18
_AXES_BYTES = 60


def fuse_reduction_shape(graph: Graph, context: Context) -> int:
    """Fuse reductions with what removes their axes; returns how many nodes went."""
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Squeeze", "Reshape", "Flatten"))


def _fuse(graph: Graph, context: Context, node: NodeProto) -> bool:
    reduction = maker(graph, node.input[0], *_REDUCTIONS, *_POOLINGS)
    if reduction is None:
        return False
    before, after = graph.shape_of(reduction.input[0]), graph.shape_of(node.output[0])
    if before is None or after is None or None in after:
        return False
    axes = _reduced_axes(graph, reduction, len(before))
    if axes is None or tuple(dim for axis, dim in enumerate(before) if axis not in axes) != after:
        return False
    if not is_private(graph, context, [node, reduction]):
        context.skip(node, "the reduction before it is read elsewhere")
        return False
    if reduction.op_type in _POOLINGS:
        return _replace_pooling(graph, context, node, reduction, axes)
    kept = [each for each in reduction.attribute if each.name != "keepdims"]
    if not bypass(graph, context, node, reduction.output[0]):
        return False
    del reduction.attribute[:]
    reduction.attribute.extend(kept)
    reduction.attribute.add(name="keepdims", i=0, type=AttributeProto.INT)
    graph.inferred.pop(reduction.output[0], None)
    return True


def _reduced_axes(graph: Graph, reduction: NodeProto, rank: int) -> tuple[int, ...] | None:
    """The axes that the node reduces to size 1; None where they are not known."""
    if reduction.op_type in _POOLINGS:
        return tuple(range(2, rank))
    if any(each.name == "keepdims" and each.i == 0 for each in reduction.attribute):
        return None
    axes = stated_axes(graph, reduction)
    return normalized(axes, rank) if axes else None


def _replace_pooling(
    graph: Graph, context: Context, node: NodeProto, pooling: NodeProto, axes: tuple[int, ...]
) -> bool:
    if graph.element_type(pooling.output[0]) not in FLOAT_AND_HALF:
        return False
    if not context.afford(_AXES_BYTES + 8 * len(axes), node.ByteSize()):
        context.skip(node, "the axes of a reduction would make the model larger")
        return False
    inputs, attributes = [pooling.input[0]], dict[str, AttributeValue](keepdims=0)
    if graph.opset() >= _FIRST_OPSET_WITH_AXES_AS_INPUT:
        inputs.append(add_integers(graph, axes, near="axes", before=pooling))
    else:
        attributes["axes"] = list(axes)
    graph.add_node(
        _POOLINGS[pooling.op_type], inputs, [node.output[0]], before=node, name=pooling.name, attributes=attributes
    )
    graph.remove(node)
    graph.remove(pooling)
    return True
