"""What a whole model costs: nodes by formula, loops times their trips, functions expanded, If by its dearer branch.

Bytes are those of a node's inputs and outputs as tensors, each counted where it is read and where it is written: what
moves if nothing stays in a cache. Views (Reshape, Identity, ...) move nothing; Gather reads only what it picks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnx import NodeProto

from onnxctl.analysis.cost.catalogue import VIEWS, formula_of
from onnxctl.analysis.cost.work import Operation, UnknownShapeError, Work, product
from onnxctl.model.dimensions import Dimension, evaluate, sorted_terms, symbols
from onnxctl.model.graph import DEFAULT_DOMAINS, ModelGraphs
from onnxctl.model.propagation import Fact, Propagation, ScopeFacts, propagate
from onnxctl.model.tensors import DTYPES
from onnxctl.reports import CostReport, NodeCost, OperatorCost, Quantity, UncountedOperator

_CONTROL = ("If", "Loop", "Scan", "SequenceMap")
_PICKS = ("Gather", "GatherElements", "GatherND", "Slice", "GatherBlockQuantized")
_TYPICAL_SIZE = 64
"""What symbols are taken for when two polynomials are to be compared: which branch of an If is dearer."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One node's cost; a None says that it can't be known."""

    scope: str
    node: NodeProto
    label: str
    work: Work | None
    read_bytes: Dimension | None
    written_bytes: Dimension | None
    parameter_count: int
    reason: str = ""


def count_cost(graphs: ModelGraphs, dims: Mapping[str, int]) -> CostReport:
    """The cost of the model, in symbols where `dims` gives them no size."""
    found = propagate(graphs, dims=dims, smallest_dimension=1)
    return _report(_Walk(found.top).rows(), found, dims)


# ---------------------------------------------------------------- every node


class _Walk:
    """Visits each scope once, however often it runs: functions that call each other may run a body 2^30 times."""

    def __init__(self, top: ScopeFacts) -> None:
        self._top = top
        self._flops: dict[int, Dimension] = {}
        self._callers_last: list[ScopeFacts] = []
        self._operations(top)

    def rows(self) -> list[_Row]:
        """The nodes of every scope, each times how often it runs, outer scopes first."""
        times: dict[int, Dimension] = {id(self._top): 1}
        paths: dict[int, str] = {id(self._top): ""}
        rows = []
        for scope in reversed(self._callers_last):
            often, path = times.get(id(scope), 0), paths.get(id(scope), "")
            for node in scope.graph.nodes:
                label = node.name or f"{node.op_type}({next((name for name in node.output if name), '')})"
                inner = scope.scopes_in(node)
                for each in self._run_by(node, inner):
                    times[id(each)] = times.get(id(each), 0) + often * each.trip_count
                    paths.setdefault(id(each), f"{path}/{label}" if path else label)
                if not inner:
                    rows.append(_row(scope, node, path, label, often))
        return rows

    def _run_by(self, node: NodeProto, inner: list[ScopeFacts]) -> list[ScopeFacts]:
        """The scopes that the node runs: all of them, but of an If the dearer branch."""
        if node.op_type == "If" and node.domain in DEFAULT_DOMAINS and inner:
            return [max(inner, key=lambda scope: _typical_size(scope.trip_count * self._operations(scope)))]
        return inner

    def _operations(self, scope: ScopeFacts) -> Dimension:
        """The operations of one run of the scope, as far as they can be counted."""
        known = self._flops.get(id(scope))
        if known is not None:
            return known
        total: Dimension = 0
        for node in scope.graph.nodes:
            inner = scope.scopes_in(node)
            if inner:
                for each in inner:
                    self._operations(each)
                for each in self._run_by(node, inner):
                    total = total + each.trip_count * self._operations(each)
            else:
                work, _ = _work(scope, node)
                total = total + (work.flops if work is not None else 0)
        self._flops[id(scope)] = total
        self._callers_last.append(scope)
        return total


def _typical_size(amount: Dimension) -> int:
    """The amount with every symbol at a typical size."""
    return evaluate(amount, {each.name: _TYPICAL_SIZE for each in symbols(amount)})


def _row(scope: ScopeFacts, node: NodeProto, path: str, label: str, times: Dimension) -> _Row:
    work, reason = _work(scope, node)
    if work is not None and times != 1:
        work = Work(times * work.macs, times * work.others)
    read, written = _bytes(scope, node)
    return _Row(
        path,
        node,
        label,
        work,
        None if read is None else times * read,
        None if written is None else times * written,
        _parameter_count(scope, node),
        reason,
    )


def _work(scope: ScopeFacts, node: NodeProto) -> tuple[Work | None, str]:
    """The node's work, or why there is none."""
    if node.op_type in _CONTROL and node.domain in DEFAULT_DOMAINS:
        return None, "its subgraph could not be walked"
    formula = formula_of(node.domain, node.op_type)
    if formula is None:
        return None, "no formula"
    try:
        return formula(Operation(node, scope, scope.graph.opset(node.domain))), ""
    except UnknownShapeError:
        return None, "unknown shape"
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError):
        return None, "its shapes or attributes do not fit the operator"


def _bytes(scope: ScopeFacts, node: NodeProto) -> tuple[Dimension | None, Dimension | None]:
    if node.op_type in VIEWS and node.domain in DEFAULT_DOMAINS:
        return 0, 0
    written = _total([scope.fact(name) for name in node.output if name])
    read_from = [scope.fact(name) for name in dict.fromkeys(node.input) if name]
    if node.op_type in _PICKS:
        others = _total(read_from[1:])
        return (None if written is None or others is None else written + others), written
    return _total(read_from), written


def _total(facts: list[Fact]) -> Dimension | None:
    """The bytes of all these tensors; None where one is not known, or holds strings."""
    total: Dimension = 0
    for fact in facts:
        dtype = DTYPES.get(fact.dtype or 0)
        if fact.shape is None or dtype is None or not dtype.bits:
            return None
        bits = dtype.bits * product(fact.shape)
        total = total + (bits + 7) // 8
    return total


def _parameter_count(scope: ScopeFacts, node: NodeProto) -> int:
    """Elements of the initializers the node reads."""
    count = 0
    for name in dict.fromkeys(node.input):
        owner = scope.graph.scope_of(name)
        if owner is not None and name in owner.initializers:
            count += int(product(tuple(owner.initializers[name].dims)))  # type: ignore[arg-type]
    return count


# ---------------------------------------------------------------- the report


def _report(rows: list[_Row], found: Propagation, dims: Mapping[str, int]) -> CostReport:
    by_operator: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        domain = "ai.onnx" if row.node.domain in DEFAULT_DOMAINS else row.node.domain
        by_operator.setdefault((domain, row.node.op_type), []).append(row)
    operators = [_operator_cost(domain, op_type, of_type) for (domain, op_type), of_type in by_operator.items()]
    macs, flops, read, written = _sums(rows)
    total_bytes = read + written
    intensity = flops / total_bytes if isinstance(flops, int) and isinstance(total_bytes, int) and total_bytes else None
    return CostReport(
        dims=tuple(dims.items()),
        symbols=tuple(sorted({each.name for total in (macs, flops, read, written) for each in symbols(total)})),
        macs=quantity(macs),
        flops=quantity(flops),
        read_bytes=quantity(read),
        written_bytes=quantity(written),
        arithmetic_intensity=intensity,
        operators=tuple(sorted(operators, key=lambda each: (-_order(each.flops), each.domain, each.op_type))),
        nodes=tuple(_node_cost(row) for row in rows),
        uncounted=tuple(_uncounted(by_operator)),
        contradictions=tuple(f"{each.where}: {each.message}" for each in found.assumptions if each.contradiction),
        complete=found.complete,
    )


def _sums(rows: list[_Row]) -> tuple[Dimension, Dimension, Dimension, Dimension]:
    """MACs, FLOPs, bytes read and bytes written of all rows that could be counted."""
    macs: Dimension = 0
    others: Dimension = 0
    read: Dimension = 0
    written: Dimension = 0
    for row in rows:
        if row.work is not None:
            macs, others = macs + row.work.macs, others + row.work.others
        read = read + (row.read_bytes or 0)
        written = written + (row.written_bytes or 0)
    return macs, 2 * macs + others, read, written


def _operator_cost(domain: str, op_type: str, rows: list[_Row]) -> OperatorCost:
    macs, flops, read, written = _sums(rows)
    return OperatorCost(
        domain=domain,
        op_type=op_type,
        count=len(rows),
        macs=quantity(macs),
        flops=quantity(flops),
        read_bytes=quantity(read),
        written_bytes=quantity(written),
    )


def _node_cost(row: _Row) -> NodeCost:
    return NodeCost(
        scope=row.scope,
        name=row.label,
        op_type=row.node.op_type,
        domain=row.node.domain,
        macs=None if row.work is None else quantity(row.work.macs),
        flops=None if row.work is None else quantity(row.work.flops),
        read_bytes=None if row.read_bytes is None else quantity(row.read_bytes),
        written_bytes=None if row.written_bytes is None else quantity(row.written_bytes),
        parameter_count=row.parameter_count,
        reason=row.reason,
    )


def _uncounted(by_operator: Mapping[tuple[str, str], list[_Row]]) -> Iterator[UncountedOperator]:
    for (domain, op_type), rows in sorted(by_operator.items()):
        missing = [row for row in rows if row.work is None]
        for reason in dict.fromkeys(row.reason for row in missing):
            count = sum(row.reason == reason for row in missing)
            yield UncountedOperator(domain=domain, op_type=op_type, count=count, reason=reason)


def quantity(amount: Dimension) -> Quantity:
    """The amount for a report: a number, or a polynomial with its terms."""
    if isinstance(amount, int):
        return Quantity(value=amount, expression=str(amount))
    return Quantity(value=None, expression=str(amount), terms=tuple(sorted_terms(amount)))


def _order(amount: Quantity) -> int:
    """A number to sort by: the value, or the largest coefficient."""
    return amount.value if amount.value is not None else max(abs(each) for each, _ in amount.terms)
