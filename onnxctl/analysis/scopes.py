"""The scopes of a model: its top graph, the subgraphs in node attributes, and the bodies of its functions.

A plain walk over the messages, for whoever reads all of a model once; `onnxctl.model.graph` has the index for editing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto

from onnxctl.model.names import as_text

GRAPH, GRAPHS = AttributeProto.GRAPH, AttributeProto.GRAPHS


class Scope(NamedTuple):
    """One scope; path is "" for the top graph, else "If_3/then_branch" or "function:domain:Name".

    held are the attributes that hold more than plain values (tensors, graphs, or something that does not say what it
    is), and those of Constant nodes, each with its node.
    """

    path: str
    body: GraphProto | FunctionProto
    held: tuple[tuple[NodeProto, AttributeProto], ...]


def walk_scopes(model: ModelProto) -> Iterator[Scope]:
    """Every scope, outer before inner: the top graph and its subgraphs, then each function and its subgraphs."""
    yield from walk_scope("", model.graph)
    for function in model.functions:
        yield from walk_scope(function_path(function), function)


def walk_scope(path: str, body: GraphProto | FunctionProto) -> Iterator[Scope]:
    """The scope and every scope inside it, outer before inner."""
    scope = scope_of(path, body)
    yield scope
    for node, attribute in scope.held:
        if attribute.type in (GRAPH, GRAPHS, 0):
            for inner_path, graph in attribute_graphs(path, node, attribute):
                yield from walk_scope(inner_path, graph)


def scope_of(path: str, body: GraphProto | FunctionProto) -> Scope:
    """The scope itself; those inside it are not looked into."""
    held = tuple(
        (node, attribute)
        for node in body.node
        for attribute in node.attribute
        if attribute.type not in _PLAIN or node.op_type == "Constant"
    )
    return Scope(path, body, held)


_PLAIN = frozenset(
    {AttributeProto.INT, AttributeProto.FLOAT, AttributeProto.STRING}
    | {AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS}
)
"""Types of attributes that hold no message; most attributes have one of these."""


def attribute_graphs(path: str, node: NodeProto, attribute: AttributeProto) -> list[tuple[str, GraphProto]]:
    """The subgraphs in one attribute of a node that stands in the scope `path`, each with its own path."""
    own = f"{as_text(node.name or node.op_type)}/{as_text(attribute.name)}"
    own = f"{path}/{own}" if path else own
    if attribute.HasField("g"):
        return [(own, attribute.g)]
    return [(f"{own}[{index}]", graph) for index, graph in enumerate(attribute.graphs)]


def function_path(function: FunctionProto) -> str:
    """How reports name the scope of a function body."""
    parts = ["function", function.domain, function.name] + ([function.overload] if function.overload else [])
    return ":".join(map(as_text, parts))
