"""Remove operators that give a tensor the shape it has: Reshape, Flatten, Expand, Squeeze, Unsqueeze.

Reshape(x, s) = x where x has the rank of s and each s_i is 0 (without allowzero) or the size of x there, one of them
may be -1 or unknown (Reshape keeps the number of elements); or where x and the result are known to have one shape,
symbols included: a symbol is one size all over a model. Expand(x, s) = x too where s is all ones and not longer than
x has dimensions. Squeeze and Unsqueeze do nothing where the rank stays. Opsets 5 on for Reshape (a shape as input),
all for the others.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, bypass, same_type, standard_nodes
from onnxctl.passes.semantics import squeezed_axes


def eliminate_reshape(graph: Graph, context: Context) -> int:
    """Let readers of the result read the input; returns how many nodes went."""
    found = 0
    for node in standard_nodes(graph, "Reshape", "Flatten", "Expand", "Squeeze", "Unsqueeze"):
        if _keeps_shape(graph, node):
            found += bypass(graph, context, node, node.input[0])
    return found


def _keeps_shape(graph: Graph, node: NodeProto) -> bool:
    source, result = node.input[0], node.output[0]
    if node.op_type == "Squeeze" and squeezed_axes(graph, node) is None:
        return False  # a symbol may be 1, whatever shape inference makes of it
    if same_type(graph, source, result):
        return True
    shape = graph.shape_of(source)
    if shape is None:
        return False
    if node.op_type == "Flatten":
        return len(shape) == 2 and attribute(node, "axis", 1) == 1
    if node.op_type not in ("Reshape", "Expand") or len(node.input) < 2:
        return False
    target = graph.constant_values(node.input[1], at_most=64)
    if target is None:
        return False
    sizes = [int(size) for size in target.reshape(-1)]
    if node.op_type == "Expand":
        return len(sizes) <= len(shape) and all(size == 1 for size in sizes)
    copies = not attribute(node, "allowzero", 0)
    if len(sizes) != len(shape):
        return False
    open_places = [i for i, size in enumerate(sizes) if not (size == 0 and copies) and size != shape[i]]
    if not open_places:
        return True
    return len(open_places) == 1 and sizes[open_places[0]] == -1
