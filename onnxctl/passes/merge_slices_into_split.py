"""Split once where every part is sliced out by itself: Slices of one tensor that lie side by side become one Split.

Slice(x, [0:a]), Slice(x, [a:b]), ..., Slice(x, [z:n]) along one axis are the outputs of Split(x, [a, b - a, ..., n -
z]). Exact. Two Slices at least, with constant bounds and step 1, along an axis of known size that they cover without
overlap. All opsets from 2 on, whose Split takes sizes. Left alone: Slices along several axes, gaps, overlaps, and
sizes that would be larger than what they replace.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, freed_bytes, standard_nodes, written_bytes
from onnxctl.passes.semantics import add_integers, cuts_of, integers_bytes

_FIRST_OPSET_WITH_SIZES_AS_INPUT = 13
_AXIS_BYTES = 14
"""What the attribute takes."""


def merge_slices_into_split(graph: Graph, context: Context) -> int:
    """Replace Slices that share out a tensor by one Split; returns how many Slices were saved."""
    found = 0
    for node in standard_nodes(graph, "Slice"):
        pieces = [each for each in graph.consumers(node.input[0]) if is_standard(each, "Slice")]
        if len(pieces) < 2:
            continue
        shares = _shares(graph, node, pieces)
        if shares is not None:
            found += _replace(graph, context, node, *shares)
    return found


def _shares(graph: Graph, node: NodeProto, pieces: list[NodeProto]) -> tuple[int, list[tuple[range, NodeProto]]] | None:
    """The axis and each piece with its positions, in order, where the node's axis is shared out completely."""
    own, shape = cuts_of(graph, node), graph.shape_of(node.input[0])
    if own is None or shape is None or len(own) != 1:
        return None
    (axis,) = own
    size = shape[axis]
    if not isinstance(size, int):
        return None
    shares: list[tuple[range, NodeProto]] = []
    for piece in pieces:
        cuts = cuts_of(graph, piece) if piece.input[0] == node.input[0] else None
        if cuts is not None and cuts.keys() == {axis} and cuts[axis].step == 1:
            shares.append((cuts[axis].positions(size), piece))
    shares.sort(key=lambda share: share[0].start)
    edges = [0, *(positions.stop for positions, _ in shares)]
    covered = [positions.start for positions, _ in shares] == edges[:-1] and edges[-1] == size
    return (axis, shares) if covered and len(shares) > 1 and all(len(share[0]) for share in shares) else None


def _replace(graph: Graph, context: Context, node: NodeProto, axis: int, shares: list[tuple[range, NodeProto]]) -> int:
    """Put the Split in place of the Slices; returns how many nodes that saves."""
    sizes = [len(positions) for positions, _ in shares]
    outputs = [piece.output[0] for _, piece in shares]
    inputs, attributes = [node.input[0]], {"axis": axis}
    pieces = [piece for _, piece in shares]
    bounds = [name for piece in pieces for name in piece.input[1:]]
    freed = written_bytes(*pieces) + freed_bytes(graph, context, bounds, *pieces)
    split = NodeProto(op_type="Split", input=inputs, output=outputs, name=node.name or None)
    added = _AXIS_BYTES + written_bytes(split) + integers_bytes(graph, len(sizes), near="sizes")
    if not context.afford(added, freed):
        context.skip(node, "the sizes of all parts would be larger than what they replace")
        return 0
    if graph.opset() < _FIRST_OPSET_WITH_SIZES_AS_INPUT:
        attributes["split"] = sizes  # type: ignore[assignment]
    else:
        inputs.append(add_integers(graph, sizes, near="sizes", before=node))
    graph.add_node("Split", inputs, outputs, before=node, name=node.name, attributes=attributes)
    for piece in pieces:
        graph.remove(piece)
    return len(pieces) - 1
