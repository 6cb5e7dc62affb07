"""Slice before a Concat, from the one part that is needed: Slice(Concat(a, b)) = Slice(a) where it takes nothing of b.

A Slice that takes exactly one part is that part. Exact. All opsets; bounds and the sizes along the axis have to be
known. The Concat goes with its last reader, so all its readers have to be such Slices, apart from those that take a
whole part. Left alone: Slices that reach into two parts, and new bounds that would make the model larger.
"""

from __future__ import annotations

from typing import NamedTuple

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, bypass, standard_nodes
from onnxctl.passes.semantics import Cut, add_slice, axis_of, cut_along, cuts_of
from onnxctl.passes.weights import bytes_with_constants

_OLD_DEFAULT_AXIS = 1
_BYTES_PER_SLICE = 150
_BYTES_PER_AXIS = 32
"""What new bounds take: starts, ends, axes and steps, eight bytes each for every axis, and their headers and names."""


class _Share(NamedTuple):
    """A Slice and the part of the Concat that it lies in, with what it takes of that: nothing but all for {}."""

    node: NodeProto
    part: str
    cuts: dict[int, Cut]


def move_slices(graph: Graph, context: Context) -> int:
    """Let Slices of Concats read the parts; returns how many did."""
    found = 0
    for node in standard_nodes(graph, "Concat"):
        readers = graph.consumers(node.output[0])
        shares = [share for each in readers if (share := _share(graph, node, each)) is not None]
        goes = len(shares) == len(readers) and not graph.is_output(node.output[0])
        freed = node.ByteSize() + sum(bytes_with_constants(graph, share.node) for share in shares)
        added = sum(_BYTES_PER_SLICE + _BYTES_PER_AXIS * len(share.cuts) for share in shares if share.cuts)
        if any(share.cuts for share in shares) and not (goes and context.afford(added, freed)):
            context.skip(node, "what slices it can't read its parts alone, or their bounds would be larger")
            shares = [share for share in shares if not share.cuts]
        for share in shares:
            if not share.cuts:
                found += bypass(graph, context, share.node, share.part)
                continue
            add_slice(graph, share.part, share.node.output[0], share.cuts, before=share.node)
            graph.remove(share.node)
            found += 1
    return found


def _share(graph: Graph, concat: NodeProto, node: NodeProto) -> _Share | None:
    """The part that the node takes something of, and nothing of the others; None where that can't be told."""
    if not is_standard(node, "Slice") or node.input[0] != concat.output[0] or concat.output[0] in node.input[1:]:
        return None
    if any(each.ref_attr_name for each in [*node.attribute, *concat.attribute]):
        return None
    shapes = [graph.shape_of(name) for name in concat.input]
    cuts, rank = cuts_of(graph, node), len(shapes[0] or ())
    axis = axis_of(concat, rank, _OLD_DEFAULT_AXIS) if rank else None
    if cuts is None or axis is None or axis not in cuts or any(shape is None or len(shape) != rank for shape in shapes):
        return None
    sizes = [size for shape in shapes if shape is not None and isinstance(size := shape[axis], int)]
    if len(sizes) < len(shapes):
        return None
    positions, start = cuts[axis].positions(sum(sizes)), 0
    for name, size in zip(concat.input, sizes, strict=True):
        if positions and start <= min(positions) and max(positions) < start + size:
            inside = range(positions.start - start, positions.stop - start, positions.step)
            others = {place: cut for place, cut in cuts.items() if place != axis}
            taken = {} if inside == range(size) else {axis: cut_along(inside)}
            return _Share(node, name, others | taken)
        start += size
    return None
