"""Values told by how they are made, and by what is made of them, whatever they are called.

Every value of a scope gets three numbers, as compilers number values, out of one numbering for both models: `exact` by
its operator, attributes and the exact numbers of its inputs, down to graph inputs and the content of weights; `rough`,
the same with weights told by type and shape alone; `uses`, by the operators that read it, up to the outputs of the
scope. Subgraphs are part of what tells the node that holds them. Constant nodes count as stored tensors, like
initializers, and what an Identity makes is the value it is given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Mapping, Sequence

import onnx.defs
from onnx import AttributeProto, NodeProto

from onnxctl.analysis.attributes import VALUE_FIELDS
from onnxctl.analysis.difference.tensors import fingerprint
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import DEFAULT_DOMAINS
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

    inputs gives the number of each input of the scope; outer is the scope around it.
    """

    def __init__(
        self, graph: Graph, numbering: Numbering, inputs: Mapping[str, Number], outer: NumberedScope | None = None
    ) -> None:
        self.graph = graph
        self.outer = outer
        self.constants: dict[str, Tensor] = {}
        self.exact: dict[str, Number] = {}
        self.rough: dict[str, Number] = {}
        self.uses: dict[str, Number] = {}
        self.node_exact: dict[int, Number] = {}
        self.node_rough: dict[int, Number] = {}
        self.node_uses: dict[int, Number] = {}
        self.operators: dict[int, Number] = {}
        self.attributes: dict[int, Number] = {}
        self.inner: dict[int, list[NumberedScope]] = {}
        self.nodes: list[NodeProto] = []
        self._number = numbering.of
        self._numbering = numbering
        self._origins: dict[str, str] = {}
        self._defaults: dict[tuple[str, str], Mapping[str, AttributeProto]] = {} if outer is None else outer._defaults
        self._take_constants()
        for name, number in inputs.items():
            self.exact.setdefault(name, number)
            self.rough.setdefault(name, number)
        for node in graph.nodes:
            if node.op_type == "Constant" and node.output and node.output[0] in self.constants:
                continue
            self.nodes.append(node)
            self._number_node(node)
        self._number_uses()

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

    def rough_of(self, name: str) -> Number:
        """The rough number of a value, here or in an outer scope."""
        if name in self.rough or self.outer is None:
            return self.rough.get(name, UNKNOWN)
        return self.outer.rough_of(name)

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
            self.rough[name] = self._number("stored", tensor.proto.data_type, tensor.shape)

    def _number_node(self, node: NodeProto) -> None:
        key, inputs = id(node), tuple(node.input)
        inner = self.inner[key] = [self._number_inner(graph) for graph in self.graph.subgraphs(node)]
        own = self.attributes[key] = self._number_attributes(node)
        domain = "" if node.domain in DEFAULT_DOMAINS else node.domain
        operator = self.operators[key] = self._number("operator", domain, node.op_type, node.overload)
        bodies = tuple([scope._number_as_whole() for scope in inner])
        exact = self._number("exact", operator, own, bodies, *[self.exact_of(name) for name in inputs])
        rough = self._number("rough", operator, own, *[self.rough_of(name) for name in inputs])
        self.node_exact[key], self.node_rough[key] = exact, rough
        for index, name in enumerate(node.output):
            if name:
                self.exact[name] = self._number("output", exact, index) if index else exact
                self.rough[name] = self._number("output", rough, index) if index else rough
        if node.op_type == "Identity" and not domain and len(inputs) == len(node.output) == 1:
            source, name = inputs[0], node.output[0]
            self._origins[name] = self._origins.get(source, source)
            self.exact[name], self.rough[name] = self.exact_of(source), self.rough_of(source)

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
        domain = "" if node.domain in DEFAULT_DOMAINS else node.domain
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

    # ------------------------------------------------------------ from the outputs back

    def _number_uses(self) -> None:
        readers: dict[str, list[tuple[Number, int]]] = {}
        whole = self._number("scope's output")
        for index, name in enumerate(self.graph.outputs):
            readers.setdefault(name, []).append((whole, index))
        for node in reversed(self.nodes):
            key, inputs, outputs = id(node), tuple(node.input), tuple(node.output)
            if outputs and outputs[0] in self._origins:
                self.node_uses[key] = self._number("handed on", key)
                readers.setdefault(inputs[0], []).extend(readers.get(outputs[0], ()))
                continue
            made = [self._number_use(name, readers) for name in outputs]
            use = self.node_uses[key] = self._number("use", self.operators[key], self.attributes[key], *made)
            for index, name in enumerate(inputs):
                readers.setdefault(name, []).append((use, index))
            if self.inner[key]:
                inside = set(self.graph.reads(node)).difference(inputs)
                for name in inside:
                    readers.setdefault(name, []).append((use, _INSIDE))

    def _number_use(self, name: str, readers: Mapping[str, list[tuple[Number, int]]]) -> Number:
        if not name:
            return UNKNOWN
        if name not in self.uses:
            self.uses[name] = self._number("readers", *sorted(readers.get(name, ())))
        return self.uses[name]


def _is_equal(attribute: AttributeProto, default: AttributeProto) -> bool:
    field = VALUE_FIELDS.get(default.type)
    if field is None or attribute.type != default.type or attribute.ref_attr_name:
        return False
    return bool(getattr(attribute, field) == getattr(default, field))
