"""One node from close by: its attributes, what it reads and makes, who is at the other end, and what it costs."""

from __future__ import annotations

import difflib
from itertools import islice

from onnx import NodeProto, StringStringEntryProto

from onnxctl.analysis.attributes import SHOWN_ITEMS, attribute_in_words
from onnxctl.analysis.cost.counting import cost_within
from onnxctl.analysis.types import type_in_words
from onnxctl.errors import ModelError, UsageError
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.names import as_text, node_label
from onnxctl.model.nodes import shown_domain
from onnxctl.model.propagation import Fact, Propagation, ScopeFacts
from onnxctl.model.tensors import dtype_name
from onnxctl.reports import NodeDetail, NodeInfo, Role, ValueInfo

_SUGGESTIONS = 3


def describe_node(graphs: ModelGraphs, found: Propagation, name: str) -> NodeDetail:
    """The node of this name, or else the one that makes the value of this name; scopes may be said: "If_3/Add_1".

    Raises UsageError where there is none, or several.
    """
    graph, node = _find(graphs, name)
    scope = found.of(graph)
    run = graph.proto is graphs.top.proto or scope is not None
    return NodeDetail(
        node=NodeInfo(
            scope=as_text(graph.path),
            name=as_text(node.name),
            op_type=as_text(node.op_type),
            domain=shown_domain(node.domain),
            inputs=tuple(map(as_text, node.input)),
            outputs=tuple(map(as_text, node.output)),
            attributes=tuple((as_text(each.name), attribute_in_words(each)) for each in node.attribute),
        ),
        doc_string=as_text(node.doc_string),
        inputs=tuple(_input(graph, scope, each) for each in node.input),
        outputs=tuple(_output(graph, scope, each) for each in node.output),
        metadata=tuple(map(_entry, node.metadata_props)),
        cost=cost_within(scope, node, as_text(graph.path)) if run and scope is not None else None,
    )


def _entry(entry: StringStringEntryProto) -> tuple[str, str]:
    return as_text(entry.key), as_text(entry.value)


def _find(graphs: ModelGraphs, name: str) -> tuple[Graph, NodeProto]:
    places = [(graph, node) for graph in graphs.scopes() for node in graph.nodes]
    named = [
        place for place in places if name in (as_text(place[1].name), node_label(as_text(place[0].path), place[1]))
    ]
    named = named or [place for place in places if name in map(as_text, place[1].output)]
    if len(named) == 1:
        return named[0]
    if named:
        paths = (repr(node_label(as_text(graph.path), node)) for graph, node in named)
        hint = f"say which: {', '.join(islice(paths, _SUGGESTIONS))}"
        raise UsageError(f"{len(named)} nodes are called {name!r}", hint=hint)
    if name and (alike := [place for place in places if as_text(place[1].op_type).casefold() == name.casefold()]):
        labels = (repr(node_label(as_text(graph.path), node)) for graph, node in alike)
        more = f" and {len(alike) - _SUGGESTIONS} more" if len(alike) > _SUGGESTIONS else ""
        hint = f"nodes with this operator: {', '.join(islice(labels, _SUGGESTIONS))}{more}"
        raise UsageError(f"the model has no node or value {name!r}", hint=hint)
    known = [known for _, node in places for known in (as_text(node.name), *map(as_text, node.output)) if known]
    close = difflib.get_close_matches(name, known, _SUGGESTIONS) or [each for each in known if name in each]
    close = [repr(each) for each in dict.fromkeys(close)][:_SUGGESTIONS]
    hint = f"close to it: {', '.join(close)}" if close else "onnxctl inspect MODEL --nodes lists them"
    raise UsageError(f"the model has no node or value {name!r}", hint=hint)


# ---------------------------------------------------------------- values


def _input(graph: Graph, scope: ScopeFacts | None, name: str) -> ValueInfo:
    if not name:
        return ValueInfo(name="", type="", role="absent", nodes=())
    owner = graph.scope_of(name)
    producer = None if owner is None else owner.producer(name)
    return ValueInfo(
        name=as_text(name),
        type=_type(graph, scope, name),
        role=_role(graph, owner, name),
        nodes=() if producer is None else (_short(producer),),
        contents="" if owner is None else _contents(owner, name),
    )


def _role(graph: Graph, owner: Graph | None, name: str) -> Role:
    if owner is not None and name in owner.initializers:
        return "initializer"
    if owner is not graph:
        return "outer"
    return "input" if graph.producer(name) is None else "node"


def _output(graph: Graph, scope: ScopeFacts | None, name: str) -> ValueInfo:
    if not name:
        return ValueInfo(name="", type="", role="absent", nodes=())
    return ValueInfo(
        name=as_text(name),
        type=_type(graph, scope, name),
        role="output" if graph.is_output(name) else "node",
        nodes=tuple(map(_short, graph.consumers(name))),
    )


def _short(node: NodeProto) -> str:
    """A node at the other end: operator and name."""
    own = as_text(node.name) or next((as_text(name) for name in node.output if name), "")
    return f"{as_text(node.op_type)} {own}".strip()


def _contents(graph: Graph, name: str) -> str:
    """The elements of a small constant; "" for a large one, or one that can't be read."""
    try:
        values = graph.constant_values(name, at_most=SHOWN_ITEMS)
    except ModelError:
        return ""
    if values is None:
        return ""
    shown = [f"{each:.7g}" if isinstance(each, float) else repr(each) for each in values.reshape(-1).tolist()]
    return shown[0] if not values.shape and shown else f"[{', '.join(shown)}]"


def _type(graph: Graph, scope: ScopeFacts | None, name: str) -> str:
    """The type as propagation knows it, else as the model states it."""
    words = "" if scope is None else _in_words(scope.fact(name))
    if words:
        return words
    stated = graph.stated_type(name)
    return "unknown" if stated is None else type_in_words(stated)


def _in_words(fact: Fact) -> str:
    """The type of a fact; "" where nothing is known."""
    if fact.kind in ("sequence", "optional") and fact.element is not None:
        return f"{'seq' if fact.kind == 'sequence' else fact.kind}({_in_words(fact.element) or 'unknown'})"
    if fact.kind not in ("tensor", "sparse_tensor") or fact.dtype is None:
        return ""
    shape = "..." if fact.shape is None else ", ".join(map(str, fact.shape))
    words = f"{dtype_name(fact.dtype)}[{shape}]"
    return f"sparse({words})" if fact.kind == "sparse_tensor" else words
