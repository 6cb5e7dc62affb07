"""Cast once where it was cast twice: Cast(Cast(x, to=B), to=C) = Cast(x, to=C), and = x where C is x's own type A.

Exact in these cases only, over bool, the integers, float16, bfloat16, float and double: - B holds every value of A
(widening), and C is A, bool or a float, or A and B are integers or bool both: the number that
  is converted to C is the same one. A float that goes to an integer stays: what is out of range is undefined there, and
  differs from width to width, unless A is bool;
- A, B and C are integers and C is no wider than B: integers wrap around, modulo 2^bits of the narrowest.
Left alone: narrowing and widening again, strings, complex numbers, types of eight bits and fewer (they saturate).
"""

from __future__ import annotations

from onnxctl.model.casts import is_exact
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import Context, bypass, standard_nodes


def merge_casts(graph: Graph, context: Context) -> int:
    """Let a Cast of a Cast read the first one's input, or vanish; returns how many did."""
    found = 0
    for node in standard_nodes(graph, "Cast"):
        first = graph.producer(node.input[0])
        if first is None or not is_standard(first, "Cast"):
            continue
        source = graph.element_type(first.input[0])
        middle, target = attribute(first, "to"), attribute(node, "to")
        if source is None or not isinstance(middle, int) or not isinstance(target, int):
            continue
        if not is_exact(source, middle, target):
            context.skip(node, "the first Cast loses values that the second would keep")
        elif target == source:
            found += bypass(graph, context, node, first.input[0])
        else:
            graph.set_input(node, 0, first.input[0])
            found += 1
    return found
