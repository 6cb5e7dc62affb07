"""Put the branch that is always taken in place of an If whose condition is known.

If(true) <then_branch, else_branch> = then_branch's nodes, under fresh names; likewise for false. The condition is a
constant, or known by symbolic propagation. Exact. All opsets. Left alone: branches with sparse initializers or
quantization annotations.
"""

from __future__ import annotations

from onnx import GraphProto, NodeProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.transplant import transplant


def inline_if(graph: Graph, context: Context) -> int:
    """Inline branches that are always taken; returns how many If nodes went."""
    found = 0
    for node in standard_nodes(graph, "If"):
        taken = _known_condition(graph, context, node.input[0])
        if taken is None:
            continue
        branch = _branch(graph, node, "then_branch" if taken else "else_branch")
        if branch is None or len(branch.outputs) != len(node.output):
            context.skip(node, "its branch has sparse initializers or quantization annotations")
            continue
        transplant(graph, branch, {}, list(node.output), before=node)
        graph.remove(node)
        found += 1
    return found


def _known_condition(graph: Graph, context: Context, name: str) -> bool | None:
    constant = graph.constant_values(name, at_most=1)
    if constant is not None and constant.size == 1:
        return bool(constant.reshape(-1)[0])
    values = context.fact(graph, name).values
    return bool(values[0]) if values is not None and len(values) == 1 and isinstance(values[0], bool) else None


def _branch(graph: Graph, node: NodeProto, name: str) -> Graph | None:
    wanted = next((each.g for each in node.attribute if each.name == name), None)
    branch = next((each for each in graph.subgraphs(node) if each.proto is wanted), None)
    if branch is None or branch.sparse_initializers:
        return None
    proto = branch.proto
    return None if isinstance(proto, GraphProto) and proto.quantization_annotation else branch
