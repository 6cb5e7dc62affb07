"""The comparison itself: scopes side by side, their nodes matched, then every pair looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from onnx import AttributeProto, NodeProto

from onnxctl.analysis.attributes import attribute_in_words
from onnxctl.analysis.difference.detours import Detours, ScopePair
from onnxctl.analysis.difference.header import NamePair, header_changes, interface_changes, pair_values
from onnxctl.analysis.difference.matching import Matching
from onnxctl.analysis.difference.numbering import NumberedScope, Numbering
from onnxctl.analysis.difference.weights import Stored, WeightTally, stored_tensors
from onnxctl.analysis.functions import function_key, in_words
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.names import as_text
from onnxctl.model.nodes import DEFAULT_DOMAINS
from onnxctl.reports import DiffCounts, InterfaceChange, NodeChange, TextChange, WeightChange

StoredPair = tuple[tuple[str, str], tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All that differs between two models, and how much does not."""

    header: tuple[TextChange, ...]
    interface: tuple[InterfaceChange, ...]
    nodes: tuple[NodeChange, ...]
    weights: tuple[WeightChange, ...]
    counts: DiffCounts


def compare_models(a: ModelGraphs, b: ModelGraphs, *, quick: bool = False) -> Difference:
    """Compare two models; quick: weights whose samples are equal count as equal."""
    graph_a, graph_b = a.model.proto.graph, b.model.proto.graph
    inputs = pair_values(graph_a.input, graph_b.input)
    outputs = pair_values(graph_a.output, graph_b.output)
    comparison, numbering = _Comparison(), Numbering()
    top_a, top_b = _numbered_tops(a, b, inputs, numbering)
    names = {pair.before: pair.after for pair in inputs if pair.before is not None and pair.after is not None}
    top = comparison.compare(top_a, top_b, names)
    functions = _compare_functions(a, b, comparison, numbering)
    weights = _compare_weights(
        stored_tensors(_all_scopes([top_a, *functions[0]])),
        stored_tensors(_all_scopes([top_b, *functions[1]])),
        comparison.stored_pairs,
        quick,
    )
    changed_outputs = [
        InterfaceChange(
            role="output",
            before=as_text(before),
            after=as_text(after),
            before_type=None,
            after_type=None,
            note="it is made by another node",
        )
        for before, after in outputs
        if before is not None and after is not None and top.is_moved(before, after)
    ]
    scopes_a, scopes_b = _all_scopes([top_a, *functions[0]]), _all_scopes([top_b, *functions[1]])
    return Difference(
        header=tuple(header_changes(a.model.proto, b.model.proto)),
        interface=(
            *interface_changes("input", graph_a.input, graph_b.input, inputs),
            *interface_changes("output", graph_a.output, graph_b.output, outputs),
            *changed_outputs,
        ),
        nodes=tuple(comparison.changes),
        weights=tuple(weights.tally.changes),
        counts=DiffCounts(
            nodes_before=sum(len(scope.nodes) for scope in scopes_a),
            nodes_after=sum(len(scope.nodes) for scope in scopes_b),
            matched_nodes=comparison.matched,
            renamed_nodes=comparison.renamed_nodes,
            renamed_values=comparison.renamed_values,
            weights_before=weights.before,
            weights_after=weights.after,
            equal_weights=weights.tally.equal,
            renamed_weights=weights.tally.renamed,
            stored_otherwise=weights.tally.stored_otherwise,
            same_place_weights=weights.tally.same_place,
            whole_weights=weights.tally.whole,
            sampled_weights=weights.tally.sampled,
            compared_bytes=weights.tally.compared_bytes,
        ),
    )


def matched_values(a: ModelGraphs, b: ModelGraphs) -> dict[str, str]:
    """The values of b's top graph that are values of a's, by a's names, in a's topological order."""
    inputs = pair_values(a.model.proto.graph.input, b.model.proto.graph.input)
    found: dict[str, str] = {}
    for one, two in Matching(*_numbered_tops(a, b, inputs, Numbering())).pairs():
        found.update((x, y) for x, y in zip(one.output, two.output, strict=False) if x and y)
    return found


def _numbered_tops(
    a: ModelGraphs, b: ModelGraphs, inputs: Sequence[NamePair], numbering: Numbering
) -> tuple[NumberedScope, NumberedScope]:
    """The top graphs, numbered; inputs that stand for each other are one value."""
    numbers = {pair: numbering.of("input", index) for index, pair in enumerate(inputs)}
    inputs_a = {pair.before: number for pair, number in numbers.items() if pair.before is not None}
    inputs_b = {pair.after: number for pair, number in numbers.items() if pair.after is not None}
    return NumberedScope(a.top, numbering, inputs_a), NumberedScope(b.top, numbering, inputs_b)


def _all_scopes(roots: list[NumberedScope]) -> Iterator[NumberedScope]:
    for scope in roots:
        yield scope
        for inner in scope.inner.values():
            yield from _all_scopes(inner)


# ---------------------------------------------------------------- functions


def _compare_functions(
    a: ModelGraphs, b: ModelGraphs, comparison: _Comparison, numbering: Numbering
) -> tuple[list[NumberedScope], list[NumberedScope]]:
    """Compare the bodies of functions of one name; the numbered scopes of either side."""
    bodies_a, bodies_b = _functions(a, numbering), _functions(b, numbering)
    for name, scope in bodies_a.items():
        if name in bodies_b:
            other = bodies_b[name]
            comparison.compare(scope, other, dict(zip(scope.graph.inputs, other.graph.inputs, strict=False)))
        else:
            comparison.note_function("removed", name, scope)
    for name, scope in bodies_b.items():
        if name not in bodies_a:
            comparison.note_function("added", name, scope)
    return list(bodies_a.values()), list(bodies_b.values())


def _functions(graphs: ModelGraphs, numbering: Numbering) -> dict[str, NumberedScope]:
    found: dict[str, NumberedScope] = {}
    for function, graph in zip(graphs.model.proto.functions, graphs.functions, strict=True):
        inputs = {name: numbering.of("function input", index) for index, name in enumerate(graph.inputs)}
        found[in_words(function_key(function))] = NumberedScope(graph, numbering, inputs)
    return found


# ---------------------------------------------------------------- scopes


@dataclass(slots=True)
class _Comparison:
    """Gathers what differs over all scopes."""

    changes: list[NodeChange] = field(default_factory=list)
    stored_pairs: dict[StoredPair, None] = field(default_factory=dict)
    matched: int = 0
    renamed_nodes: int = 0
    renamed_values: int = 0

    def compare(
        self, a: NumberedScope, b: NumberedScope, inputs: Mapping[str, str], outer: ScopePair | None = None
    ) -> ScopePair:
        """Compare two scopes and those inside them; inputs maps a's inputs to b's."""
        matching = Matching(a, b)
        pair = ScopePair(a, b, inputs, outer)
        for one, two in (*matching.pairs(), *matching.replaced()):
            pair.values.update((x, y) for x, y in zip(one.output, two.output, strict=False) if x and y)
        detours = Detours(pair, matching.removed(), matching.added())
        for one, two in matching.pairs():
            self._compare_nodes(pair, detours, one, two)
        for one, two in matching.replaced():
            self.changes.append(_change("replaced", a.graph, one, b.graph, two, (f"now {_operator(two)}",)))
        self.changes += [_change("removed", a.graph, node, None, None, detours.of(node)) for node in matching.removed()]
        self.changes += [_change("added", None, None, b.graph, node, detours.of(node)) for node in matching.added()]
        for x, y in zip(a.graph.outputs, b.graph.outputs, strict=False):
            self._pair_stored(pair, x, y)
        return pair

    def note_function(self, status: str, name: str, scope: NumberedScope) -> None:
        """Note a function that only one of the models has."""
        before, after = (name, None) if status == "removed" else (None, name)
        count = len(scope.nodes)
        self.changes.append(
            NodeChange(
                status=status,  # type: ignore[arg-type]
                op_type="function",
                domain="",
                before=before,
                after=after,
                details=(f"{count} nodes",),
            )
        )

    def _compare_nodes(self, pair: ScopePair, detours: Detours, one: NodeProto, two: NodeProto) -> None:
        self.matched += 1
        self.renamed_nodes += one.name != two.name
        self.renamed_values += sum(x != y for x, y in zip(one.output, two.output, strict=False))
        details = [*_attribute_details(pair, one, two), *self._input_details(pair, detours, one, two)]
        if len(one.output) != len(two.output):
            details.append(f"{len(two.output)} outputs instead of {len(one.output)}")
        if details:
            self.changes.append(_change("changed", pair.a.graph, one, pair.b.graph, two, tuple(details)))
        for x, y in zip(pair.a.inner[id(one)], pair.b.inner[id(two)], strict=False):
            self.compare(x, y, dict(zip(x.graph.inputs, y.graph.inputs, strict=False)), pair)

    def _input_details(self, pair: ScopePair, detours: Detours, one: NodeProto, two: NodeProto) -> Iterator[str]:
        count = max(len(one.input), len(two.input))
        read_a = [*one.input, *[""] * (count - len(one.input))]
        read_b = [*two.input, *[""] * (count - len(two.input))]
        for index, (x, y) in enumerate(zip(read_a, read_b, strict=True)):
            if not x and not y:
                continue
            if not x or not y:
                yield f"input {index}: now {as_text(y)!r}" if y else f"input {index}: {as_text(x)!r} is left out"
            elif not self._pair_stored(pair, x, y) and not pair.is_same(x, y) and not detours.explain(x, y, one, two):
                what = f"{as_text(y)!r} instead of {as_text(x)!r}" if x != y else f"another {as_text(y)!r}"
                yield f"input {index}: {what}"

    def _pair_stored(self, pair: ScopePair, x: str, y: str) -> bool:
        """Whether both are stored tensors, which then stand for each other."""
        place_a, place_b = pair.a.place_of(x), pair.b.place_of(y)
        if place_a is None or place_b is None:
            return False
        self.stored_pairs[place_a, place_b] = None
        return True


def _change(
    status: str,
    graph_a: Graph | None,
    one: NodeProto | None,
    graph_b: Graph | None,
    two: NodeProto | None,
    details: tuple[str, ...] = (),
) -> NodeChange:
    shown = one or two
    assert shown is not None
    return NodeChange(
        status=status,  # type: ignore[arg-type]
        op_type=as_text(shown.op_type),
        domain="" if shown.domain in DEFAULT_DOMAINS else as_text(shown.domain),
        before=None if one is None or graph_a is None else as_text(graph_a.node_label(one)),
        after=None if two is None or graph_b is None else as_text(graph_b.node_label(two)),
        details=details,
    )


def _operator(node: NodeProto) -> str:
    domain = "" if node.domain in DEFAULT_DOMAINS else f"{as_text(node.domain)}:"
    return f"{domain}{as_text(node.op_type)}"


# ---------------------------------------------------------------- attributes


def _attribute_details(pair: ScopePair, one: NodeProto, two: NodeProto) -> Iterator[str]:
    if pair.a.attributes[id(one)] == pair.b.attributes[id(two)]:
        return
    before = {as_text(each.name): each for each in pair.a.given(one)}
    after = {as_text(each.name): each for each in pair.b.given(two)}
    for name in {**before, **after}:
        x, y = before.get(name), after.get(name)
        if x is None or y is None:
            yield f"{name}: {_words(x)} -> {_words(y)}"
        elif pair.a.attribute_number(x) != pair.b.attribute_number(y):
            old, new = _words(x), _words(y)
            yield f"{name}: {old} -> {new}" if old != new else f"{name}: another {old}"


def _words(attribute: AttributeProto | None) -> str:
    return "the default" if attribute is None else attribute_in_words(attribute)


# ---------------------------------------------------------------- weights


@dataclass(frozen=True, slots=True)
class _Weights:
    tally: WeightTally
    before: int
    after: int


def _compare_weights(
    a: Mapping[tuple[str, str], Stored],
    b: Mapping[tuple[str, str], Stored],
    pairs: Mapping[StoredPair, None],
    quick: bool,
) -> _Weights:
    """Compare the tensors that stand for each other, then those of one content or name, and tell the rest."""
    tally = WeightTally()
    left, right = dict(a), dict(b)
    for place_a, place_b in pairs:
        left.pop(place_a, None)
        right.pop(place_b, None)
        tally.compare(a[place_a], b[place_b], quick=quick)
    contents_a, contents_b = {each.content for each in a.values()}, {each.content for each in b.values()}
    for place, stored in list(left.items()):
        if place in right:
            tally.compare(stored, right.pop(place), quick=quick)
            del left[place]
    for stored in left.values():
        if stored.content not in contents_b:
            tally.add_alone(stored, is_before=True)
    for stored in right.values():
        if stored.content not in contents_a:
            tally.add_alone(stored, is_before=False)
    return _Weights(tally, len(a), len(b))
