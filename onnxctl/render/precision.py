"""How `inspect` tells in which types a model stores and computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxctl.render.document import Block, Cell, Column, Facts, Heading, Paragraph, Table
from onnxctl.render.units import (
    count_of,
    format_bytes,
    format_count,
    format_dims,
    format_number,
    format_share,
    operator_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxctl.reports import FloatOperator, HalfReport, PrecisionReport, WeightPrecision

_MOST_OPERATORS = 8
"""Rows of operators that are not quantized."""

_SCHEMES = {"none": "", "QDQ": "QDQ", "QOperator": "QOperator", "weights": "weights only"}


def precision_blocks(report: PrecisionReport) -> list[Block]:
    """Weights, arithmetic, casts, islands, and what float16 would do."""
    blocks: list[Block] = [Heading("Precision"), Facts(_facts(report))]
    if report.weights:
        columns = (
            Column(title="weights"),
            Column(title="elements", align="right"),
            Column(title="size", align="right"),
            Column(title="share", align="right"),
        )
        rows = [_stored_row(_stored_as(each), [each]) for each in report.weights if each.role == "weight"]
        if scales := [each for each in report.weights if each.role == "scale"]:
            rows.append(_stored_row("scales, zero points", scales))
        blocks.append(Table(columns, tuple(rows)))
    if report.macs:
        columns = (
            Column(title="MACs in"),
            Column(title="nodes", align="right"),
            Column(title="share", align="right"),
            Column(title="quantized"),
        )
        arithmetic = tuple(
            (each.type, format_count(each.node_count), format_share(each.share), _SCHEMES[each.scheme])
            for each in report.macs
        )
        blocks.append(Table(columns, arithmetic))
    if report.float_operators:
        blocks += _in_float(report.float_operators)
    blocks += _mixed(report)
    if report.half is not None:
        blocks += _half(report.half)
    return blocks


def _stored_as(row: WeightPrecision) -> str:
    return f"{row.packed_bits}-bit in {row.dtype}" if row.packed_bits else row.dtype


def _stored_row(what: str, rows: Sequence[WeightPrecision]) -> tuple[Cell, ...]:
    elements, size = sum(each.element_count for each in rows), sum(each.byte_count for each in rows)
    return what, format_count(elements), format_bytes(size), format_share(sum(each.byte_share for each in rows))


def _in_float(operators: Sequence[FloatOperator]) -> list[Block]:
    shown = operators[:_MOST_OPERATORS]
    columns = (
        Column(title="operator", code=True),
        Column(title="in"),
        Column(title="nodes", align="right"),
        Column(title="MACs", align="right"),
        Column(title="first", overflow="cut", code=True),
    )
    rows = tuple(
        (
            operator_name(each.domain, each.op_type),
            each.dtype,
            format_count(each.node_count),
            format_share(each.mac_share) if each.mac_share else "",
            each.where,
        )
        for each in shown
    )
    note = count_of(sum(each.node_count for each in operators), "node")
    blocks: list[Block] = [Heading("Not quantized", note), Table(columns, rows)]
    if others := operators[len(shown) :]:
        names = ", ".join(f"{operator_name(each.domain, each.op_type)} {each.node_count:,}" for each in others)
        blocks.append(Paragraph(f"and {names}", continues=True))
    return blocks


def _facts(report: PrecisionReport) -> tuple[tuple[str, Cell], ...]:
    rows: list[tuple[str, Cell]] = []
    if report.bits_per_weight is not None:
        rows.append(("bits per weight", f"{report.bits_per_weight:.4g}"))
        elements, size = format_share(report.quantized_element_share), format_share(report.quantized_byte_share)
        rows.append(
            ("quantized", f"{elements} of parameters, {size} of bytes" if report.quantized_byte_share else "none")
        )
    else:
        rows.append(("weights", "none"))
    casts = count_of(report.cast_count, "Cast")
    back = (
        f", {format_count(report.cast_chain_count)} of them back to the type before" if report.cast_chain_count else ""
    )
    rows.append(("casts", casts + back if report.cast_count else "none"))
    if report.assumed:
        sizes = format_dims(report.assumed)
        rows.append(("MACs", f"shares for {sizes}; --dim gives other sizes"))
    if report.uncounted_node_count:
        rows.append(("not counted", count_of(report.uncounted_node_count, "node")))
    return tuple(rows)


def _mixed(report: PrecisionReport) -> list[Block]:
    blocks: list[Block] = []
    if report.cast_chains:
        blocks.append(Heading("Casts back and forth", _shown(len(report.cast_chains), report.cast_chain_count)))
        chains = tuple((" → ".join(each.types), each.where) for each in report.cast_chains)
        ends = (Column(title="types"), Column(title="back at", overflow="cut", code=True))
        blocks.append(Table(ends, chains, titled=False))
    if report.half_type:
        shown = sum(each.alike_count for each in report.islands)
        note = _shown(shown, report.island_count) if report.islands else "none"
        blocks.append(Heading(f"float32 islands in {report.half_type}", note))
        columns = (
            Column(title="islands", align="right"),
            Column(title="nodes of each", align="right"),
            Column(title="operators", overflow="wrap"),
            Column(title="first", overflow="cut", code=True),
        )
        rows = tuple(
            (format_count(each.alike_count), format_count(each.node_count), ", ".join(each.operators), each.where)
            for each in report.islands
        )
        blocks += [Table(columns, rows)] if rows else []
    return blocks


def _half(half: HalfReport) -> list[Block]:
    total = half.element_count
    note = f"what it would make of {count_of(total, 'weight')} in {count_of(half.tensor_count, 'tensor')}"
    rows: tuple[tuple[str, Cell], ...] = (
        ("overflow", _part(half.overflow_count, total)),
        ("become zero", _part(half.zero_count, total)),
        ("become denormal", _part(half.denormal_count, total)),
    )
    blocks: list[Block] = [Heading("float16", note), Facts(rows)]
    if half.worst:
        columns = (
            Column(title="hit most", overflow="cut", code=True),
            Column(title="elements", align="right"),
            Column(title="overflow", align="right"),
            Column(title="zero", align="right"),
            Column(title="denormal", align="right"),
            Column(title="largest", align="right"),
        )
        table = tuple(
            (
                f"{each.scope}/{each.name}" if each.scope else each.name,
                format_count(each.element_count),
                format_count(each.overflow_count),
                format_count(each.zero_count),
                format_count(each.denormal_count),
                format_number(each.largest),
            )
            for each in half.worst
        )
        blocks.append(Table(columns, table))
    if half.unread_count:
        blocks.append(Paragraph(f"{count_of(half.unread_count, 'tensor')} could not be read", "warning"))
    return blocks


def _part(count: int, whole: int) -> str:
    return f"{format_count(count)} ({format_share(count / whole)})" if count else "none"


def _shown(shown: int, total: int) -> str:
    return f"{shown} of {format_count(total)}" if shown < total else format_count(total)
