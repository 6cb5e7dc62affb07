"""Join once what is joined piece by piece: Concat of Concat along one axis is one Concat.

Concat(a, Concat(b, c), d) = Concat(a, b, c, d). And a Split that takes apart what a Concat along the same axis has just
put together hands its parts on: Split(Concat(a, b)) = a, b where the sizes are those of a and b. A part that is known
to have no elements is left out. Exact. All opsets. Left alone: an inner Concat that others read too, axes that can't be
compared, sizes that differ.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnx import NodeProto

from onnxctl.model.dimensions import Dimension
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import Context, is_shadowed, standard_nodes
from onnxctl.passes.semantics import split_sizes

_OLD_DEFAULT_AXIS = 1


def merge_concats(graph: Graph, context: Context) -> int:
    """Merge Concats into the Concats that read them and undo Splits of Concats; returns how many nodes went."""
    found = 0
    for node in standard_nodes(graph, "Concat"):
        found += _leave_out_empty(graph, context, node)
        names: list[str] = []
        merged: list[NodeProto] = []
        for name in node.input:
            inner = graph.producer(name)
            if inner is not None and is_standard(inner, "Concat") and _same_axis(graph, inner, node):
                if graph.only_consumer(name) is node:
                    names += inner.input
                    merged.append(inner)
                    continue
                context.skip(node, "others read the inner Concat too")
            names.append(name)
        if merged:
            graph.set_inputs(node, names)
            for inner in merged:
                graph.remove(inner)
            found += len(merged)
    for node in standard_nodes(graph, "Split"):
        found += _undo_split(graph, context, node)
    return found


def _leave_out_empty(graph: Graph, context: Context, node: NodeProto) -> int:
    """Drop the inputs that add nothing along the axis, as long as one is left; returns how many."""
    axis = attribute(node, "axis", _OLD_DEFAULT_AXIS)
    kept = [name for name in node.input if not _is_empty(context.fact(graph, name).shape, axis)]
    dropped = len(node.input) - len(kept)
    if not kept or not dropped:
        return 0
    graph.set_inputs(node, kept)
    return dropped


def _is_empty(shape: Sequence[Dimension] | None, axis: int) -> bool:
    return shape is not None and -len(shape) <= axis < len(shape) and shape[axis] == 0


def _same_axis(graph: Graph, first: NodeProto, second: NodeProto) -> bool:
    axes = [attribute(first, "axis", _OLD_DEFAULT_AXIS), attribute(second, "axis", _OLD_DEFAULT_AXIS)]
    if axes[0] == axes[1]:
        return True
    shape = graph.shape_of(first.output[0] if first.op_type == "Concat" else first.input[0])
    return shape is not None and axes[0] % len(shape) == axes[1] % len(shape)


def _undo_split(graph: Graph, context: Context, node: NodeProto) -> bool:
    joined = graph.producer(node.input[0])
    if joined is None or not is_standard(joined, "Concat") or len(joined.input) != len(node.output):
        return False
    axis = attribute(node, "axis", 0)
    if attribute(joined, "axis", _OLD_DEFAULT_AXIS) != axis:
        return False
    sizes = split_sizes(graph, node)
    shapes = [context.fact(graph, name).shape for name in joined.input]
    if sizes is None or any(shape is None or not -len(shape) <= axis < len(shape) for shape in shapes):
        return False
    if [shape[axis] for shape in shapes if shape is not None] != sizes or any(map(graph.is_output, node.output)):
        context.skip(node, "its parts are not those that were joined, or outputs of the graph")
        return False
    parts = list(zip(node.output, joined.input, strict=True))
    if any(is_shadowed(graph, old, new) for old, new in parts) or not context.pinned.isdisjoint(node.output):
        return False
    graph.remove(node)
    for old, new in parts:
        graph.replace_uses(old, new)
    return True
