"""What shows once types, shapes and constants are followed through the graph."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import NodeProto, TensorProto

from onnxctl.analysis.cost.catalogue import MOVES
from onnxctl.analysis.findings.sightings import counted, place_of
from onnxctl.model.casts import is_exact
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.names import as_text
from onnxctl.model.nodes import DEFAULT_DOMAINS, attribute, is_standard
from onnxctl.model.propagation import Assumption, Propagation, ScopeFacts
from onnxctl.reports import Finding

Walked = list[tuple[Graph, ScopeFacts]]
"""Every scope that runs at all, with what holds in it."""


def value_findings(graphs: ModelGraphs, found: Propagation) -> Iterator[Finding]:
    """Float64, needless casts, dead branches, endless loops, and sizes that are unknown or contradict each other."""
    walked = [(scope, facts) for scope in graphs.scopes() if (facts := found.of(scope)) is not None]
    yield from _float64(walked)
    yield from _constant_conditions(walked)
    yield from _endless_loops(walked)
    yield from _redundant_casts(walked)
    yield from _contradictions(found)
    yield from _unknown_shapes([(scope, facts) for scope, facts in walked if not scope.path.startswith("function:")])


def _float64(walked: Walked) -> Iterator[Finding]:
    wide = [
        scope.node_label(node)
        for scope, facts in walked
        for node in scope.nodes
        if node.domain in DEFAULT_DOMAINS
        and node.op_type not in MOVES
        and any(facts.element_type(name) == TensorProto.DOUBLE for name in node.output if name)
    ]
    if wide:
        yield Finding(
            code="float64-compute",
            severity="warning",
            message=f"{counted(wide, 'node computes', 'nodes compute')} in float64, which takes twice the memory and "
            "on most accelerators many times the time of float32",
            where=as_text(wide[0]),
            hint="look for a constant or cast that was made in double precision by accident",
        )


def _constant_conditions(walked: Walked) -> Iterator[Finding]:
    found: list[tuple[str, str]] = []
    for scope, facts in walked:
        for node in scope.nodes:
            if is_standard(node, "If"):
                values = facts.values(node.input[0])
                if values is not None and len(values) == 1 and isinstance(values[0], bool | int):
                    found.append((scope.node_label(node), "else_branch" if values[0] else "then_branch"))
    if found:
        label, branch = found[0]
        yield Finding(
            code="constant-condition",
            severity="warning",
            message=f"the condition of {counted(found, 'If')} never changes: the {branch} is dead",
            where=as_text(label),
            hint="`onnxctl optimize` puts the other branch in place of the If (pass inline_if)",
        )


ENDLESS_TRIPS = 10**12
"""A round of a Loop takes a runtime a microsecond at the least: so many take more than eleven days."""


def _endless_loops(walked: Walked) -> Iterator[Finding]:
    for scope, facts in walked:
        for node in scope.nodes_of(("Loop",)):
            trips = _endless_trips(facts, node) if node.domain in DEFAULT_DOMAINS else ""
            if trips:
                yield Finding(
                    code="endless-loop",
                    severity="warning",
                    message=f"the Loop goes round {trips}: whatever runs it does not come back",
                    where=as_text(scope.node_label(node)),
                    hint="`onnxctl run` ends at its time limit: --timeout",
                )


def _endless_trips(facts: ScopeFacts, node: NodeProto) -> str:
    """How often, in words, where that is known and far too much; else nothing."""
    bodies = facts.scopes_in(node)
    if not bodies or not bodies[0].graph.outputs:
        return ""
    trips = bodies[0].trip_count
    if isinstance(trips, int):
        return f"{trips:,} times" if trips >= ENDLESS_TRIPS else ""
    goes_on = bodies[0].values(bodies[0].graph.outputs[0])
    return "for ever" if not node.input[0] and goes_on is not None and list(goes_on) == [True] else ""


def _redundant_casts(walked: Walked) -> Iterator[Finding]:
    found = [
        scope.node_label(node)
        for scope, facts in walked
        for node in scope.nodes
        if is_standard(node, "Cast") and _is_redundant(scope, facts, node)
    ]
    if found:
        yield Finding(
            code="redundant-cast",
            severity="info",
            message=f"{counted(found, 'Cast gives', 'Casts give')} a value the type it has, or take back "
            "a Cast that lost nothing",
            where=as_text(found[0]),
            hint="`onnxctl optimize` removes them (passes eliminate_cast, merge_casts)",
        )


def _is_redundant(scope: Graph, facts: ScopeFacts, node: NodeProto) -> bool:
    """A Cast to the type that is there, or back from one that holds every value: a truncation has a meaning."""
    target, source = attribute(node, "to"), facts.element_type(node.input[0])
    if source is not None and source == target:
        return True
    before = scope.producer(node.input[0])
    if before is None or not is_standard(before, "Cast"):
        return False
    first, middle = facts.element_type(before.input[0]), attribute(before, "to")
    return first is not None and first == target and isinstance(middle, int) and is_exact(first, middle, first)


_STATED = "contradiction: computed "
"""How propagation begins to tell that the model states a type other than what follows from its inputs."""


def _contradictions(found: Propagation) -> Iterator[Finding]:
    told = [each for each in found.assumptions if each.contradiction and each.message.startswith("contradiction: ")]
    stated = [each for each in told if each.message.startswith(_STATED)]
    computed = [each for each in told if not each.message.startswith(_STATED)]
    if stated:
        yield Finding(
            code="stated-shape",
            severity="warning",
            message=_first_of(stated),
            where=as_text(stated[0].where),
            hint="shapes were edited or stated by hand: infer them anew, or export the model again",
        )
    if computed:
        yield Finding(
            code="shape-contradiction",
            severity="error",
            message=_first_of(computed),
            where=as_text(computed[0].where),
        )


def _first_of(told: list[Assumption]) -> str:
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return told[0].message.removeprefix("contradiction: ") + more


def _unknown_shapes(walked: Walked) -> Iterator[Finding]:
    unknown: list[str] = []
    total = 0
    for scope, facts in walked:
        for node in scope.nodes:
            for name in filter(None, node.output):
                fact = facts.fact(name)
                total += 1
                if fact.shape is None and fact.kind in ("tensor", "unknown"):
                    unknown.append(place_of(scope, name))
    if unknown:
        yield Finding(
            code="unknown-shape",
            severity="info",
            message=f"the shape of {len(unknown)} of {total} values can't be told, not even how many dimensions they "
            "have: cost and memory leave them out",
            where=unknown[0],
        )
