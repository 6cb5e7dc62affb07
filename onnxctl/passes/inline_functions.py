"""Put the body of a model-local function in place of its only call: one node less, and its nodes meet their neighbours.

f(x) = body of f with its inputs and attributes filled in, under fresh names. Exact. Left alone: functions that are
called more than once, or nowhere; bodies written for another version of a domain than the model imports; calls in
models with training information, which may call functions too.
"""

from __future__ import annotations

from collections import Counter

from onnx import FunctionProto, NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import DEFAULT_DOMAINS
from onnxctl.passes.base import Context
from onnxctl.passes.effects import function_key, nodes_within
from onnxctl.passes.transplant import transplant


def inline_functions(graph: Graph, context: Context) -> int:
    """Inline calls of functions that are called once; returns how many calls there were."""
    graphs = context.graphs
    if not graphs.functions or context.model.proto.training_info:
        return 0
    bodies = {function_key(each.proto): each for each in graphs.functions if isinstance(each.proto, FunctionProto)}
    calls: Counter[tuple[str, ...]] = Counter()
    for scope in graphs.scopes():
        calls.update(function_key(each) for each in scope.nodes)
    found = 0
    for node in graph.nodes:
        body = bodies.get(function_key(node))
        if body is None or calls[function_key(node)] != 1:
            continue
        if not _fits(graph, body, node):
            context.skip(node, "its body is written for other versions of the operators than the model imports")
            continue
        _inline(graph, body, node)
        found += 1
    return found


def _fits(graph: Graph, body: Graph, node: NodeProto) -> bool:
    assert isinstance(body.proto, FunctionProto)
    used = {"" if each.domain in DEFAULT_DOMAINS else each.domain for each in nodes_within(body.proto.node)}
    same_versions = all(body.opset(domain) == graph.opset(domain) for domain in used)
    return same_versions and len(node.output) <= len(body.outputs) and len(node.input) <= len(body.inputs)


def _inline(graph: Graph, body: Graph, node: NodeProto) -> None:
    assert isinstance(body.proto, FunctionProto)
    references = {each.name: each for each in body.proto.attribute_proto}
    references.update((each.name, each) for each in node.attribute)
    inputs = [*node.input, *[""] * (len(body.inputs) - len(node.input))]
    outputs = [*node.output, *[""] * (len(body.outputs) - len(node.output))]
    given = dict(zip(body.inputs, inputs, strict=True))
    transplant(graph, body, given, outputs, before=node, references=references)
    graph.remove(node)
