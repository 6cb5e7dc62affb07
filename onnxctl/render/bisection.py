"""How `bisect` tells where two begin to differ: the values, the nodes that make them, and how much work it was."""

from __future__ import annotations

from collections.abc import Sequence

from onnxctl.render.difference import node_table, output_table, weight_table
from onnxctl.render.document import Block, Cell, Column, Document, Facts, Heading, Paragraph, Styled, Table
from onnxctl.render.units import count_of, format_count, format_dims, format_duration, format_number, operator_name
from onnxctl.reports import BisectedNode, BisectReport, BisectSide

_SHOWN = 20


def bisection_document(report: BisectReport) -> Document:
    """The account of a bisection laid out."""
    blocks: list[Block] = [
        Heading(_sides(report.before, report.after), report.verdict, level=1),
        Facts(_facts(report)),
    ]
    if report.verdict == "same":
        blocks += [Heading("Outputs"), output_table(report.outputs)]
        blocks.append(Paragraph(f"the same; {format_duration(report.elapsed_ns)}", "good"))
        return Document(tuple(blocks))
    if report.failure:
        blocks.append(Paragraph(report.failure, "bad"))
    if report.first_values:
        blocks += [Heading("The first values that differ"), output_table(report.first_values)]
    blocks += [Heading("Nodes that make them", "all that they read is equal"), _nodes(report.nodes)]
    if report.node_changes or report.weight_changes:
        blocks.append(Heading("How they differ"))
        blocks += [node_table(report.node_changes[:_SHOWN])] if report.node_changes else []
        blocks += [weight_table(report.weight_changes, full=False)] if report.weight_changes else []
    blocks.append(Paragraph(_reproduction(report), "plain" if report.reproduced else "warning"))
    if report.files_written:
        files = tuple((name,) for name in report.files_written)
        blocks += [Heading("Written"), Table((Column(overflow="cut"),), files, titled=False)]
    blocks.append(Paragraph(f"different; {format_duration(report.elapsed_ns)}", "bad"))
    return Document(tuple(blocks))


def _sides(before: BisectSide, after: BisectSide) -> str:
    """What is held against what."""
    parts = [before.path if before.path == after.path else f"{before.path} -> {after.path}"]
    for old, new in ((before.provider, after.provider), (before.graph_optimization, after.graph_optimization)):
        if old != new:
            parts.append(f"{old} -> {new}")
    return ", ".join(parts)


def _facts(report: BisectReport) -> tuple[tuple[str, Cell], ...]:
    dims = format_dims(report.dims)
    facts: list[tuple[str, Cell]] = [
        ("nodes", f"{format_count(report.node_count)}, comparable at {count_of(report.cut_count, 'cut')}"),
        ("runs", f"{count_of(report.probe_count, 'run')} of both sides"),
        ("tolerance", format_number(report.tolerance)),
        ("inputs", f"seed {report.seed}" + (f", {dims}" if dims else "")),
    ]
    return tuple(facts)


def _nodes(nodes: Sequence[BisectedNode]) -> Table:
    two = len({each.side for each in nodes}) > 1
    rows: list[tuple[Cell, ...]] = [
        (each.side if two else "", operator_name(each.domain, each.op_type), each.name) for each in nodes[:_SHOWN]
    ]
    if len(nodes) > _SHOWN:
        rows.append((Styled(f"… {len(nodes) - _SHOWN} more", "dim"), "", ""))
    columns = (
        Column(title="side", style="dim"),
        Column(title="operator", style="accent", code=True),
        Column(title="node", overflow="cut", code=True),
    )
    return Table(columns, tuple(rows), titled=False)


def _reproduction(report: BisectReport) -> str:
    if report.reproduced is None:
        return "these nodes can't be run by themselves"
    fed = ", ".join(each.name for each in report.inputs[:5]) + (", …" if len(report.inputs) > 5 else "")
    what = f"fed the same {fed}" if fed else "fed the same"
    if report.reproduced:
        return f"these nodes alone, {what}, differ as well"
    return f"these nodes alone, {what}, agree: the difference adds up over the nodes before"
