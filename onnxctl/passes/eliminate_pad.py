"""Remove Pad that adds nothing and Tile that repeats nothing: Pad(x, 0...) = x, Tile(x, 1...) = x.

Pad: every pad is 0, given by an attribute (pads, in opset 1 paddings) or, from opset 11 on, a constant input. Tile:
every repeat is 1, from opset 6 on.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, bypass, input_name, standard_nodes


def eliminate_pad(graph: Graph, context: Context) -> int:
    """Let readers of the result read the input; returns how many nodes went."""
    found = 0
    for node in standard_nodes(graph, "Pad", "Tile"):
        if _adds_nothing(graph, node):
            found += bypass(graph, context, node, node.input[0])
    return found


def _adds_nothing(graph: Graph, node: NodeProto) -> bool:
    if node.op_type == "Pad" and graph.opset() < 11:
        pads = attribute(node, "pads" if graph.opset() > 1 else "paddings")
        return pads is not None and not any(pads)
    if node.op_type == "Tile" and graph.opset() < 6:
        return False
    amounts = graph.constant_values(input_name(node, 1), at_most=128)
    return amounts is not None and bool((amounts == (0 if node.op_type == "Pad" else 1)).all())
