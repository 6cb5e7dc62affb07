"""How `inspect` tells what a model costs: operations, bytes and memory, as numbers or in the model's symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxctl.render.document import Block, Cell, Column, Facts, Heading, Paragraph, Table
from onnxctl.render.units import (
    count_of,
    format_amount,
    format_bytes,
    format_count,
    format_dims,
    format_quantity,
    operator_name,
)

if TYPE_CHECKING:
    from onnxctl.reports import CostReport, MemoryReport, NodeCost, OperatorCost, Quantity, SweepPoint

_MOST_OPERATORS = 9
"""Rows of the table of operators; what costs less is told in a line. With the totals they fit a small terminal."""
_MOST_LIVE = 5
_MOST_TERMS = 2
"""Terms of a polynomial that a line shows; JSON has all."""
_BAR = 20


def cost_blocks(cost: CostReport, parameter_count: int, operator_count: int) -> list[Block]:
    """Totals, the table of operators, the nodes where they were asked for, and what is not counted.

    Operators are drawn in full where they are a choice of the `operator_count` that the model has.
    """
    blocks: list[Block] = [Heading("Cost", _circumstances(cost)), Facts(_totals(cost, parameter_count))]
    if cost.nodes is not None:
        shown = f"{len(cost.nodes):,} of {count_of(cost.node_count, 'node')}"
        blocks += [Heading("Nodes", shown), _nodes(cost.nodes, len(cost.symbols))]
    elif cost.operators:
        chosen = len(cost.operators) < operator_count
        most = len(cost.operators) if chosen else _MOST_OPERATORS
        blocks += _operators(cost.operators, most, len(cost.symbols))
    blocks += [Paragraph(text, "warning") for text in _doubts(cost)]
    return blocks


def _circumstances(cost: CostReport) -> str:
    sizes = format_dims(cost.dims)
    return f"of one run{f' with {sizes}' if sizes else ''}; a MAC is two FLOPs"


def _totals(cost: CostReport, parameter_count: int) -> tuple[tuple[str, Cell], ...]:
    rows: list[tuple[str, Cell]] = [
        ("MACs", format_quantity(cost.macs, longest=_MOST_TERMS)),
        ("FLOPs", format_quantity(cost.flops, longest=_MOST_TERMS)),
        ("parameters", format_count(parameter_count)),
        ("bytes read", format_quantity(cost.read_bytes, "B", longest=_MOST_TERMS)),
        ("bytes written", format_quantity(cost.written_bytes, "B", longest=_MOST_TERMS)),
    ]
    if cost.arithmetic_intensity is not None:
        rows.append(("intensity", f"{cost.arithmetic_intensity:.3g} FLOPs per byte"))
    return tuple(rows)


def _doubts(cost: CostReport) -> list[str]:
    """What the totals leave out, and what does not fit."""
    doubts = []
    if cost.uncounted:
        each = (f"{operator_name(row.domain, row.op_type)} {row.count:,} ({row.reason})" for row in cost.uncounted)
        doubts.append(f"not counted: {', '.join(each)}")
    doubts += [f"contradiction: {text}" for text in cost.contradictions]
    if not cost.complete:
        doubts.append("the model is too large to walk whole: the totals are of a part of it")
    return doubts


# ---------------------------------------------------------------- tables


def _operators(operators: Sequence[OperatorCost], most: int, symbol_count: int) -> list[Block]:
    drawn = list(operators[:most])
    while drawn and most < len(operators) and not _size(drawn[-1].flops):
        drawn.pop()
    largest = max((row.flops.value or 0 for row in operators), default=0)
    columns = (
        Column(title="operator", overflow="cut", code=True),
        Column(title="nodes", align="right"),
        *_amount_columns(symbol_count),
        *(() if symbol_count else (Column(style="accent", drawn=True),)),
    )
    rows = tuple(
        (
            operator_name(row.domain, row.op_type),
            format_count(row.count),
            *_amounts(row, symbol_count),
            *(() if symbol_count else (_bar(row.flops.value, largest, _BAR // 2),)),
        )
        for row in drawn
    )
    blocks: list[Block] = [Table(columns, rows)] if rows else []
    rest = sorted(operators[len(drawn) :], key=lambda row: -row.count)
    if rest:
        others = ", ".join(f"{operator_name(row.domain, row.op_type)} {row.count:,}" for row in rest)
        blocks.append(Paragraph(f"{'and' if rows else 'only'} {others}", "dim", continues=True))
    return blocks


def _nodes(nodes: Sequence[NodeCost], symbol_count: int) -> Block:
    if not nodes:
        return Paragraph("none")
    noted = any(node.reason for node in nodes)
    columns = (
        Column(title="node", overflow="cut", code=True),
        Column(title="operator", style="accent", code=True),
        *_amount_columns(symbol_count),
        Column(title="params", align="right"),
        *((Column(title="note", style="dim", overflow="cut"),) if noted else ()),
    )
    rows = tuple(
        (
            f"{node.scope}/{node.name}" if node.scope else node.name,
            operator_name(node.domain, node.op_type),
            *_amounts(node, symbol_count),
            format_count(node.parameter_count) if node.parameter_count else "",
            *((node.reason,) if noted else ()),
        )
        for node in nodes
    )
    return Table(columns, rows)


def _amount_columns(symbol_count: int) -> tuple[Column, ...]:
    """MACs, FLOPs and bytes; polynomials of several symbols are too wide for all three."""
    titles = ("MACs", "FLOPs", "bytes")[: 3 if symbol_count < 2 else 2]
    return tuple(Column(title=title, align="right", overflow="cut", optional=title == "bytes") for title in titles)


def _amounts(row: OperatorCost | NodeCost, symbol_count: int) -> tuple[str, ...]:
    """The amounts of a row; nothing where there is none, a question mark where it can't be known."""
    if symbol_count > 1:
        return (_amount(row.macs, longest=1), _amount(row.flops, longest=1))
    moved = None if row.read_bytes is None or row.written_bytes is None else _sum(row.read_bytes, row.written_bytes)
    return (_amount(row.macs), _amount(row.flops), _amount(moved, "B"))


def _amount(amount: Quantity | None, unit: str = "", longest: int = _MOST_TERMS) -> str:
    return "" if amount is not None and amount.value == 0 else format_quantity(amount, unit, longest)


def _sum(first: Quantity, second: Quantity) -> Quantity:
    from onnxctl.reports import Quantity

    if first.value is not None and second.value is not None:
        return Quantity(value=first.value + second.value, expression="")
    totals: dict[str, int] = {}
    for each in (first, second):
        for coefficient, factors in each.terms or ((each.value or 0, ""),):
            totals[factors] = totals.get(factors, 0) + coefficient
    terms = tuple((coefficient, factors) for factors, coefficient in totals.items() if coefficient)
    return Quantity(value=None, expression="", terms=terms)


def _size(amount: Quantity) -> int:
    """Whether there is anything, and by its largest coefficient how much."""
    return amount.value if amount.value is not None else max((abs(each) for each, _ in amount.terms), default=0)


def _bar(amount: int | None, largest: int, width: int) -> str:
    return "█" * max(1, round(amount / largest * width)) if amount and largest else ""


# ---------------------------------------------------------------- memory


def memory_blocks(memory: MemoryReport) -> list[Block]:
    """The peak, where it is, and what is held there."""
    sizes = format_dims(memory.dims)
    heading = Heading("Memory", f"of activations with {sizes}" if sizes else "of activations")
    if memory.peak_bytes is None:
        if memory.symbols and not memory.unknown_count:
            example = " ".join(f"--dim {name}=1" for name in memory.symbols if not name.startswith("?"))
            depends = f"it depends on {', '.join(memory.symbols)}"
            return [heading, Paragraph(f"{depends}: say {example}" if example else depends)]
        unknown = f"the sizes of {count_of(memory.unknown_count, 'value')} depend on the data"
        return [heading, Paragraph(f"not known: {unknown}")]
    facts: tuple[tuple[str, Cell], ...] = (
        ("peak", format_bytes(memory.peak_bytes)),
        *((("at", memory.peak_node),) if memory.peak_node else ()),
        ("inputs", format_bytes(memory.input_bytes)),
        ("outputs", format_bytes(memory.output_bytes)),
    )
    blocks: list[Block] = [heading, Facts(facts)]
    if memory.live:
        columns = (Column(title="held there", overflow="cut", code=True), Column(title="bytes", align="right"))
        rows = tuple((each.name, format_bytes(each.byte_count)) for each in memory.live[:_MOST_LIVE])
        blocks.append(Table(columns, rows))
    return blocks


# ---------------------------------------------------------------- a range of sizes


def sweep_blocks(points: Sequence[SweepPoint]) -> list[Block]:
    """A row for each choice of sizes; the bars are of the FLOPs."""
    if not points:
        return []
    names = [name for name, _ in points[0].dims]
    columns = (
        *(Column(title=name, align="right", overflow="cut") for name in names),
        *(Column(title=title, align="right") for title in ("MACs", "FLOPs", "read", "written", "peak memory")),
        Column(style="accent", drawn=True),
    )
    largest = max(point.flops or 0 for point in points)
    rows = tuple(
        (
            *(f"{size:,}" for _, size in point.dims),
            *(("?" if amount is None else format_amount(amount)) for amount in (point.macs, point.flops)),
            *(format_bytes(amount) for amount in (point.read_bytes, point.written_bytes, point.peak_bytes)),
            _bar(point.flops, largest, _BAR),
        )
        for point in points
    )
    blocks: list[Block] = [Heading("Sizes", f"cost of one run for each {' and '.join(names)}"), Table(columns, rows)]
    for point in points:
        sizes = format_dims(point.dims)
        blocks += [Paragraph(f"contradiction with {sizes}: {text}", "warning") for text in point.contradictions[:1]]
    if missing := sorted({name for point in points for name in point.symbols}):
        blocks.append(Paragraph(f"give these a size as well: {', '.join(missing)}", "warning"))
    return blocks
