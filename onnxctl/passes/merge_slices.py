"""Slice once where a slice is sliced: Slice(Slice(x, a), b) = Slice(x, c).

Along axes that only one of the two names, c takes what that one takes. Along an axis both name, c takes the positions
that b takes of those a takes: worked out where the size is known, or where both count from the front without a step
in a. Exact. All opsets. The first goes only with its last reader, so all its readers have to be Slices that can be
merged. Left alone: computed bounds; steps before opset 10, which has none; bounds that would be larger than what
they replace.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, freed_bytes, standard_nodes, written_bytes
from onnxctl.passes.semantics import Cut, add_slice, cut_along, cuts_of, slice_bytes

_LARGEST_INTEGER = 2**63 - 1


def merge_slices(graph: Graph, context: Context) -> int:
    """Let Slices of a Slice cut the first one's input; returns how many Slices went."""
    found = 0
    for node in standard_nodes(graph, "Slice"):
        readers = graph.consumers(node.output[0])
        if graph.is_output(node.output[0]) or not readers or not all(is_standard(each, "Slice") for each in readers):
            continue
        if node.output[0] in context.pinned:
            continue
        if any(name == node.output[0] for reader in readers for name in list(reader.input)[1:]):
            continue
        merged = [_merged(graph, node, reader) for reader in readers]
        if any(cuts is None for cuts in merged):
            context.skip(node, "bounds or sizes of the Slices on it are not known")
            continue
        known = [cuts for cuts in merged if cuts is not None]
        if not _affords(graph, context, node, readers, known):
            context.skip(node, "bounds to write down would be larger than what they replace")
            continue
        for reader, cuts in zip(readers, known, strict=True):
            add_slice(graph, node.input[0], reader.output[0], cuts, before=reader)
            graph.remove(reader)
        graph.remove(node)
        found += 1
    return found


def _affords(
    graph: Graph, context: Context, node: NodeProto, readers: list[NodeProto], merged: list[dict[int, Cut]]
) -> bool:
    going = [node, *readers]
    bounds = [name for each in going for name in each.input[1:]]
    freed = written_bytes(*going) + freed_bytes(graph, context, bounds, *going)
    added = sum(
        slice_bytes(graph, node.input[0], reader.output[0], cuts, reader.name)
        for reader, cuts in zip(readers, merged, strict=True)
    )
    return context.afford(added, freed)


def _merged(graph: Graph, first: NodeProto, second: NodeProto) -> dict[int, Cut] | None:
    inner, outer = cuts_of(graph, first), cuts_of(graph, second)
    if inner is None or outer is None or any(each.ref_attr_name for each in second.attribute):
        return None
    shape = graph.shape_of(first.input[0])
    both = inner | outer
    for axis in inner.keys() & outer.keys():
        size = shape[axis] if shape is not None and axis < len(shape) else None
        cut = _composed(inner[axis], outer[axis], size if isinstance(size, int) else None)
        if cut is None:
            return None
        both[axis] = cut
    return both


def _composed(inner: Cut, outer: Cut, size: int | None) -> Cut | None:
    if size is not None:
        whole = inner.positions(size)
        part = outer.positions(len(whole))
        start, end = (whole.start + bound * whole.step for bound in (part.start, part.stop))
        return cut_along(range(start, end, whole.step * part.step))
    if min(inner.start, inner.end, outer.start, outer.end, outer.step) < 0 or inner.step != 1:
        return None
    return Cut(min(inner.start + outer.start, _LARGEST_INTEGER), min(inner.end, inner.start + outer.end), outer.step)
