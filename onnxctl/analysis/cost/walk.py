"""Every node's work and bytes, times how often it runs: loops by trips, functions expanded, If by its dearer branch.

Bytes are those of a node's inputs and outputs as tensors, each counted where it is read and where it is written: what
moves if nothing stays in a cache. Views (Reshape, Identity, ...) move nothing; Gather reads only what it picks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from onnx import NodeProto

from onnxctl.analysis.cost.catalogue import VIEWS, depends_on_data, formula_of
from onnxctl.analysis.cost.work import Operation, UnknownShapeError, Work
from onnxctl.model.dimensions import Dimension, evaluate, symbols, total_of
from onnxctl.model.graph import Graph
from onnxctl.model.names import node_label
from onnxctl.model.nodes import DEFAULT_DOMAINS
from onnxctl.model.propagation import Fact, ScopeFacts, byte_count

_CONTROL = ("If", "Loop", "Scan", "SequenceMap")
_PICKS = ("Gather", "GatherElements", "GatherND", "Slice", "GatherBlockQuantized")
_TYPICAL_SIZE = 64
"""What symbols are taken for when two polynomials are to be compared: which branch of an If is dearer."""


Total = Callable[[tuple[Fact, ...]], Dimension | None]
"""The bytes of tensors together, perhaps remembering what it was asked: most layers have equals."""


@dataclass(frozen=True, slots=True)
class Row:
    """One node's cost; a None says that it can't be known."""

    scope: str
    graph: Graph
    node: NodeProto
    label: str
    work: Work | None
    read_bytes: Dimension | None
    written_bytes: Dimension | None
    weights: dict[tuple[int, str], int]
    reason: str = ""


def count_nodes(top: ScopeFacts) -> list[Row]:
    """A row for each node that runs, outer scopes first."""
    walk = _Walk(top)
    return walk.rows({id(top): 1})


def count_inner_nodes(scope: ScopeFacts, node: NodeProto) -> list[Row]:
    """A row for each node that one run of this node runs: those of its subgraphs, or of the function it calls."""
    inner = scope.scopes_in(node)
    if not inner:
        return []
    walk = _Walk(scope)
    return walk.rows({id(each): each.trip_count for each in walk.run_by(node, inner)})


class _Walk:
    """Visits each scope once, however often it runs: functions that call each other may run a body 2^30 times."""

    def __init__(self, top: ScopeFacts) -> None:
        self._flops: dict[int, Dimension] = {}
        self._works: dict[tuple[int, int], tuple[Work | None, str]] = {}
        self._total = cache(_total)
        self._callers_last: list[ScopeFacts] = []
        self._operations(top)

    def rows(self, times: dict[int, Dimension]) -> list[Row]:
        """The nodes of every scope that is run, each times how often, outer scopes first.

        times says how often the outermost run, by the scope's id, and takes in those within.
        """
        paths: dict[int, str] = {}
        rows = []
        for scope in reversed(self._callers_last):
            often, path = times.get(id(scope), 0), paths.get(id(scope), "")
            for node in scope.graph.nodes:
                inner = scope.scopes_in(node)
                for each in self.run_by(node, inner) if often != 0 else ():
                    times[id(each)] = times.get(id(each), 0) + often * each.trip_count
                    paths.setdefault(id(each), node_label(path, node))
                if not inner and often != 0:
                    rows.append(_row(scope, node, path, often, self._works[id(scope), id(node)], self._total))
        return rows

    def run_by(self, node: NodeProto, inner: list[ScopeFacts]) -> list[ScopeFacts]:
        """The scopes that the node runs: all of them, but of an If the dearer branch."""
        if node.op_type == "If" and node.domain in DEFAULT_DOMAINS and inner:
            return [max(inner, key=lambda scope: _typical_size(scope.trip_count * self._operations(scope)))]
        return inner

    def _operations(self, scope: ScopeFacts) -> Dimension:
        """The operations of one run of the scope, as far as they can be counted."""
        known = self._flops.get(id(scope))
        if known is not None:
            return known
        macs: list[Dimension] = []
        others: list[Dimension] = []
        for node in scope.graph.nodes:
            inner = scope.scopes_in(node)
            if inner:
                for each in inner:
                    self._operations(each)
                others += (each.trip_count * self._operations(each) for each in self.run_by(node, inner))
                continue
            work, _ = self._works[id(scope), id(node)] = _work(scope, node)
            if work is not None:
                macs.append(work.macs)
                others.append(work.others)
        total = 2 * total_of(macs) + total_of(others)
        self._flops[id(scope)] = total
        self._callers_last.append(scope)
        return total


def _typical_size(amount: Dimension) -> int:
    """The amount with every symbol at a typical size."""
    return evaluate(amount, {each.name: _TYPICAL_SIZE for each in symbols(amount)})


def count_node(scope: ScopeFacts, node: NodeProto, path: str, times: Dimension = 1) -> Row:
    """What the node costs in this scope, `times` over; what runs in its subgraphs is not counted."""
    return _row(scope, node, path, times, _work(scope, node), _total)


def _row(
    scope: ScopeFacts,
    node: NodeProto,
    path: str,
    times: Dimension,
    counted: tuple[Work | None, str],
    total: Total,
) -> Row:
    work, reason = counted
    if work is not None and times != 1:
        work = Work(times * work.macs, times * work.others)
    read, written = _bytes(scope, node, total)
    return Row(
        path,
        scope.graph,
        node,
        node_label("", node),
        work,
        None if read is None else times * read,
        None if written is None else times * written,
        _weights(scope, node),
        reason,
    )


def _work(scope: ScopeFacts, node: NodeProto) -> tuple[Work | None, str]:
    """The node's work, or why there is none."""
    if node.op_type in _CONTROL and node.domain in DEFAULT_DOMAINS:
        return None, "its subgraph could not be walked"
    formula = formula_of(node.domain, node.op_type)
    if formula is None:
        return None, "its work depends on the data" if depends_on_data(node.domain, node.op_type) else "no formula"
    try:
        return formula(Operation(node, scope, scope.graph.opset(node.domain))), ""
    except UnknownShapeError:
        return None, "unknown shape"
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError):
        return None, "its shapes or attributes do not fit the operator"


def _bytes(scope: ScopeFacts, node: NodeProto, total: Total) -> tuple[Dimension | None, Dimension | None]:
    if node.op_type in VIEWS and node.domain in DEFAULT_DOMAINS:
        return 0, 0
    written = total(tuple([scope.fact(name) for name in node.output if name]))
    read_from = tuple([scope.fact(name) for name in dict.fromkeys(node.input) if name])
    if node.op_type in _PICKS:
        others = total(read_from[1:])
        return (None if written is None or others is None else written + others), written
    return total(read_from), written


def _total(facts: tuple[Fact, ...]) -> Dimension | None:
    """The bytes of all these tensors; None where one is not known, or holds strings."""
    sizes = [byte_count(fact) for fact in facts]
    known = [size for size in sizes if size is not None]
    return total_of(known) if len(known) == len(sizes) else None


def _weights(scope: ScopeFacts, node: NodeProto) -> dict[tuple[int, str], int]:
    """The elements of each initializer the node reads, by the scope that has it and its name."""
    found = {}
    for name in node.input:
        owner = scope.graph.scope_of(name)
        if owner is not None and name in owner.initializers:
            found[id(owner), name] = math.prod(owner.initializers[name].dims)
    return found
