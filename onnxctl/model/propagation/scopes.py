"""What propagation found, to be asked by analyses and passes: `Propagation` and its tree of `ScopeFacts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from onnx import AttributeProto, FunctionProto, NodeProto

from onnxctl.model.dimensions import Dimension, unknown_symbol
from onnxctl.model.graph import Graph
from onnxctl.model.propagation.facts import UNKNOWN, Fact, Shape, Values, fact_of_tensor, join, static_shape


class ScopeFacts:
    """The values of one scope in one set of circumstances: the top graph, a subgraph, or a function as called once.

    trip_count says how often the scope runs each time its node does: 1 but for bodies of Loop, Scan and SequenceMap
    (symbolic, unknown where it depends on data) and for the branch that an If never takes (0).
    """

    def __init__(
        self, graph: Graph, parent: ScopeFacts | None, references: Mapping[str, AttributeProto], serial: int
    ) -> None:
        self.graph = graph
        self.parent = parent
        self.references = references
        self.serial = serial
        self.facts: dict[str, Fact] = {}
        self.trip_count: Dimension = 1
        self.inner: dict[int, list[ScopeFacts]] = {}

    def fact(self, name: str) -> Fact:
        """What is known of the value, here or in an outer scope."""
        scope: ScopeFacts | None = self
        while scope is not None:
            found = scope.facts.get(name)
            if found is not None:
                return found
            proto = scope.graph.initializers.get(name)
            if proto is not None:
                found = scope.facts[name] = fact_of_tensor(scope.graph.model, proto)
                return found
            scope = scope.parent
        return UNKNOWN

    def shape(self, name: str) -> Shape | None:
        """The tensor's shape, None where even its rank is unknown."""
        return self.fact(name).shape

    def static_shape(self, name: str) -> tuple[int, ...] | None:
        """The shape where every dimension is a known number."""
        return static_shape(self.fact(name).shape)

    def element_type(self, name: str) -> int | None:
        """The tensor's TensorProto.DataType number, None where unknown."""
        return self.fact(name).dtype

    def values(self, name: str) -> Values | None:
        """The contents of a small tensor, row-major, symbolic and partly None; None where nothing is known of them."""
        return self.fact(name).values

    def integers(self, name: str) -> list[Dimension] | None:
        """The contents of a small integer tensor where all elements are known, if only symbolically."""
        values = self.fact(name).values
        if values is None or any(each is None or not isinstance(each, Dimension) for each in values):
            return None
        return list(values)  # type: ignore[arg-type]

    def attribute(self, node: NodeProto, name: str) -> AttributeProto | None:
        """The node's attribute; in a function body, a reference is followed to what the caller gave."""
        for each in node.attribute:
            if each.name == name:
                return self.references.get(each.ref_attr_name) if each.ref_attr_name else each
        return None

    def scopes_in(self, node: NodeProto) -> list[ScopeFacts]:
        """The node's subgraphs, or the body of the function that it calls, as they run here."""
        return self.inner.get(id(node), [])

    def walk(self) -> Iterator[ScopeFacts]:
        """This scope and those inside it, each once: two calls of a function that are alike share one."""
        waiting, seen = [self], {id(self)}
        while waiting:
            scope = waiting.pop()
            yield scope
            for inner in reversed([each for scopes in scope.inner.values() for each in scopes]):
                if id(inner) not in seen:
                    seen.add(id(inner))
                    waiting.append(inner)


class Assumption(NamedTuple):
    """Two dimensions that had to be equal, or a contradiction: in the model, or of the model to what was computed."""

    where: str
    message: str
    contradiction: bool


@dataclass(slots=True)
class Propagation:
    """All that was found. `top` is the top graph; `of` is for rewriting: what holds whenever a scope runs."""

    top: ScopeFacts
    instances: dict[int, list[ScopeFacts]]
    assumptions: list[Assumption]
    complete: bool
    """Whether the whole model was walked; past the limit of visits, values are as the model states them, and past that
    of functions within functions, calls are not looked into."""
    _joined: dict[int, ScopeFacts] = field(default_factory=dict)

    def of(self, graph: Graph) -> ScopeFacts | None:
        """What holds in the scope whoever calls it; None if nobody does.

        A function's body runs once per call, so nothing is known of it where not all calls were walked.
        """
        if not self.complete and isinstance(graph.root.proto, FunctionProto):
            return None
        instances = self.instances.get(id(graph), [])
        if len(instances) <= 1:
            return instances[0] if instances else None
        joined = self._joined.get(id(graph))
        if joined is None:
            joined = self._joined[id(graph)] = self._join(instances)
        return joined

    def _join(self, instances: list[ScopeFacts]) -> ScopeFacts:
        first = instances[0]
        parent = self.of(first.graph.parent) if first.graph.parent is not None else None
        joined = ScopeFacts(first.graph, parent, {}, first.serial)
        for name, fact in first.facts.items():
            for other in instances[1:]:
                fact = join(
                    fact,
                    other.facts.get(name, UNKNOWN),
                    lambda axis, name=name: unknown_symbol(f"{first.graph.path}/{name}.{axis}"),  # type: ignore[misc]
                )
            joined.facts[name] = fact
        return joined
