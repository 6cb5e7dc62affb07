"""Remove Cast and CastLike to the type that the value has: Cast(x, to=T) = x where x is a tensor of T.

All opsets in which `to` is a number (6 on). Left alone where the type of x is not known.
"""

from __future__ import annotations

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, bypass, standard_nodes


def eliminate_cast(graph: Graph, context: Context) -> int:
    """Let readers of the result read the input; returns how many nodes went."""
    found = 0
    for node in standard_nodes(graph, "Cast", "CastLike"):
        wanted = attribute(node, "to") if node.op_type == "Cast" else graph.element_type(node.input[1])
        if isinstance(wanted, int) and wanted == graph.element_type(node.input[0]):
            found += bypass(graph, context, node, node.input[0])
    return found
