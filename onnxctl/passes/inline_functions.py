"""Put the body of a model-local function in place of its only call: one node less, and its nodes meet their neighbours.

f(x) = body of f with its inputs and attributes filled in, under fresh names. Exact. Left alone: functions that are
called more than once, or nowhere; bodies written for another version of a domain than the model imports; calls in
models with training information, which may call functions too.

`inline_every_call` is no pass but for who asks for it: it goes by no counts, and the model may grow by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from onnx import FunctionProto, NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import plain_domain
from onnxctl.passes.base import Context
from onnxctl.passes.effects import function_key, nodes_within
from onnxctl.passes.transplant import transplant

_OTHER_VERSIONS = "its body is written for other versions of the operators than the model imports"


def inline_functions(graph: Graph, context: Context) -> int:
    """Inline calls of functions that are called once, in all scopes (from the top graph only); returns how many."""
    graphs = context.graphs
    if graph is not graphs.top or not graphs.functions or context.model.proto.training_info:
        return 0
    bodies = {function_key(each.proto): each for each in graphs.functions if isinstance(each.proto, FunctionProto)}
    calls = [(scope, node) for scope in graphs.scopes() for node in scope.nodes if function_key(node) in bodies]
    counts = Counter(function_key(node) for _, node in calls)
    inlined = set[int]()
    for scope, node in calls:
        body = bodies[function_key(node)]
        if counts[function_key(node)] != 1 or not inlined.isdisjoint(map(id, _around(scope))):
            continue
        context.enter(scope)
        if not _fits(scope, body, node):
            context.skip(node, _OTHER_VERSIONS)
            continue
        _inline(scope, body, node)
        inlined.add(id(body))
    return len(inlined)


def inline_every_call(context: Context) -> int:
    """Inline the calls of functions in the top graph and its subgraphs, those within the bodies too; returns how many.

    The functions stay for whoever calls them still. Functions that call themselves must have been refused before.
    """
    graphs = context.graphs
    bodies = {function_key(each.proto): each for each in graphs.functions if isinstance(each.proto, FunctionProto)}
    left, found = set[int](), 0
    while True:
        calls = [
            (scope, node)
            for scope in graphs.top.walk()
            for node in scope.nodes
            if function_key(node) in bodies and id(node) not in left
        ]
        if not calls:
            return found
        for scope, node in calls:
            context.enter(scope)
            body = bodies[function_key(node)]
            if not scope.is_live():  # it was an attribute of a call that is inlined by now, and is in its body
                continue
            if _fits(scope, body, node):
                _inline(scope, body, node)
                found += 1
            else:
                context.skip(node, _OTHER_VERSIONS)
                left.add(id(node))


def _around(scope: Graph | None) -> Iterator[Graph]:
    """The scope and those it stands in."""
    while scope is not None:
        yield scope
        scope = scope.parent


def _fits(graph: Graph, body: Graph, node: NodeProto) -> bool:
    assert isinstance(body.proto, FunctionProto)
    used = {plain_domain(each.domain) for each in nodes_within(body.proto.node)}
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
