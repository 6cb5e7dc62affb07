"""Remove Cast and CastLike to the type that the value has, and name the type of the other CastLikes.

Cast(x, to=T) = x where x is a tensor of T, and CastLike(x, y) = Cast(x, to=T) where y is one: what y is computed from
is no longer needed for it, and Casts can be merged. Exact, and with the same attributes (`saturate`, opset 19 on). All
opsets in which `to` is a number (6 on). Left alone where the type of x or y is not known.
"""

from __future__ import annotations

from onnx import AttributeProto, NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, bypass, freed_bytes, standard_nodes

_ATTRIBUTE_BYTES = 12
"""What the attribute `to` takes, headers included."""


def eliminate_cast(graph: Graph, context: Context) -> int:
    """Let readers of the result read the input, or let a CastLike be a Cast; returns how many nodes that were."""
    found = 0
    for node in standard_nodes(graph, "Cast", "CastLike"):
        wanted = attribute(node, "to") if node.op_type == "Cast" else graph.element_type(node.input[1])
        if not isinstance(wanted, int) or not wanted:
            continue
        if wanted == graph.element_type(node.input[0]):
            found += bypass(graph, context, node, node.input[0])
        elif node.op_type == "CastLike":
            found += _name_type(graph, context, node, wanted)
    return found


def _name_type(graph: Graph, context: Context, node: NodeProto, wanted: int) -> bool:
    """Let a CastLike be a Cast to the type; False where the model would grow by it."""
    freed = len(node.input[1]) + len("Like") + freed_bytes(graph, context, [node.input[1]], node)
    if not context.afford(_ATTRIBUTE_BYTES, freed):
        context.skip(node, "the model would grow by the name of the type")
        return False
    graph.set_inputs(node, [node.input[0]])
    graph.set_operator(node, "Cast")
    node.attribute.add(name="to", i=wanted, type=AttributeProto.INT)
    return True
