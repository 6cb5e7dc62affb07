"""Values told by how they are made, and by what is made of them, whatever they are called.

Nodes and values get numbers as compilers number values, out of one numbering for both models: `exact` by the operator,
its attributes and the exact numbers of its inputs, down to graph inputs and the content of weights; `rough`, the same
with weights told by type and shape alone; `uses`, by the operators that read what a node makes, up to the outputs of
the scope. Subgraphs are part of what tells the node that holds them. Constant nodes count as stored tensors, like
initializers, and what an Identity makes is the value it is given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property

import onnx.defs
from onnx import AttributeProto, NodeProto

from onnxctl.analysis.difference.tensors import fingerprint
from onnxctl.model.attributes import VALUE_FIELDS
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import DEFAULT_DOMAINS, plain_domain
from onnxctl.model.tensors import Tensor

Number = int

UNKNOWN: Number = 0
"""The number of a value that nothing defines."""

_INSIDE = -1
"""The place of an input that is read by the subgraphs of a node."""


class Numbering:
    """One number for each description, the same for equal ones."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Hashable, ...], Number] = {}

    def of(self, *description: Hashable) -> Number:
        """The number of what is described so; never UNKNOWN."""
        return self._numbers.setdefault(description, len(self._numbers) + 1)


class NumberedScope:
    """One scope with the numbers of its values. `nodes` are those that compute, in topological order.

    inputs gives the number of each input of the scope; outer is the scope around it. What goes by rough numbers or uses
    is computed when it is first asked for: models that differ in nothing but names never need it.
    """

    def __init__(
        self, graph: Graph, numbering: Numbering, inputs: Mapping[str, Number], outer: NumberedScope | None = None
    ) -> None:
        self.graph = graph
        self.outer = outer
        self.constants: dict[str, Tensor] = {}
        self.exact: dict[str, Number] = {}
        self.node_exact: dict[int, Number] = {}
        self.operators: dict[int, Number] = {}
        self.attributes: dict[int, Number] = {}
        self.inner: dict[int, list[NumberedScope]] = {}
        self.nodes: list[NodeProto] = []
        self._inputs = inputs
        self._rough: dict[str, Number] = {}
        self._number = numbering.of
        self._numbering = numbering
        self._origins: dict[str, str] = {}
        self._defaults: dict[tuple[str, str], Mapping[str, AttributeProto]] = {} if outer is None else outer._defaults
        self._take_constants()
        for name, number in inputs.items():
            self.exact.setdefault(name, number)
        for node in graph.nodes:
            if node.op_type == "Constant" and node.output and node.output[0] in self.constants:
                continue
            self.nodes.append(node)
            self._number_node(node)

    def origin(self, name: str) -> str:
        """The value that was handed on by Identity nodes, here and in outer scopes, until it got this name."""
        scope: NumberedScope | None = self
        while scope is not None:
            name = scope._origins.get(name, name)
            scope = None if scope.graph.defines(name) else scope.outer
        return name

    def exact_of(self, name: str) -> Number:
        """The exact number of a value, here or in an outer scope."""
        if name in self.exact or self.outer is None:
            return self.exact.get(name, UNKNOWN)
        return self.outer.exact_of(name)

    def place_of(self, name: str) -> tuple[str, str] | None:
        """The scope and name of a stored tensor, None where the value is computed."""
        name, at = self.origin(name), self
        while name not in at.constants:
            if at.outer is None or at.graph.defines(name):
                return None
            at = at.outer
        return at.graph.path, name

    # ------------------------------------------------------------ from the inputs on

    def _take_constants(self) -> None:
        model = self.graph.model
        for name, proto in self.graph.initializers.items():
            self.constants[name] = model.tensor(proto)
        for node in self.graph.nodes_of(("Constant",)):
            if node.domain in DEFAULT_DOMAINS and node.output:
                tensor = self.graph.constant(node.output[0])
                if tensor is not None:
                    self.constants[node.output[0]] = tensor
        for name, tensor in self.constants.items():
            self.exact[name] = self._number("stored", fingerprint(tensor))

    def _number_node(self, node: NodeProto) -> None:
        key, inputs, outputs = id(node), tuple(node.input), tuple(node.output)
        inner = self.inner[key] = [self._number_inner(graph) for graph in self.graph.subgraphs(node)]
        own = self.attributes[key] = self._number_attributes(node)
        domain = plain_domain(node.domain)
        operator = self.operators[key] = self._number("operator", domain, node.op_type, node.overload)
        bodies = tuple([scope._number_as_whole() for scope in inner])
        self.node_exact[key] = self._number("exact", operator, own, bodies, *map(self.exact_of, inputs))
        self.exact.update(self._numbers_of_outputs(outputs, self.node_exact[key]))
        if node.op_type == "Identity" and not domain and len(inputs) == len(outputs) == 1:
            self._origins[outputs[0]] = self._origins.get(inputs[0], inputs[0])
            self.exact[outputs[0]] = self.exact_of(inputs[0])

    def _numbers_of_outputs(self, outputs: Sequence[str], node: Number) -> Iterator[tuple[str, Number]]:
        """The first has the number of its node."""
        for index, name in enumerate(outputs):
            if name:
                yield name, self._number("output", node, index) if index else node

    def _number_inner(self, graph: Graph) -> NumberedScope:
        inputs = {name: self._number("inner input", index) for index, name in enumerate(graph.inputs)}
        return NumberedScope(graph, self._numbering, inputs, self)

    def _number_as_whole(self) -> Number:
        """What tells the scope as a whole: its outputs, and how many inputs it has."""
        return self._number("scope", len(self.graph.inputs), *map(self.exact_of, self.graph.outputs))

    def _number_attributes(self, node: NodeProto) -> Number:
        """All attributes but subgraphs, which come with the node's own number, and those that state the default."""
        given = self.given(node)
        return self._number("attributes", *sorted([self.attribute_number(each) for each in given]))

    def given(self, node: NodeProto) -> list[AttributeProto]:
        """The attributes that say something: others than the operator's own defaults."""
        if not node.attribute:
            return []
        defaults = self._defaults_of(node)
        return [
            each for each in node.attribute if each.name not in defaults or not _is_equal(each, defaults[each.name])
        ]

    def _defaults_of(self, node: NodeProto) -> Mapping[str, AttributeProto]:
        domain = plain_domain(node.domain)
        key = domain, node.op_type
        if key not in self._defaults:
            self._defaults[key] = {}
            with contextlib.suppress(onnx.defs.SchemaError, TypeError, UnicodeEncodeError, OverflowError):
                schema = onnx.defs.get_schema(node.op_type, self.graph.opset(domain), domain)
                self._defaults[key] = {name: each.default_value for name, each in schema.attributes.items()}
        return self._defaults[key]

    def attribute_number(self, attribute: AttributeProto) -> Number:
        """What tells an attribute; of subgraphs, only that they are there."""
        return self._number("attribute", attribute.name, *self._attribute_value(attribute))

    def _attribute_value(self, attribute: AttributeProto) -> Sequence[Hashable]:
        if attribute.HasField("g") or attribute.graphs:
            return "graphs", 1 if attribute.HasField("g") else len(attribute.graphs)
        if attribute.HasField("t"):
            return "tensor", fingerprint(self.graph.model.tensor(attribute.t))
        if attribute.doc_string:
            bare = AttributeProto()
            bare.CopyFrom(attribute)
            bare.ClearField("doc_string")
            attribute = bare
        return ("bytes", attribute.SerializePartialToString(deterministic=True))

    # ------------------------------------------------------------ the same, whatever the values of weights

    @cached_property
    def node_rough(self) -> dict[int, Number]:
        """The rough number of every node."""
        found: dict[int, Number] = {}
        for name, tensor in self.constants.items():
            self._rough[name] = self._number("stored", tensor.proto.data_type, tensor.shape)
        for name, number in self._inputs.items():
            self._rough.setdefault(name, number)
        for node in self.nodes:
            key, inputs = id(node), tuple(node.input)
            found[key] = self._number("rough", self.operators[key], self.attributes[key], *map(self._rough_of, inputs))
            self._rough.update(self._numbers_of_outputs(node.output, found[key]))
            if node.output and node.output[0] in self._origins:
                self._rough[node.output[0]] = self._rough_of(inputs[0])
        return found

    def _rough_of(self, name: str) -> Number:
        if name in self._rough or self.outer is None:
            return self._rough.get(name, UNKNOWN)
        _ = self.outer.node_rough
        return self.outer._rough_of(name)

    # ------------------------------------------------------------ from the outputs back

    @cached_property
    def node_uses(self) -> dict[int, Number]:
        """What is made of the outputs of every node, in one number."""
        found: dict[int, Number] = {}
        readers: dict[str, list[tuple[Number, int]]] = {}
        whole = self._number("scope's output")
        for index, name in enumerate(self.graph.outputs):
            readers.setdefault(name, []).append((whole, index))
        for node in reversed(self.nodes):
            key, inputs, outputs = id(node), tuple(node.input), tuple(node.output)
            if outputs and outputs[0] in self._origins:
                found[key] = self._number("handed on", key)
                readers.setdefault(inputs[0], []).extend(readers.get(outputs[0], ()))
                continue
            made = [self._number("readers", *sorted(readers.get(name, ()))) if name else UNKNOWN for name in outputs]
            found[key] = self._number("use", self.operators[key], self.attributes[key], *made)
            for index, name in enumerate(inputs):
                readers.setdefault(name, []).append((found[key], index))
            if self.inner[key]:
                for name in set(self.graph.reads(node)).difference(inputs):
                    readers.setdefault(name, []).append((found[key], _INSIDE))
        return found


def _is_equal(attribute: AttributeProto, default: AttributeProto) -> bool:
    field = VALUE_FIELDS.get(default.type)
    if field is None or attribute.type != default.type or attribute.ref_attr_name:
        return False
    return bool(getattr(attribute, field) == getattr(default, field))
