"""Gather once where it is gathered twice: Gather(Gather(x, i), j) = Gather(x, i[j]) along one axis, i and j constant.

Positions count from the end of i where j is negative, and stay as they are in i. Exact. All opsets. Left alone: lists
that are not constant, i of another rank than 1, two axes, a first Gather that others read too.
"""

from __future__ import annotations

import numpy as np

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import Context, define_constant, standard_nodes

_LONGEST_LIST = 1 << 16


def merge_gathers(graph: Graph, context: Context) -> int:
    """Let a Gather of a Gather take from the first one's input; returns how many nodes went."""
    found = 0
    for node in standard_nodes(graph, "Gather"):
        first = graph.producer(node.input[0])
        if (
            first is None
            or not is_standard(first, "Gather")
            or attribute(first, "axis", 0) != attribute(node, "axis", 0)
        ):
            continue
        inner = graph.constant_values(first.input[1], at_most=_LONGEST_LIST)
        outer = graph.constant_values(node.input[1], at_most=_LONGEST_LIST)
        if inner is None or outer is None or inner.ndim != 1 or graph.only_consumer(first.output[0]) is not node:
            context.skip(node, "the positions are not constant lists, or others read the first Gather too")
            continue
        if not all(-len(inner) <= position < len(inner) for position in outer.reshape(-1)):
            continue
        positions = np.asarray(inner[outer])
        if not context.afford(positions.nbytes + len(node.output[0]), first.ByteSize()):
            context.skip(node, "a list of positions would be larger than what it replaces")
            continue
        name = graph.fresh_name("positions")
        define_constant(graph, name, context.model.new_tensor("", positions), before=node)
        graph.set_inputs(node, [first.input[0], name])
        graph.remove(first)
        found += 1
    return found
