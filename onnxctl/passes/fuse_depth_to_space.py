"""Make one DepthToSpace or SpaceToDepth of a Reshape, a Transpose and a Reshape (opset 11).

For x [N, C, H, W], block size b, c = C / b^2 (ONNX operator documentation):
- DepthToSpace, DCR: [N, b, b, c, H, W], perm [0, 3, 4, 1, 5, 2], [N, c, H b, W b]
- DepthToSpace, CRD: [N, c, b, b, H, W], perm [0, 1, 4, 2, 5, 3], [N, c, H b, W b]
- SpaceToDepth: [N, C, H / b, b, W / b, b], perm [0, 3, 5, 1, 2, 4], [N, C b^2, H / b, W / b]
Every element goes where it went: exact. Left alone: channels and sizes that are not known; N may be a symbol.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.pattern import FLOATS, fuse, maker
from onnxctl.passes.semantics import permutation_of

_FIRST_OPSET = 11


def fuse_depth_to_space(graph: Graph, context: Context) -> int:
    """Fuse rearrangements of channels and places; returns how many."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Reshape"))


def _fuse(graph: Graph, context: Context, last: NodeProto) -> bool:
    turn = maker(graph, last.input[0], "Transpose")
    first = None if turn is None else maker(graph, turn.input[0], "Reshape")
    if turn is None or first is None or graph.element_type(last.output[0]) not in FLOATS:
        return False
    shapes = [graph.shape_of(name) for name in (first.input[0], first.output[0], last.output[0])]
    known = [shape for shape in shapes if shape is not None and None not in shape]
    permutation = permutation_of(graph, turn)
    if len(known) < 3 or [len(shape) for shape in known] != [4, 6, 4] or len({shape[0] for shape in known}) != 1:
        return False
    sizes = [[size for size in shape[1:] if isinstance(size, int)] for shape in known]
    if [len(each) for each in sizes] != [3, 5, 3]:
        return False
    (channels, height, width), inner, outer = sizes
    for op_type, mode, perm, block_place in (
        ("DepthToSpace", "DCR", (0, 3, 4, 1, 5, 2), 0),
        ("DepthToSpace", "CRD", (0, 1, 4, 2, 5, 3), 1),
        ("SpaceToDepth", None, (0, 3, 5, 1, 2, 4), 2),
    ):
        block = inner[block_place]
        if block < 2 or permutation != perm:
            continue
        depth = channels // (block * block)
        wanted = {
            "DCR": ([block, block, depth, height, width], [depth, height * block, width * block]),
            "CRD": ([depth, block, block, height, width], [depth, height * block, width * block]),
            None: (
                [channels, height // block, block, width // block, block],
                [channels * block * block, height // block, width // block],
            ),
        }[mode]
        if (inner, outer) == wanted:
            attributes = {"blocksize": block, "mode": mode if mode == "CRD" else None}
            return fuse(graph, context, [last, turn, first], op_type, [first.input[0]], attributes)
    return False
