"""The walk: every scope in topological order, each node by its operator's rule, functions once per signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TypeProto

from onnxctl.errors import ModelError
from onnxctl.model.dimensions import Dimension, symbol, unknown_symbol
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.loading import Model
from onnxctl.model.propagation.call import Call
from onnxctl.model.propagation.facts import (
    ABSENT,
    INTEGER_TYPES,
    MAXIMUM_NAME,
    UNKNOWN,
    Fact,
    fact_of_type,
    rename_symbols,
    sharpen,
    static_shape,
    tensor,
)
from onnxctl.model.propagation.operators import BY_DOMAIN
from onnxctl.model.propagation.scopes import Assumption, Propagation, ScopeFacts

MAXIMUM_FUNCTION_DEPTH = 32
"""Functions calling functions: deeper calls are not looked into."""
MAXIMUM_VISITS = 50_000
"""Besides four for each node of the model: nodes walked, loops and function calls counted each time."""
MAXIMUM_ASSUMPTIONS = 1_000
_INPUT_ELEMENTS = 8
_ODD = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, ModelError)
"""What shape functions run into on malformed nodes: the outputs are then unknown."""


def propagate(
    graphs: ModelGraphs,
    *,
    dims: Mapping[str, Dimension] | None = None,
    smallest_dimension: int = 0,
    assume_equal: bool = True,
) -> Propagation:
    """Shapes, element types and shape-like contents of every value of the model.

    dims binds symbols of the model to numbers (or other dimensions) everywhere. smallest_dimension is what the model's
    own symbols are taken to be at least: 0 is always true, 1 gives plainer results that leave empty tensors aside.
    assume_equal takes two symbols that meet in a broadcast for equal, as they mostly are; without it the result is a
    symbol of its own, since one of the two may be 1. A symbol in the target of a Reshape is taken to be no 0, which
    would mean "copy". Never raises for what is in the model.
    """
    return _Walk(graphs, dims or {}, smallest_dimension, assume_equal).run()


class _Walk:
    def __init__(
        self, graphs: ModelGraphs, dims: Mapping[str, Dimension], smallest_dimension: int, assume_equal: bool
    ) -> None:
        self.graphs = graphs
        self.model = graphs.model
        self._dims = dims
        self._smallest_dimension = smallest_dimension
        self.assumes_equal = assume_equal
        self._functions = {
            (each.proto.domain, each.proto.name, each.proto.overload): each
            for each in graphs.functions
            if isinstance(each.proto, FunctionProto)
        }
        self._memo: dict[tuple[object, ...], tuple[ScopeFacts, int]] = {}
        self._calling: list[int] = []
        self._symbols: dict[tuple[int, str, int | str], Dimension] = {}
        self.births: dict[str, int] = {}
        self._interface: set[str] = set()
        self.instances: dict[int, list[ScopeFacts]] = {}
        self.assumptions: list[Assumption] = []
        self._scope_count = 0
        self._missed_calls = False
        node_count = sum(len(scope.proto.node) for scope in graphs.scopes())
        self.visits_left = MAXIMUM_VISITS + 4 * node_count

    def run(self) -> Propagation:
        graph = self.graphs.top
        top = self.new_scope(graph, None, {})
        assert isinstance(graph.proto, GraphProto)
        walk = ScopeWalk(self, top)
        for value in graph.proto.input:
            for dim in value.type.tensor_type.shape.dim:
                self._interface.add(dim.dim_param)
        for value in graph.proto.input:
            if value.name in graph.initializers and self.model.proto.ir_version < 4:
                continue
            top.facts[value.name] = self._input_fact(value.name, value.type)
        walk.run()
        for function in self._functions.values():
            if id(function) not in self.instances or self.model.proto.training_info:  # which may call it too
                self.call_function(function, [UNKNOWN] * len(function.inputs), {})
        return Propagation(top, self.instances, self.assumptions, self.visits_left > 0 and not self._missed_calls)

    def _input_fact(self, name: str, kind: TypeProto) -> Fact:
        """An input as declared, unnamed dimensions as "name.axis"; the elements of small integer inputs are symbols."""

        def dimension(axis: int, symbol_name: str) -> Dimension:
            return self.input_dimension(symbol_name or f"{name[:MAXIMUM_NAME]}.{axis}")

        fact = fact_of_type(kind, dimension)
        shape = static_shape(fact.shape)
        if fact.dtype in INTEGER_TYPES and shape is not None and len(shape) <= 1:
            count = shape[0] if shape else 1
            if count <= _INPUT_ELEMENTS:
                elements = [symbol(f"?{name[:MAXIMUM_NAME]}[{i}]", minimum=None, unknown=True) for i in range(count)]
                return tensor(fact.dtype, shape, elements)
        return fact

    def new_scope(
        self, graph: Graph, parent: ScopeFacts | None, references: Mapping[str, AttributeProto]
    ) -> ScopeFacts:
        self._scope_count += 1
        scope = ScopeFacts(graph, parent, references, self._scope_count)
        self.instances.setdefault(id(graph), []).append(scope)
        return scope

    def named_dimension(self, name: str, *, trusted: bool) -> Dimension | None:
        """A symbol of the model (or what it is bound to); names that no input has count in the top graph only."""
        if name in self._dims or name in self._interface:
            return self.input_dimension(name)
        return symbol(name, unknown=True) if trusted else None

    def input_dimension(self, name: str) -> Dimension:
        """A dimension of the model's inputs: what it is bound to, else a symbol."""
        return self._dims[name] if name in self._dims else symbol(name, minimum=self._smallest_dimension)

    def fresh(self, scope: ScopeFacts, value: str, axis: int | str) -> Dimension:
        key = (scope.serial, value, axis)
        found = self._symbols.get(key)
        if found is None:
            path = f"{scope.graph.path}/{value}" if scope.graph.path else value
            name = f"{path[:MAXIMUM_NAME]}.{axis}"
            if f"?{name}" in self.births:
                name = f"{name}#{len(self.births)}"
            self.births[f"?{name}"] = len(self.births)
            found = self._symbols[key] = unknown_symbol(name)
        return found

    def call_function(
        self, function: Graph, inputs: Sequence[Fact], references: Mapping[str, AttributeProto]
    ) -> tuple[ScopeFacts, int] | None:
        """The function's body walked for these inputs, and how many symbols there were before; None if too deep."""
        attributes = tuple((name, references[name].SerializeToString()) for name in sorted(references))
        key = (id(function), tuple(inputs), attributes)
        known = self._memo.get(key)
        if known is not None:
            return known
        if id(function) in self._calling or len(self._calling) >= MAXIMUM_FUNCTION_DEPTH or self.visits_left <= 0:
            self._missed_calls = True
            return None
        before = len(self.births)
        scope = self.new_scope(function, None, references)
        for index, name in enumerate(function.inputs):
            scope.facts[name] = inputs[index] if index < len(inputs) else ABSENT
        self._calling.append(id(function))
        try:
            ScopeWalk(self, scope).run()
        finally:
            self._calling.pop()
        self._memo[key] = scope, before
        return scope, before

    def function_of(self, node: NodeProto) -> Graph | None:
        return self._functions.get((node.domain, node.op_type, node.overload)) if self._functions else None


class ScopeWalk:
    """The walk through one scope; the host of its calls."""

    def __init__(self, walk: _Walk, scope: ScopeFacts) -> None:
        self._walk = walk
        self._scope = scope
        self._births: dict[int, int] = {}
        graph = scope.graph
        self._stated: dict[str, TypeProto] = {value.name: value.type for value in graph.proto.value_info}
        if isinstance(graph.proto, GraphProto):
            self._stated.update((value.name, value.type) for value in graph.proto.output)
        self._opsets: dict[str, int] = {}

    @property
    def model(self) -> Model:
        return self._walk.model

    @property
    def assumes_equal(self) -> bool:
        return self._walk.assumes_equal

    def run(self) -> None:
        """Visit every node of the scope, in topological order."""
        graph = self._scope.graph
        for sparse in graph.proto.sparse_initializer if isinstance(graph.proto, GraphProto) else ():
            self._scope.facts[sparse.values.name] = tensor(sparse.values.data_type or None, tuple(sparse.dims))
        try:
            nodes = graph.nodes
        except ModelError:  # a cycle
            nodes = []
        for node in nodes:
            self._visit(node)

    def _visit(self, node: NodeProto) -> None:
        scope, walk = self._scope, self._walk
        walk.visits_left -= 1
        results: Sequence[Fact] = ()
        if walk.visits_left > 0:
            inputs = [scope.fact(name) if name else ABSENT for name in node.input]
            try:
                results = self._infer(node, inputs)
            except _ODD as error:
                self.note(node, f"not understood: {type(error).__name__}: {error}")
        count = len(results)
        for index, name in enumerate(node.output):
            if name:
                fact = results[index] if index < count else UNKNOWN
                scope.facts[name] = self._sharpened(node, name, fact)

    def _infer(self, node: NodeProto, inputs: Sequence[Fact]) -> Sequence[Fact]:
        domain = node.domain
        function = self._walk.function_of(node)
        if function is None:
            table = BY_DOMAIN.get(domain)
            rule = None if table is None else table.get(node.op_type)
            if rule is None:
                return ()
        opset = self._opsets.get(domain)
        if opset is None:
            opset = self._opsets[domain] = self._scope.graph.opset(domain)
        call = Call(self, node, inputs, opset, self._scope.references)
        if function is not None:
            return self._call_function(call, function)
        assert rule is not None
        result = rule(call)
        return (result,) if isinstance(result, Fact) else result

    def _call_function(self, call: Call, function: Graph) -> Sequence[Fact]:
        assert isinstance(function.proto, FunctionProto)
        references = {each.name: each for each in function.proto.attribute_proto}
        for each in call.node.attribute:
            given = call.attribute(each.name)
            if given is not None:
                references[each.name] = given
        walked = self._walk.call_function(function, call.inputs, references)
        if walked is None:
            return ()
        body, before = walked
        self._scope.inner[id(call.node)] = [body]
        self._births.setdefault(id(call.node), before)
        return [self.without_locals(call.node, body.fact(name), i) for i, name in enumerate(function.outputs)]

    def _sharpened(self, node: NodeProto, name: str, fact: Fact) -> Fact:
        stated = self._stated.get(name)
        if stated is not None:
            fact = sharpen(
                fact, self.stated_fact(name, stated), lambda message: self.note(node, f"contradiction: {message}")
            )
        return fact

    def stated_fact(self, name: str, kind: TypeProto) -> Fact:
        """The fact a type in this scope states."""
        trusted = self._scope.parent is None and self._scope.graph is self._walk.graphs.top

        def dimension(axis: int, symbol_name: str) -> Dimension:
            known = self._walk.named_dimension(symbol_name, trusted=trusted) if symbol_name else None
            return self.fresh(name, axis) if known is None else known

        return fact_of_type(kind, dimension)

    # ------------------------------------------------------------ what calls ask for

    def fresh(self, value: str, axis: int | str) -> Dimension:
        return self._walk.fresh(self._scope, value, axis)

    def note(self, node: NodeProto, message: str) -> None:
        if len(self._walk.assumptions) < MAXIMUM_ASSUMPTIONS:
            label = self._scope.graph.node_label(node)
            contradiction = not message.startswith("assumed")
            self._walk.assumptions.append(Assumption(label, message, contradiction))

    def run_body(
        self, node: NodeProto, name: str, inputs: Sequence[Fact] | None, trips: Dimension
    ) -> list[Fact] | None:
        """Walk the subgraph in the attribute: see `Host.run_body`."""
        scope = self._body(node, name)
        if scope is None or self._walk.visits_left <= 0:
            return None
        self._births.setdefault(id(node), len(self._walk.births))
        scope.trip_count = trips
        for inner_name, fact in zip(scope.graph.inputs, inputs or (), strict=False):
            scope.facts[inner_name] = fact
        ScopeWalk(self._walk, scope).run()
        return [scope.fact(output) for output in scope.graph.outputs]

    def _body(self, node: NodeProto, name: str) -> ScopeFacts | None:
        """The scope of the subgraph in the attribute: the same one in every round of a loop."""
        known = self._scope.inner.setdefault(id(node), [])
        for graph in self._scope.graph.subgraphs(node):
            if graph.path.endswith(f"/{name}"):
                for scope in known:
                    if scope.graph is graph:
                        return scope
                scope = self._walk.new_scope(graph, self._scope, self._scope.references)
                known.append(scope)
                return scope
        return None

    def without_locals(self, node: NodeProto, fact: Fact, output: int) -> Fact:
        """The fact as the scope around the node may see it: see `Host.without_locals`."""
        born, births = self._births.get(id(node), 0), self._walk.births
        name = node.output[output] if output < len(node.output) else ""

        def is_local(symbol_name: str) -> bool:
            return births.get(symbol_name, -1) >= born

        return rename_symbols(fact, is_local, lambda axis: self.fresh(name or f"{node.op_type}:{output}", axis))
