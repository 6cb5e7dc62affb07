"""Moves the body of a subgraph or function into the scope around it, under names that nothing else has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import AttributeProto, GraphProto, NodeProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import define_constant


def transplant(
    graph: Graph,
    body: Graph,
    given: Mapping[str, str],
    results: Sequence[str],
    *,
    before: NodeProto,
    references: Mapping[str, AttributeProto] | None = None,
) -> None:
    """Put copies of the body's nodes in front of a node that then must go.

    given names the outer value of each of the body's inputs ("" for one that is left out), results the outer name that
    each of its outputs gets ("" where nobody asks). references are the attributes a function body refers to.
    """
    names = dict(given)
    for inner, outer in zip(body.outputs, results, strict=True):
        if outer and inner not in names and body.producer(inner) is not None:
            names[inner] = outer
    for name, tensor in body.initializers.items():
        names[name] = graph.fresh_name(name)
        define_constant(graph, names[name], tensor, before=before)
    for node in body.nodes:
        for name in node.output:
            if name and name not in names:
                names[name] = graph.fresh_name(name)
            kind = body.tensor_type(name) if name else None
            if kind is not None:
                graph.inferred[names[name]] = kind
    for node in body.nodes:
        copy = NodeProto()
        copy.CopyFrom(node)
        if references is not None:
            _fill_in(copy, references)
        _rename(copy, names)
        graph.insert(copy, before=before)
    for inner, outer in zip(body.outputs, results, strict=True):
        if outer and names.get(inner, inner) != outer:
            graph.add_node("Identity", [names.get(inner, inner)], [outer], before=before)


def _rename(node: NodeProto, names: Mapping[str, str]) -> None:
    for index, name in enumerate(node.input):
        node.input[index] = names.get(name, name)
    for index, name in enumerate(node.output):
        node.output[index] = names.get(name, name)
    for attribute in node.attribute:
        for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            _rename_captured(inner, names)


def _rename_captured(inner: GraphProto, names: Mapping[str, str]) -> None:
    """Rename what the subgraph reads from outside; its own values keep their names."""
    own = {value.name for value in inner.input} | {tensor.name for tensor in inner.initializer}
    own |= {sparse.values.name for sparse in inner.sparse_initializer}
    own |= {name for node in inner.node for name in node.output}
    outer = {name: new for name, new in names.items() if name not in own}
    for node in inner.node:
        _rename(node, outer)
    for value in inner.output:
        value.name = outer.get(value.name, value.name)


def _fill_in(node: NodeProto, references: Mapping[str, AttributeProto]) -> None:
    """Put attributes in place of references to them; without one, the attribute has its default and is left out."""
    kept = []
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name not in references:
                continue
            filled = AttributeProto()
            filled.CopyFrom(references[attribute.ref_attr_name])
            filled.name = attribute.name
            attribute = filled
        for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            for each in inner.node:
                _fill_in(each, references)
        kept.append(attribute)
    copies = [AttributeProto.FromString(each.SerializeToString()) for each in kept]
    del node.attribute[:]
    node.attribute.extend(copies)
