"""Turn Constant nodes into initializers: y = Constant(value) becomes the initializer y.

Every form of Constant from opset 1 on: value, value_float(s), value_int(s), value_string(s), with the element type
each stands for (float32, int64, string). Left alone: sparse_value; outputs of the scope, which a node has to make;
function bodies, which have no initializers; and models before IR version 4, where an initializer could be overridden
by a caller.
"""

from __future__ import annotations

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, replace_by_constant, standard_nodes, takes_initializers


def lift_constants(graph: Graph, context: Context) -> int:
    """Replace the scope's Constant nodes by initializers; returns how many."""
    if not takes_initializers(graph):
        return 0
    found = 0
    for node in standard_nodes(graph, "Constant"):
        name = node.output[0]
        tensor = graph.constant(name)
        if tensor is None:
            context.skip(node, "a sparse constant has no dense initializer")
        elif graph.is_output(name) or name in context.pinned:
            context.skip(node, "makes an output of the graph")
        else:
            replace_by_constant(graph, node, tensor.proto)
            found += 1
    return found
