"""Remove Transpose that moves no axis: Transpose(x, perm=[0, 1, 2, ...]) = x.

Without perm the axes are reversed, which moves nothing where x has at most one. All opsets.
"""

from __future__ import annotations

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, bypass, standard_nodes


def eliminate_transpose(graph: Graph, context: Context) -> int:
    """Let readers of the result read the input; returns how many nodes went."""
    found = 0
    for node in standard_nodes(graph, "Transpose"):
        order = attribute(node, "perm")
        if order is None:
            shape = graph.shape_of(node.input[0])
            moves = shape is None or len(shape) > 1
        else:
            moves = list(order) != list(range(len(order)))
        if not moves:
            found += bypass(graph, context, node, node.input[0])
    return found
