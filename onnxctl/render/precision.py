"""How `inspect` tells in which types a model stores and computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxctl.render.document import Block, Cell, Column, Facts, Heading, Paragraph, Table
from onnxctl.render.units import count_of, format_bytes, format_count, format_number

if TYPE_CHECKING:
    from onnxctl.reports import HalfReport, PrecisionReport

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
        rows = tuple(
            (each.dtype, format_count(each.element_count), format_bytes(each.byte_count), _percent(each.byte_share))
            for each in report.weights
        )
        blocks.append(Table(columns, rows))
    if report.macs:
        columns = (
            Column(title="MACs in"),
            Column(title="nodes", align="right"),
            Column(title="share", align="right"),
            Column(title="quantized"),
        )
        rows = tuple(
            (each.type, format_count(each.node_count), _percent(each.share), _SCHEMES[each.scheme])
            for each in report.macs
        )
        blocks.append(Table(columns, rows))
    blocks += _mixed(report)
    if report.half is not None:
        blocks += _half(report.half)
    return blocks


def _facts(report: PrecisionReport) -> tuple[tuple[str, Cell], ...]:
    rows: list[tuple[str, Cell]] = []
    if report.bits_per_weight is not None:
        rows.append(("bits per weight", f"{report.bits_per_weight:.4g}"))
        quantized = f"{_percent(report.quantized_element_share)} of parameters, "
        rows.append(("quantized", f"{quantized}{_percent(report.quantized_byte_share)} of bytes"))
    casts = count_of(report.cast_count, "Cast")
    back = (
        f", {format_count(report.cast_chain_count)} of them back to the type before" if report.cast_chain_count else ""
    )
    rows.append(("casts", casts + back if report.cast_count else "none"))
    if report.assumed:
        sizes = ", ".join(f"{name}={size}" for name, size in report.assumed)
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
        note = _shown(len(report.islands), report.island_count) if report.islands else "none"
        blocks.append(Heading(f"float32 islands in {report.half_type}", note))
        columns = (
            Column(title="nodes", align="right"),
            Column(title="operators", overflow="wrap"),
            Column(title="first", overflow="cut", code=True),
        )
        rows = tuple((str(each.node_count), ", ".join(each.operators), each.where) for each in report.islands)
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
    return f"{format_count(count)} ({_percent(count / whole)})" if count else "none"


def _shown(shown: int, total: int) -> str:
    return f"{shown} of {format_count(total)}" if shown < total else format_count(total)


def _percent(share: float) -> str:
    """A share in percent: 0 %, < 0.01 %, 0.04 %, 12.3 %, 100 %."""
    percent = share * 100
    if percent in (0, 100):
        return f"{percent:.0f} %"
    if percent >= 99.95:
        return "> 99.9 %"
    if percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.2f} %"
