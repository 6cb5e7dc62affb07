"""One scope of a model, indexed: who makes a value, who reads it, what is constant; and the edits passes are made of.

A `Graph` stands over a GraphProto or FunctionProto and edits that message's own nodes, so whatever we don't understand
stays in place. Subgraphs are Graphs with a parent: a node that holds subgraphs counts as a reader of the outer values
they use. Removed nodes and initializers leave the message, and nodes reach topological order, at `commit`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto, TypeProto

from onnxctl.errors import InvalidModel
from onnxctl.model.attributes import AttributeValue, new_attribute
from onnxctl.model.loading import Model
from onnxctl.model.names import node_label
from onnxctl.model.nodes import DEFAULT_DOMAINS, constant_tensor
from onnxctl.model.ordering import topological_order
from onnxctl.model.tensors import Tensor
from onnxctl.model.types import Shape, StatedTypes, TensorType

if TYPE_CHECKING:
    from onnxctl.model.arrays import Array


class Graph:
    """One scope: the top graph (no parent), a subgraph (with its parent and the node that holds it) or a function.

    `path` names the scope in reports: "" for the top graph, "If_3/then_branch", "function:domain:Name". `root` is the
    outermost scope around it: the top graph or a function.
    `inferred` holds the types of tensors as they were worked out (see `model.shapes`): they count more than what the
    model states, which is false in many a model whose inputs were edited.
    `pinned` are the values of the root and the scopes inside it that other parts of the model refer to by name.
    """

    def __init__(
        self,
        model: Model,
        proto: GraphProto | FunctionProto,
        *,
        parent: Graph | None = None,
        holder: NodeProto | None = None,
        path: str = "",
        taken: set[str] | None = None,
    ) -> None:
        self.model = model
        self.proto = proto
        self.parent = parent
        self.root: Graph = self if parent is None else parent.root
        self.holder = holder
        self.path = path
        self.inferred: dict[str, TensorType] = {}
        self.pinned: frozenset[str] = frozenset()
        self._nodes: dict[int, NodeProto] = {}
        self._by_operator: dict[str, dict[int, NodeProto]] = {}
        self._producers: dict[str, NodeProto] = {}
        self._consumers: dict[str, dict[int, NodeProto]] = {}
        self._reads: dict[int, tuple[str, ...]] = {}
        self._subgraphs: dict[int, list[Graph]] = {}
        self._positions: dict[int, tuple[float, int]] = {}
        self._dirty_holders: dict[int, NodeProto] = {}
        self._added_count = 0
        self._unsorted = False
        self._initializers: dict[str, TensorProto] = {}
        self._removed_initializers = False
        self._stated = StatedTypes(proto)
        self._taken: set[str] = set() if taken is None else taken
        self._name_counts: dict[str, int] = {}
        self.look_count, self.last_look = 0, ""
        self._looks_allowed: int | None = None
        self._read_interface()
        early = set[str]()
        for index, node in enumerate(proto.node):
            self._positions[id(node)] = (float(index), 0)
            self._attach(node)
            early.update(name for name in self._reads[id(node)] if name not in self._producers)
            self._unsorted = self._unsorted or not early.isdisjoint(node.output)

    def _read_interface(self) -> None:
        proto = self.proto
        if isinstance(proto, FunctionProto):
            self.inputs, self.outputs = tuple(proto.input), list(proto.output)
            self.sparse_initializers: frozenset[str] = frozenset()
        else:
            self.inputs, self.outputs = tuple(v.name for v in proto.input), [v.name for v in proto.output]
            self._initializers = {tensor.name: tensor for tensor in proto.initializer}
            self.sparse_initializers = frozenset(sparse.values.name for sparse in proto.sparse_initializer)
        self._input_set, self._output_set = frozenset(self.inputs), frozenset(self.outputs)
        self._taken.update(self.inputs, self._initializers, self.sparse_initializers)

    # ------------------------------------------------------------ reading

    @property
    def nodes(self) -> list[NodeProto]:
        """The live nodes in topological order. Raises InvalidModel where they form a cycle."""
        self._refresh_holders()
        if self._unsorted:
            self._sort()
        return list(self._nodes.values())

    def nodes_of(self, op_types: Collection[str]) -> list[NodeProto]:
        """The live nodes of these operators, of whatever domain, in topological order."""
        self._refresh_holders()
        if self._unsorted:
            self._sort()
        found = [key for op_type in op_types for key in self._by_operator.get(op_type, ())]
        found.sort(key=self._positions.__getitem__)
        return [self._nodes[key] for key in found]

    @property
    def initializers(self) -> Mapping[str, TensorProto]:
        """The initializers of this scope by name."""
        return self._initializers

    def contains(self, node: NodeProto) -> bool:
        """Whether the node is live in this scope."""
        return id(node) in self._nodes

    def is_live(self) -> bool:
        """Whether the scope is still part of the model: the node that holds it, and all above it, are."""
        if self.parent is None or self.holder is None:
            return True
        return self.parent.contains(self.holder) and self.parent.is_live()

    def is_input(self, name: str) -> bool:
        """Whether the value is an input of this scope."""
        return name in self._input_set

    def is_output(self, name: str) -> bool:
        """Whether the value is an output of this scope."""
        return name in self._output_set

    def producer(self, name: str) -> NodeProto | None:
        """The node of this scope that makes the value."""
        return self._producers.get(name)

    def consumers(self, name: str) -> list[NodeProto]:
        """The nodes of this scope that read the value, each once; nodes whose subgraphs read it included."""
        self._refresh_holders()
        return list(self._consumers.get(name, {}).values())

    def is_used(self, name: str) -> bool:
        """Whether any node reads the value or it is an output of this scope."""
        self._refresh_holders()
        return name in self._output_set or bool(self._consumers.get(name))

    def reads(self, node: NodeProto) -> tuple[str, ...]:
        """Every value of this scope or an outer one that the node reads, its subgraphs' reads included; "" for none."""
        self._refresh_holders()
        return self._reads[id(node)]

    def only_consumer(self, name: str) -> NodeProto | None:
        """The one node that needs the value, once, directly and as nothing else; None for outputs and pinned values."""
        readers = self.consumers(name)
        if len(readers) != 1 or name in self._output_set or name in self.root.pinned:
            return None
        reads = self._reads[id(readers[0])]
        return readers[0] if reads.count(name) == 1 and list(readers[0].input).count(name) == 1 else None

    def defines(self, name: str) -> bool:
        """Whether the name is an input, initializer or node output of this very scope."""
        return (
            name in self._producers
            or name in self._initializers
            or name in self._input_set
            or name in self.sparse_initializers
        )

    def scope_of(self, name: str) -> Graph | None:
        """The innermost scope, from here outward, that defines the name."""
        scope: Graph | None = self
        while scope is not None and not scope.defines(name):
            scope = scope.parent
        return scope

    def constant(self, name: str) -> Tensor | None:
        """The value where it never changes: an initializer no caller can override, or a Constant node's tensor.

        Looks through outer scopes. An initializer that is also a graph input can be overridden from IR version 4 on.
        """
        scope = self.scope_of(name)
        if scope is None:
            return None
        if name in scope._initializers:
            overridable = name in scope._input_set and self.model.proto.ir_version >= 4
            return None if overridable else self.model.tensor(scope._initializers[name])
        node = scope._producers.get(name)
        if node is None or node.op_type != "Constant" or node.domain not in DEFAULT_DOMAINS:
            return None
        return constant_tensor(self.model, node)

    def constant_values(self, name: str, *, at_most: int = 4096) -> Array | None:
        """The value of `constant` as an array, where it has at most so many elements."""
        tensor = self.constant(name)
        return None if tensor is None or tensor.element_count > at_most else tensor.numpy()

    def stated_type(self, name: str) -> TypeProto | None:
        """The value's type as the model states it. Looks through outer scopes."""
        scope = self.scope_of(name)
        return None if scope is None else scope._stated.find(name)

    def tensor_type(self, name: str) -> TensorType | None:
        """The tensor's type: of its initializer, as worked out, or as stated. Looks through outer scopes.

        None where nothing is known of it, or the value is no tensor.
        """
        scope = self.scope_of(name)
        if scope is None:
            return None
        tensor = scope._initializers.get(name)
        if tensor is not None:
            return TensorType(tensor.data_type or None, tuple(dim if dim >= 0 else None for dim in tensor.dims))
        return scope.inferred.get(name) or scope._stated.tensor(name)

    def shape_of(self, name: str) -> Shape | None:
        """The tensor's shape: sizes, symbols, None where unknown; None where even the rank is unknown."""
        known = self.tensor_type(name)
        return None if known is None else known.shape

    def static_shape(self, name: str) -> tuple[int, ...] | None:
        """The shape where every dimension is a known size."""
        shape = self.shape_of(name)
        if shape is None or not all(isinstance(dim, int) for dim in shape):
            return None
        return tuple(dim for dim in shape if isinstance(dim, int))

    def element_type(self, name: str) -> int | None:
        """The tensor's TensorProto.DataType number, None where it is unknown or the value is no tensor."""
        known = self.tensor_type(name)
        return None if known is None else known.element_type

    def opset(self, domain: str = "") -> int:
        """The version of the domain's operators in force in this scope; 0 where it is not imported."""
        root = self.root.proto
        stated = root if isinstance(root, FunctionProto) else self.model.proto
        wanted = DEFAULT_DOMAINS if domain in DEFAULT_DOMAINS else (domain,)
        return max((int(each.version) for each in stated.opset_import if each.domain in wanted), default=0)

    def subgraphs(self, node: NodeProto) -> list[Graph]:
        """The node's subgraphs as Graphs, in the order of its attributes."""
        return self._subgraphs.get(id(node), [])

    def walk(self) -> Iterator[Graph]:
        """This scope and every scope inside it, outer before inner."""
        yield self
        for key in [key for key in self._nodes if key in self._subgraphs] if self._subgraphs else ():
            for inner in self._subgraphs.get(key, ()):
                yield from inner.walk()

    def node_label(self, node: NodeProto) -> str:
        """How reports name the node: its name, or its operator and first output, with the scope before it."""
        return node_label(self.path, node)

    def allow_looks(self, count: int | None) -> None:
        """Let `may_look` allow so many nodes from now on, or all (None)."""
        self.look_count, self.last_look, self._looks_allowed = 0, "", count

    def may_look(self, node: NodeProto) -> bool:
        """Whether a pass may look at one more node; under a limit `last_look` names the last that it could."""
        if self._looks_allowed is not None:
            if self.look_count >= self._looks_allowed:
                return False
            self.last_look = self.node_label(node)
        self.look_count += 1
        return True

    # ------------------------------------------------------------ editing

    def add_node(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        before: NodeProto,
        name: str = "",
        domain: str = "",
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> NodeProto:
        """A new node in front of another. Attribute values as `new_attribute` takes them."""
        node: NodeProto = self.proto.node.add(op_type=op_type, input=inputs, output=outputs)
        if name:
            node.name = name
        if domain:
            node.domain = domain
        for key, value in (attributes or {}).items():
            node.attribute.append(new_attribute(key, value))
        return self._enter(node, before)

    def insert(self, node: NodeProto, *, before: NodeProto) -> NodeProto:
        """A copy of a whole node, its attributes and subgraphs included, in front of another."""
        copy: NodeProto = self.proto.node.add()
        copy.CopyFrom(node)
        return self._enter(copy, before)

    def _enter(self, node: NodeProto, before: NodeProto) -> NodeProto:
        place, _ = self._positions[id(before)]
        self._added_count += 1
        self._positions[id(node)] = (place - 0.5, self._added_count)
        self._attach(node)
        self._unsorted = True
        return node

    def remove(self, node: NodeProto) -> None:
        """Take the node out. Its outputs stay unmade until another node makes them: see `replace_uses`."""
        self._detach_reads(node)
        self._subgraphs.pop(id(node), None)
        self._dirty_holders.pop(id(node), None)
        for output in node.output:
            if self._producers.get(output) is node:
                del self._producers[output]
        del self._nodes[id(node)], self._positions[id(node)], self._by_operator[node.op_type][id(node)]
        self._outer_reads_changed()

    def set_operator(self, node: NodeProto, op_type: str) -> None:
        """Let the node be another operator of its domain, with the inputs, outputs and attributes it has."""
        del self._by_operator[node.op_type][id(node)]
        node.op_type = op_type
        self._by_operator.setdefault(op_type, {})[id(node)] = node

    def set_input(self, node: NodeProto, index: int, name: str) -> None:
        """Let the node read another value as its input number `index`; "" leaves an optional input out."""
        self._detach_reads(node)
        node.input[index] = name
        self._attach_reads(node)
        self._expect_order(node)
        self._outer_reads_changed()

    def set_inputs(self, node: NodeProto, names: Sequence[str]) -> None:
        """Replace all inputs of the node."""
        self._detach_reads(node)
        del node.input[:]
        node.input.extend(names)
        self._attach_reads(node)
        self._expect_order(node)
        self._outer_reads_changed()

    def set_outputs(self, node: NodeProto, names: Sequence[str]) -> None:
        """Replace all outputs of the node; whoever read the old names must be moved by the caller."""
        for output in node.output:
            if self._producers.get(output) is node:
                del self._producers[output]
        del node.output[:]
        node.output.extend(names)
        self._producers.update((name, node) for name in names if name)
        self._unsorted = True

    def replace_uses(self, old: str, new: str) -> None:
        """Let every node here and in subgraphs that reads `old` read `new`; outputs of this scope stay as they are."""
        for node in self._rewrite_reads(old, new):
            self._expect_order(node)
        self._outer_reads_changed()

    def set_initializer(self, tensor: TensorProto) -> None:
        """Add an initializer, or replace the one of the same name in place (an overriding input stays one)."""
        assert isinstance(self.proto, GraphProto), "a function body has no initializers"
        known = self._initializers.get(tensor.name)
        if known is not None:
            known.CopyFrom(tensor)
        else:
            self._initializers[tensor.name] = self.proto.initializer.add()
            self._initializers[tensor.name].CopyFrom(tensor)

    def remove_initializer(self, name: str) -> None:
        """Take an initializer out; whoever reads it must be moved first."""
        del self._initializers[name]
        self._removed_initializers = True

    def fresh_name(self, wanted: str) -> str:
        """A value or node name that nothing in the whole model has yet, near the wanted one."""
        name = self.free_name(wanted)
        self._taken.add(name)
        return name

    def free_name(self, wanted: str) -> str:
        """The name that `fresh_name` gives if it is asked next."""
        name, count = wanted, self._name_counts.get(wanted, 0)
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._name_counts[wanted] = count
        return name

    def commit(self) -> None:
        """Bring the message into line with the index, here and in all subgraphs: removed things gone, nodes sorted."""
        order = {id(node): index for index, node in enumerate(self.nodes)}
        kept = len(order)
        if kept != len(self.proto.node) or any(order.get(id(n)) != i for i, n in enumerate(self.proto.node)):
            self.proto.node.sort(key=lambda node: order.get(id(node), kept))
            del self.proto.node[kept:]
        if self._removed_initializers and isinstance(self.proto, GraphProto):
            live = {id(tensor) for tensor in self._initializers.values()}
            self.proto.initializer.sort(key=lambda tensor: id(tensor) not in live)
            del self.proto.initializer[len(live) :]
            self._removed_initializers = False
        for inner_scopes in self._subgraphs.values():
            for inner in inner_scopes:
                inner.commit()

    # ------------------------------------------------------------ the index

    def _attach(self, node: NodeProto) -> None:
        self._nodes[id(node)] = node
        self._by_operator.setdefault(node.op_type, {})[id(node)] = node
        self._taken.add(node.name)
        self._taken.update(node.output)
        for output in node.output:
            if output:
                self._producers[output] = node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH or attribute.HasField("g"):
                inner = [attribute.g]
            elif attribute.graphs:
                inner = list(attribute.graphs)
            else:
                continue
            label = node.name or node.op_type
            for index, graph in enumerate(inner):
                suffix = f"[{index}]" if attribute.graphs else ""
                path = f"{label}/{attribute.name}{suffix}"
                path = f"{self.path}/{path}" if self.path else path
                scope = Graph(self.model, graph, parent=self, holder=node, path=path, taken=self._taken)
                self._subgraphs.setdefault(id(node), []).append(scope)
        self._attach_reads(node)

    def _attach_reads(self, node: NodeProto) -> None:
        reads = list(node.input)
        for inner in self._subgraphs.get(id(node), ()):
            reads.extend(inner.captured())
        self._reads[id(node)] = tuple(reads)
        for name in reads:
            if name:
                self._consumers.setdefault(name, {})[id(node)] = node

    def _detach_reads(self, node: NodeProto) -> None:
        for name in self._reads.pop(id(node), ()):
            if name and (readers := self._consumers.get(name)) is not None:
                readers.pop(id(node), None)

    def captured(self) -> list[str]:
        """The outer values this scope reads, each once: by its nodes, their subgraphs, or as its own outputs."""
        self._refresh_holders()
        names = dict.fromkeys(name for name, readers in self._consumers.items() if readers and not self.defines(name))
        names.update(dict.fromkeys(name for name in self.outputs if not self.defines(name)))
        return list(names)

    def _replace_captured(self, old: str, new: str) -> None:
        if self.defines(old):
            return
        for index, name in enumerate(self.outputs):
            if name == old and isinstance(self.proto, GraphProto):
                self.outputs[index] = self.proto.output[index].name = new
        self._output_set = frozenset(self.outputs)
        self._rewrite_reads(old, new)

    def _rewrite_reads(self, old: str, new: str) -> list[NodeProto]:
        """Let the nodes that read `old`, themselves or in subgraphs, read `new`; those nodes."""
        readers = self.consumers(old)
        for node in readers:
            self._detach_reads(node)
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new
            for inner in self._subgraphs.get(id(node), ()):
                inner._replace_captured(old, new)
            self._attach_reads(node)
        return readers

    def _outer_reads_changed(self) -> None:
        """Tell the outer scopes that the node holding this one may read other values now."""
        if self.parent is not None and self.holder is not None:
            self.parent._dirty_holders[id(self.holder)] = self.holder
            self.parent._outer_reads_changed()

    def _refresh_holders(self) -> None:
        while self._dirty_holders:
            _, node = self._dirty_holders.popitem()
            if id(node) in self._nodes:
                self._detach_reads(node)
                self._attach_reads(node)
                self._expect_order(node)

    def _expect_order(self, node: NodeProto) -> None:
        """Sort before the next walk if the node now reads what is made after it."""
        place = self._positions[id(node)]
        makers = (self._producers.get(name) for name in self._reads[id(node)])
        if any(maker is not None and self._positions[id(maker)] >= place for maker in makers):
            self._unsorted = True

    def _sort(self) -> None:
        """Topological order; among the nodes that are ready, the one that stood first goes first."""
        self._refresh_holders()
        before = {
            key: {id(maker) for name in self._reads[key] if (maker := self._producers.get(name)) is not None}
            for key in self._nodes
        }
        order = topological_order(before, self._positions)
        if len(order) != len(self._nodes):
            done = set(order)
            stuck = next(node for key, node in self._nodes.items() if key not in done)
            raise InvalidModel(f"the graph has a cycle through node {self.node_label(stuck)!r}")
        self._nodes = {key: self._nodes[key] for key in order}
        self._positions = {key: (float(index), 0) for index, key in enumerate(order)}
        self._unsorted = False


class ModelGraphs:
    """The top graph and the function bodies of a model, indexed, and every scope inside them."""

    def __init__(self, model: Model) -> None:
        taken: set[str] = set()
        self.model = model
        self.top = Graph(model, model.proto.graph, taken=taken)
        self.functions: list[Graph] = []
        for function in model.proto.functions:
            path = f"function:{function.domain}:{function.name}"
            path = f"{path}:{function.overload}" if function.overload else path
            self.functions.append(Graph(model, function, path=path, taken=taken))

    def scopes(self) -> Iterator[Graph]:
        """Every scope of the model: the top graph and its subgraphs, then each function body and its subgraphs."""
        for root in (self.top, *self.functions):
            yield from root.walk()

    def commit(self) -> None:
        """Bring the messages into line with the indices: see `Graph.commit`."""
        for root in (self.top, *self.functions):
            root.commit()
