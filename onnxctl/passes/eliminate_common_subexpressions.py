"""Compute equal things once: two nodes of one operator with equal inputs and attributes have equal outputs.

A node of an inner scope is merged into an equal one of an outer scope: what both read exists before either. Left
alone: random operators (in functions too), nodes that hold subgraphs, operators of unknown domains, and nodes that
would leave two outputs of the graph sharing one value, since each keeps its name.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import plain_domain
from onnxctl.passes.base import Context, is_shadowed
from onnxctl.passes.effects import function_key, is_random, is_unknown

_Key = tuple[object, ...]


def eliminate_common_subexpressions(graph: Graph, context: Context) -> int:
    """Merge equal nodes of this scope and those inside it (from the outermost only); returns how many went."""
    return _merge(graph, context, {}) if graph.parent is None else 0


def _merge(graph: Graph, context: Context, outer: dict[_Key, tuple[Graph, NodeProto]]) -> int:
    context.enter(graph)
    seen = dict(outer)
    found = 0
    for node in graph.nodes:
        if not node.output or graph.subgraphs(node) or not _is_repeatable(context, node):
            continue
        key = _key(graph, node)
        if key not in seen:
            seen[key] = graph, node
        elif _replace(graph, context, node, *seen[key]):
            found += 1
    for node in graph.nodes:
        for inner in graph.subgraphs(node):
            found += _merge(inner, context, seen)
    return found


def _is_repeatable(context: Context, node: NodeProto) -> bool:
    key = function_key(node)
    if key in context.local_functions:
        return key not in context.random_functions and key not in context.opaque_functions
    return not is_unknown(node) and not is_random(node)


def _key(graph: Graph, node: NodeProto) -> _Key:
    """Equal for nodes that compute equal outputs: a value counts together with the scope that defines it."""
    inputs = tuple(node.input)
    scopes = tuple(id(graph.scope_of(name)) for name in inputs) if graph.parent is not None else ()
    if not scopes:
        scopes = (id(graph),) * len(inputs)
    attributes = tuple(sorted(each.SerializeToString() for each in node.attribute))
    made = tuple(bool(name) for name in node.output)
    domain = plain_domain(node.domain)
    return domain, node.op_type, node.overload, inputs, scopes, attributes, made


def _replace(graph: Graph, context: Context, node: NodeProto, scope: Graph, first: NodeProto) -> bool:
    """Let readers of the node's outputs read those of the first one; an output of the graph keeps its name."""
    pairs = [(old, new) for old, new in zip(node.output, first.output, strict=True) if old]
    if any(not context.pinned.isdisjoint(pair) for pair in pairs):
        context.skip(node, "a quantization annotation or training refers to its value by name")
        return False
    kept = [(old, new) for old, new in pairs if graph.is_output(old)]
    if any(scope is not graph or scope.is_output(new) for _, new in kept):
        context.skip(node, "computes the same as another node, but both are outputs of the graph")
        return False
    if any(is_shadowed(graph, new, old) if (old, new) in kept else is_shadowed(graph, old, new) for old, new in pairs):
        context.skip(node, "a subgraph that reads its output has another value of the same name")
        return False
    graph.remove(node)
    for old, new in pairs:
        if (old, new) in kept:
            graph.replace_uses(new, old)
        else:
            graph.replace_uses(old, new)
    if kept:
        renamed = {new: old for old, new in kept}
        graph.set_outputs(first, [renamed.get(name, name) for name in first.output])
    return True
