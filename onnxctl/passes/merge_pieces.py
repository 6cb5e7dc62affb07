"""Take a tensor apart and put it together in one node: Concat of Slices and Split outputs of one tensor.

Where each part of a Concat is x itself or what Slice or Split takes of x along the same axis, the Concat takes a list
of x's positions: all of them in order, and it is x; a run of them, and it is one Slice; any other list, and it is
Gather(x, list) along the axis (a cyclic shift, as torch.roll is exported, becomes one node). Exact. Slice and Split
with constant bounds, all opsets, axis of known size. Left alone: a Gather along one of the last axes, which copies
few elements at a time and is slower; one that would not save a node (nobody else reads what one of the parts' makers
makes); and one whose list is longer than the room the file has.
"""

from __future__ import annotations

import math

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, bypass, standard_nodes
from onnxctl.passes.semantics import Cut, add_integers, add_slice, axis_of, cuts_of, split_sizes

_LONGEST_LIST = 1 << 16
_BYTES_PER_POSITION = 8
_SLICE_BYTES = 160
"""A Slice of one axis with its bounds: what is shared with others comes off later."""
_SHORTEST_RUN = 16
"""How many elements lie together for each position: with fewer, Gather took onnxruntime 2.5 to 5 times as long."""


def merge_pieces(graph: Graph, context: Context) -> int:
    """Replace Concat of one tensor's pieces; returns how many were."""
    return replace_pieces(graph, context, shortest_run=_SHORTEST_RUN)


def replace_pieces(graph: Graph, context: Context, *, shortest_run: int) -> int:
    """As `merge_pieces`; shortest_run is how many elements have to lie together for each position of a Gather."""
    found = 0
    for node in standard_nodes(graph, "Concat"):
        whole = _whole(graph, node)
        shape = graph.shape_of(whole) if whole else None
        axis = axis_of(node, len(shape)) if shape is not None else None
        if shape is None or axis is None or len(node.input) < 2:
            continue
        size = shape[axis]
        if not isinstance(size, int) or size > _LONGEST_LIST:
            context.skip(node, "joins pieces of one tensor along an axis whose size is not known")
            continue
        positions = _positions(graph, node, whole, axis, size)
        if positions is None:
            continue
        if positions == list(range(size)):
            found += bypass(graph, context, node, whole)
            continue
        run = positions == list(range(positions[0], positions[-1] + 1)) if positions else False
        if not run and math.prod(each for each in shape[axis + 1 :] if isinstance(each, int)) < shortest_run:
            context.skip(node, "runtimes gather so short runs more slowly than they slice and join")
            continue
        makers = {id(maker): maker for name in node.input if (maker := graph.producer(name)) is not None}
        freed = [maker for maker in makers.values() if maker.input[0] == whole and _is_only_for(graph, maker, node)]
        freed_bytes = sum(each.ByteSize() for each in [*freed, node])
        added_bytes = _SLICE_BYTES if run else _BYTES_PER_POSITION * len(positions) + node.ByteSize()
        if not freed or not context.afford(added_bytes, freed_bytes):
            context.skip(node, "a list of positions would be larger than what it replaces")
            continue
        if run:
            cut = Cut(positions[0], positions[-1] + 1, 1)
            add_slice(graph, whole, node.output[0], {axis: cut}, before=node)
        else:
            indices = add_integers(graph, positions, near="positions", before=node)
            graph.add_node(
                "Gather", [whole, indices], [node.output[0]], before=node, name=node.name, attributes={"axis": axis}
            )
        graph.remove(node)
        found += 1
    return found


def _is_only_for(graph: Graph, maker: NodeProto, node: NodeProto) -> bool:
    names = [name for name in maker.output if name]
    return not any(map(graph.is_output, names)) and all(
        reader is node for name in names for reader in graph.consumers(name)
    )


def _whole(graph: Graph, node: NodeProto) -> str:
    """The tensor that the first part is a piece of, "" where it is none."""
    maker = graph.producer(node.input[0])
    return maker.input[0] if maker is not None and is_standard(maker, "Slice", "Split") else ""


def _positions(graph: Graph, node: NodeProto, whole: str, axis: int, size: int) -> list[int] | None:
    found: list[int] = []
    for name in node.input:
        piece = range(size) if name == whole else _piece(graph, name, whole, axis, size)
        if piece is None or len(found) + len(piece) > _LONGEST_LIST:
            return None
        found += piece
    return found


def _piece(graph: Graph, name: str, whole: str, axis: int, size: int) -> range | None:
    """The positions along the axis that the value is of the whole, None where it is no piece of it."""
    maker = graph.producer(name)
    if maker is None or not is_standard(maker, "Slice", "Split") or maker.input[0] != whole:
        return None
    if maker.op_type == "Slice":
        cuts = cuts_of(graph, maker)
        return cuts[axis].positions(size) if cuts is not None and cuts.keys() == {axis} else None
    sizes, rank = split_sizes(graph, maker), len(graph.shape_of(whole) or ())
    if sizes is None or axis_of(maker, rank) != axis or sum(sizes) != size:
        return None
    place = list(maker.output).index(name)
    return range(sum(sizes[:place]), sum(sizes[: place + 1]))
