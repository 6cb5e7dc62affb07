"""Remove operators that hand on their only input: Identity(x), Concat(x), Sum(x), Max(x), Min(x), Mean(x) = x.

All opsets. Left alone where x is an input, initializer or outer value and the result an output of the scope, or where
both are outputs: a name can't be given up then. Identity of a sequence or optional goes like that of a tensor.
"""

from __future__ import annotations

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, bypass, standard_nodes

_OF_ONE_INPUT = ("Identity", "Concat", "Sum", "Max", "Min", "Mean")


def eliminate_identity(graph: Graph, context: Context) -> int:
    """Let readers of the result read the input; returns how many nodes went."""
    found = 0
    for node in standard_nodes(graph, *_OF_ONE_INPUT):
        if len(node.input) == 1 and node.input[0]:
            found += bypass(graph, context, node, node.input[0])
    return found
