"""How `run` tells which of several variants is faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxctl.render.document import Block, Cell, Column, Document, Findings, Heading, Paragraph, Style, Styled, Table
from onnxctl.render.measurement import assertion_row, environment_line, verification_row
from onnxctl.render.units import count_of, format_bytes, format_duration, format_rate
from onnxctl.reports import DataSetCheck, RunManyReport, VariantReport

_STYLES: Mapping[str, Style] = {"faster": "good", "slower": "bad", "no measurable difference": "dim"}


def contest_document(report: RunManyReport) -> Document:
    """The variants laid out, the first being what the others are compared with."""
    rounds = f"{count_of(report.round_count, 'round')} of {count_of(report.turn_count, 'turn')}, seed {report.seed}"
    if report.concurrency > 1:
        rounds += f", {report.concurrency} threads at once"
    blocks: list[Block] = [
        Heading(count_of(len(report.variants), "variant"), rounds, level=1),
        Table(
            (
                Column(title="variant", overflow="cut", code=True),
                Column(title="median", align="right"),
                Column(title="times", align="right"),
                Column(title="95 % interval", align="right"),
                Column(title="verdict"),
            ),
            tuple(map(_comparison_row, report.variants)),
        ),
    ]
    measured = tuple(_figures_row(each) for each in report.variants if each.latency is not None)
    if measured:
        titles = (
            Column(title="variant", overflow="cut", code=True),
            Column(title="P95", align="right"),
            Column(title="throughput", align="right"),
            Column(title="load", align="right"),
            Column(title="memory", align="right"),
            Column(title="outputs", style="dim"),
        )
        blocks += [Heading("Figures"), Table(titles, measured)]
    verified = [(each.label, check) for each in report.variants for check in each.verification]
    if verified:
        blocks += [Heading("Verification"), _verification(verified)]
    judged = [(each.label, assertion) for each in report.variants for assertion in each.assertions]
    if judged:
        rows = tuple((label, *assertion_row(assertion)) for label, assertion in judged)
        columns = (Column(overflow="cut", code=True), Column(), Column(overflow="wrap"), Column(style="dim"))
        blocks += [Heading("Judgement"), Table(columns, rows, titled=False)]
    if report.findings:
        blocks += [Heading("Findings"), Findings(report.findings)]
    blocks.append(Paragraph(environment_line(report.environment), "dim"))
    return Document(tuple(blocks))


def _verification(checks: Sequence[tuple[str, DataSetCheck]]) -> Table:
    rows = tuple((label, *verification_row(check)) for label, check in checks)
    columns = (
        Column(overflow="cut", code=True),
        Column(),
        Column(overflow="cut"),
        Column(overflow="wrap", style="dim"),
    )
    return Table(columns, rows, titled=False)


def _comparison_row(variant: VariantReport) -> tuple[Cell, ...]:
    latency, ratio = variant.latency, variant.ratio
    if latency is None:
        error = variant.error.error if variant.error is not None else "?"
        return variant.label, "", "", "", Styled(f"failed: {error}", "bad")
    median = Styled(format_duration(latency.median_ns), "strong")
    if ratio is None:
        return variant.label, median, "", "", "the first"
    interval = f"{ratio.low:.3f} to {ratio.high:.3f}"
    return variant.label, median, f"{ratio.ratio:.3f}", interval, Styled(ratio.verdict, _STYLES[ratio.verdict])


def _figures_row(variant: VariantReport) -> tuple[Cell, ...]:
    assert variant.latency is not None
    return (
        variant.label,
        format_duration(variant.latency.p95_ns),
        format_rate(variant.throughput_per_second, "runs").replace(" runs per second", "/s"),
        format_duration(variant.load_ns),
        format_bytes(variant.peak_memory_bytes) if variant.peak_memory_bytes else "",
        "" if variant.outputs is None else variant.outputs.status,
    )
