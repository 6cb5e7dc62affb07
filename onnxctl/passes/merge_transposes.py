"""Transpose once where it was transposed twice, and not at all where the second undoes the first.

Transpose(Transpose(x, p), q) = Transpose(x, r) with r_i = p[q_i], and = x where r leaves every axis in its place. All
opsets. The first Transpose stays for its other readers, if it has any. Left alone: permutations that are not stated and
whose rank is not known.
"""

from __future__ import annotations

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, bypass, standard_nodes
from onnxctl.passes.semantics import composed, permutation_of


def merge_transposes(graph: Graph, context: Context) -> int:
    """Let a Transpose of a Transpose read the first one's input, or vanish; returns how many did."""
    found = 0
    for node in standard_nodes(graph, "Transpose"):
        first = graph.producer(node.input[0])
        if first is None or not is_standard(first, "Transpose"):
            continue
        inner, outer = permutation_of(graph, first), permutation_of(graph, node)
        if inner is None or outer is None or sorted(inner) != sorted(outer):
            context.skip(node, "the rank of its input is not known")
            continue
        both = composed(inner, outer)
        if both == tuple(range(len(both))):
            found += bypass(graph, context, node, first.input[0])
            continue
        graph.add_node(
            "Transpose", [first.input[0]], [node.output[0]], before=node, name=node.name, attributes={"perm": both}
        )
        graph.remove(node)
        found += 1
    return found
