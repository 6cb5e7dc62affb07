"""What a whole model costs, as a report: the rows of all nodes added up, in all and by operator."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping

from onnx import NodeProto

from onnxctl.analysis.cost.walk import Row, count_inner_nodes, count_node, count_nodes
from onnxctl.analysis.selection import size_order
from onnxctl.model.dimensions import Dimension, sorted_terms, symbols, total_of
from onnxctl.model.names import as_text
from onnxctl.model.nodes import shown_domain
from onnxctl.model.propagation import Propagation, ScopeFacts
from onnxctl.reports import CostReport, NodeCost, OperatorCost, Quantity, UncountedOperator


def count_cost(found: Propagation, dims: Mapping[str, int], *, nodes: bool = False) -> CostReport:
    """The cost of the model as propagation found it for `dims`, in symbols where these give no size.

    nodes adds the cost of each node.
    """
    return _report(count_nodes(found.top), found, dims, nodes)


# ---------------------------------------------------------------- the report


def _report(rows: list[Row], found: Propagation, dims: Mapping[str, int], nodes: bool) -> CostReport:
    by_operator: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_operator.setdefault((shown_domain(row.node.domain), as_text(row.node.op_type)), []).append(row)
    sums = {operator: _sums(of_type) for operator, of_type in by_operator.items()}
    operators = [_operator_cost(operator, of_type, sums[operator]) for operator, of_type in by_operator.items()]
    macs, flops, read, written = (total_of(each[index] for each in sums.values()) for index in range(4))
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
        operators=tuple(sorted(operators, key=lambda each: (-size_order(each.flops), each.domain, each.op_type))),
        node_count=len(rows),
        nodes=_node_costs(rows) if nodes else None,
        uncounted=tuple(_uncounted(by_operator)),
        contradictions=tuple(f"{each.where}: {each.message}" for each in found.assumptions if each.contradiction),
        complete=found.complete,
    )


_Sums = tuple[Dimension, Dimension, Dimension, Dimension]
"""MACs, FLOPs, bytes read and bytes written."""


def _sums(rows: list[Row]) -> _Sums:
    """MACs, FLOPs, bytes read and bytes written of all rows that could be counted."""
    macs = total_of(row.work.macs for row in rows if row.work is not None)
    others = total_of(row.work.others for row in rows if row.work is not None)
    read = total_of(row.read_bytes for row in rows if row.read_bytes is not None)
    written = total_of(row.written_bytes for row in rows if row.written_bytes is not None)
    return macs, 2 * macs + others, read, written


def _operator_cost(operator: tuple[str, str], rows: list[Row], sums: _Sums) -> OperatorCost:
    (domain, op_type), (macs, flops, read, written) = operator, sums
    return OperatorCost(
        domain=domain,
        op_type=op_type,
        count=len(rows),
        macs=quantity(macs),
        flops=quantity(flops),
        read_bytes=quantity(read),
        written_bytes=quantity(written),
        parameter_count=sum({key: count for row in rows for key, count in row.weights.items()}.values()),
    )


def quantity(amount: Dimension) -> Quantity:
    """The amount for a report: a number, or a polynomial with its terms."""
    if isinstance(amount, int):
        return Quantity(value=amount, expression=str(amount))
    return Quantity(value=None, expression=str(amount), terms=tuple(sorted_terms(amount)))


def _node_costs(rows: Iterable[Row]) -> tuple[NodeCost, ...]:
    """All rows as a report shows them; equal amounts, and most layers have equals, are written once."""
    written = functools.cache(quantity)
    return tuple(node_cost(row, written) for row in rows)


def node_cost(row: Row, quantity: Callable[[Dimension], Quantity] = quantity) -> NodeCost:
    """One node's row as a report shows it."""
    return NodeCost(
        scope=row.scope,
        name=row.label,
        op_type=as_text(row.node.op_type),
        domain=shown_domain(row.node.domain),
        macs=None if row.work is None else quantity(row.work.macs),
        flops=None if row.work is None else quantity(row.work.flops),
        read_bytes=None if row.read_bytes is None else quantity(row.read_bytes),
        written_bytes=None if row.written_bytes is None else quantity(row.written_bytes),
        parameter_count=sum(row.weights.values()),
        reason=row.reason,
    )


def cost_within(scope: ScopeFacts, node: NodeProto, path: str) -> NodeCost:
    """One run of the node with all that it runs: subgraphs, and the body of a function.

    What can be counted of these is in the figures, and the reason says how many nodes are not.
    """
    alone = node_cost(count_node(scope, node, path))
    rows = count_inner_nodes(scope, node)
    if not scope.scopes_in(node):
        return alone
    macs, flops, read, written = map(quantity, _sums(rows))
    missing = sum(row.work is None for row in rows)
    return dataclasses.replace(
        alone,
        macs=macs,
        flops=flops,
        read_bytes=read,
        written_bytes=written,
        parameter_count=sum({key: count for row in rows for key, count in row.weights.items()}.values()),
        reason=f"{missing} of the {len(rows)} nodes that it runs" if missing else "",
    )


def _uncounted(by_operator: Mapping[tuple[str, str], list[Row]]) -> Iterator[UncountedOperator]:
    for (domain, op_type), rows in sorted(by_operator.items()):
        missing = [row for row in rows if row.work is None]
        for reason in dict.fromkeys(row.reason for row in missing):
            count = sum(row.reason == reason for row in missing)
            yield UncountedOperator(domain=domain, op_type=op_type, count=count, reason=reason)
