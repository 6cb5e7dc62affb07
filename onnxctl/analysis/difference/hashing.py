"""Values told by how they are made, and by what is made of them, whatever they are called.

Every value of a scope gets three digests, 16 bytes each, in the manner of Merkle trees: `exact` from its operator,
attributes and the exact digests of its inputs, down to graph inputs and the content of weights; `rough`, the same with
weights told by type and shape alone; `uses`, from the operators that read it, up to the outputs of the scope. Subgraphs
are part of the digest of the node that holds them. Constant nodes count as stored tensors, like initializers, and what
an Identity makes is the value it is given.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence

import onnx.defs
from onnx import AttributeProto, NodeProto

from onnxctl.analysis.attributes import VALUE_FIELDS
from onnxctl.analysis.difference.tensors import fingerprint
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import DEFAULT_DOMAINS, is_standard
from onnxctl.model.tensors import Tensor

Digest = bytes


def digest_of(*parts: bytes) -> Digest:
    """One digest of several byte strings, told apart by their lengths."""
    told_apart = b"".join([len(part).to_bytes(8, "little") + part for part in parts])
    return hashlib.blake2b(told_apart, digest_size=16).digest()


_NO_ATTRIBUTES = digest_of()


class HashedScope:
    """One scope with the digests of its values. `nodes` are those that compute, in topological order.

    inputs gives the digest of each input of the scope; outer is the scope around it.
    """

    def __init__(self, graph: Graph, inputs: Mapping[str, Digest], outer: HashedScope | None = None) -> None:
        self.graph = graph
        self.outer = outer
        self.constants: dict[str, Tensor] = {}
        self.exact: dict[str, Digest] = {}
        self.rough: dict[str, Digest] = {}
        self.uses: dict[str, Digest] = {}
        self.node_exact: dict[int, Digest] = {}
        self.node_rough: dict[int, Digest] = {}
        self.node_uses: dict[int, Digest] = {}
        self.operators: dict[int, Digest] = {}
        self.attributes: dict[int, Digest] = {}
        self.inner: dict[int, list[HashedScope]] = {}
        self._origins: dict[str, str] = {}
        self.nodes: list[NodeProto] = []
        self._defaults: dict[tuple[str, str], Mapping[str, AttributeProto]] = {}
        self._operators: dict[tuple[str, str, str], Digest] = {}
        if outer is not None:
            self._defaults, self._operators = outer._defaults, outer._operators
        self._take_constants()
        for name, digest in inputs.items():
            self.exact.setdefault(name, digest)
            self.rough.setdefault(name, digest)
        for node in graph.nodes:
            if node.output and node.output[0] in self.constants and node.op_type == "Constant":
                continue
            self.nodes.append(node)
            self._hash_node(node)
        self._hash_uses()

    def origin(self, name: str) -> str:
        """The value that was handed on by Identity nodes, here and in outer scopes, until it got this name."""
        scope: HashedScope | None = self
        while scope is not None:
            name = scope._origins.get(name, name)
            scope = None if scope.graph.defines(name) else scope.outer
        return name

    def output_digest(self) -> Digest:
        """What tells the scope as a whole: its outputs, and how many inputs it has."""
        return digest_of(b"scope", str(len(self.graph.inputs)).encode(), *map(self.exact_of, self.graph.outputs))

    def exact_of(self, name: str) -> Digest:
        """The exact digest of a value, here or in an outer scope."""
        if name in self.exact or self.outer is None:
            return self.exact.get(name, b"")
        return self.outer.exact_of(name)

    def rough_of(self, name: str) -> Digest:
        """The rough digest of a value, here or in an outer scope."""
        if name in self.rough or self.outer is None:
            return self.rough.get(name, b"")
        return self.outer.rough_of(name)

    # ------------------------------------------------------------ from the inputs on

    def _take_constants(self) -> None:
        model = self.graph.model
        for name, proto in self.graph.initializers.items():
            self.constants[name] = model.tensor(proto)
        for node in self.graph.nodes:
            if node.op_type == "Constant" and node.domain in DEFAULT_DOMAINS and node.output:
                tensor = self.graph.constant(node.output[0])
                if tensor is not None:
                    self.constants[node.output[0]] = tensor
        for name, tensor in self.constants.items():
            self.exact[name] = fingerprint(tensor)
            self.rough[name] = digest_of(b"stored", f"{tensor.proto.data_type}{list(tensor.shape)}".encode())

    def _hash_node(self, node: NodeProto) -> None:
        key = id(node)
        self.inner[key] = [
            HashedScope(
                graph, {name: digest_of(b"inner input", str(i).encode()) for i, name in enumerate(graph.inputs)}, self
            )
            for graph in self.graph.subgraphs(node)
        ]
        own = self.attributes[key] = self._hash_attributes(node)
        head = self.operators[key] = self._operator(node)
        inner = [scope.output_digest() for scope in self.inner[key]]
        self.node_exact[key] = digest_of(head, own, *inner, b"inputs", *(self.exact_of(name) for name in node.input))
        self.node_rough[key] = digest_of(head, own, b"inputs", *(self.rough_of(name) for name in node.input))
        for index, name in enumerate(node.output):
            if name:
                self.exact[name] = digest_of(self.node_exact[key], str(index).encode())
                self.rough[name] = digest_of(self.node_rough[key], str(index).encode())
        if is_standard(node, "Identity") and len(node.input) == len(node.output) == 1:
            source, name = node.input[0], node.output[0]
            self._origins[name] = self._origins.get(source, source)
            self.exact[name], self.rough[name] = self.exact_of(source), self.rough_of(source)

    def _operator(self, node: NodeProto) -> Digest:
        """What tells the operator."""
        key = "" if node.domain in DEFAULT_DOMAINS else node.domain, node.op_type, node.overload
        if key not in self._operators:
            parts = [each.encode("utf-8", "surrogateescape") if isinstance(each, str) else each for each in key]
            self._operators[key] = digest_of(*parts)
        return self._operators[key]

    def _hash_attributes(self, node: NodeProto) -> Digest:
        """All attributes but subgraphs, whose digests come with the node's own, and those that state the default."""
        if not node.attribute:
            return _NO_ATTRIBUTES
        return digest_of(*(self.attribute_digest(each) for each in sorted(self.given(node), key=_name)))

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

    def attribute_digest(self, attribute: AttributeProto) -> Digest:
        """What tells an attribute; of subgraphs, only that they are there."""
        return digest_of(*self._attribute(attribute))

    def _attribute(self, attribute: AttributeProto) -> Sequence[bytes]:
        name = attribute.name.encode("utf-8", "surrogateescape") if isinstance(attribute.name, str) else attribute.name
        if attribute.HasField("g") or attribute.graphs:
            return name, f"{1 if attribute.HasField('g') else len(attribute.graphs)} graphs".encode()
        if attribute.HasField("t"):
            return name, fingerprint(self.graph.model.tensor(attribute.t))
        bare = AttributeProto()
        bare.CopyFrom(attribute)
        bare.ClearField("doc_string")
        return name, bare.SerializePartialToString(deterministic=True)

    # ------------------------------------------------------------ from the outputs back

    def _hash_uses(self) -> None:
        readers: dict[str, list[bytes]] = {}
        for index, name in enumerate(self.graph.outputs):
            readers.setdefault(name, []).append(digest_of(b"output", str(index).encode()))
        for node in reversed(self.nodes):
            key = id(node)
            self.node_uses[key] = digest_of(b"handed on", str(key).encode())
            if node.output and node.output[0] in self._origins:
                readers.setdefault(node.input[0], []).extend(readers.get(node.output[0], ()))
                continue
            made = [self._use(name, readers) for name in node.output]
            self.node_uses[key] = digest_of(self.operators[key], self.attributes[key], *made)
            for index, name in enumerate(node.input):
                readers.setdefault(name, []).append(digest_of(self.node_uses[key], str(index).encode()))
            own = set(node.input)
            for name in self.graph.reads(node):
                if name not in own:
                    readers.setdefault(name, []).append(digest_of(self.node_uses[key], b"inside"))

    def _use(self, name: str, readers: Mapping[str, list[bytes]]) -> Digest:
        if not name:
            return b""
        if name not in self.uses:
            self.uses[name] = digest_of(*sorted(readers.get(name, ())))
        return self.uses[name]


def _is_equal(attribute: AttributeProto, default: AttributeProto) -> bool:
    field = VALUE_FIELDS.get(default.type)
    if field is None or attribute.type != default.type or attribute.ref_attr_name:
        return False
    return bool(getattr(attribute, field) == getattr(default, field))


def _name(attribute: AttributeProto) -> str:
    return str(attribute.name)
