"""How `run` tells how fast a model is, on what, and what went in and came out."""

from __future__ import annotations

from collections.abc import Sequence

from onnxctl.render.document import Block, Cell, Column, Document, Facts, Findings, Heading, Paragraph, Styled, Table
from onnxctl.render.units import count_of, format_bytes, format_count, format_duration, format_number, format_rate
from onnxctl.reports import Environment, RunReport, ValueSummary


def measurement_document(report: RunReport) -> Document:
    """The account of a run laid out."""
    blocks: list[Block] = [
        Heading(report.path, f"on {report.provider}", level=1),
        Facts(_facts(report)),
        Heading("Latency", f"{count_of(report.latency.sample_count, 'run')} after {report.warmup_count:,} to warm up"),
        _latency(report),
        Heading("Inputs", f"seed {report.seed}"),
        _values(report.inputs),
        Heading("Outputs"),
        _values(report.outputs),
    ]
    if report.findings:
        blocks += [Heading("Findings"), Findings(report.findings)]
    blocks.append(Paragraph(_environment(report.environment), "dim"))
    return Document(tuple(blocks))


def _facts(report: RunReport) -> tuple[tuple[str, Cell], ...]:
    latency = report.latency
    spread = f" ± {format_duration(latency.std_ns)}" if latency.sample_count > 1 else ""
    facts: list[tuple[str, Cell]] = [
        ("median", Styled(format_duration(latency.median_ns) + spread, "strong")),
        ("throughput", format_rate(report.throughput_per_second, "runs")),
        ("load", format_duration(report.load_ns)),
        ("first run", format_duration(report.first_run_ns)),
        ("threads", _threads(report)),
        ("memory", f"{format_bytes(report.peak_memory_bytes)} at most" if report.peak_memory_bytes else ""),
        ("dimensions", ", ".join(f"{name}={size}" for name, size in report.dims)),
        (
            "placement",
            ", ".join(f"{count_of(each.node_count, 'node')} on {each.provider}" for each in report.placement),
        ),
    ]
    return tuple(fact for fact in facts if fact[1])


def _threads(report: RunReport) -> str:
    within = "chosen by onnxruntime" if report.intra_op_threads is None else str(report.intra_op_threads)
    return within + (f", {report.inter_op_threads} between operators" if report.inter_op_threads is not None else "")


def _latency(report: RunReport) -> Table:
    latency = report.latency
    titles = ("min", "median", "mean", "P90", "P95", "P99", "max")
    figures = (
        latency.min_ns,
        latency.median_ns,
        latency.mean_ns,
        latency.p90_ns,
        latency.p95_ns,
        latency.p99_ns,
        latency.max_ns,
    )
    return Table(tuple(Column(title=title, align="right") for title in titles), (tuple(map(format_duration, figures)),))


def _values(values: Sequence[ValueSummary]) -> Block:
    rows = tuple((each.name, _type(each), _range(each), _remark(each)) for each in values)
    columns = (
        Column(title="name", overflow="cut", code=True),
        Column(title="type", overflow="cut", code=True),
        Column(title="values"),
        Column(title="note", overflow="wrap", style="dim"),
    )
    return Table(columns, rows, titled=False) if rows else Paragraph("  none", "dim")


def _type(value: ValueSummary) -> str:
    if value.dtype is None or value.shape is None:
        return value.type
    return f"{value.dtype}[{', '.join(map(str, value.shape))}]"


def _range(value: ValueSummary) -> str:
    if value.minimum is None or value.maximum is None:
        return value.sample
    figures = f"{format_number(value.minimum)} to {format_number(value.maximum)}"
    return figures if value.mean is None else f"{figures}, mean {format_number(value.mean)}"


def _remark(value: ValueSummary) -> str:
    odd = ((value.nan_count, "NaN"), (value.inf_count, "infinite"))
    return ", ".join(filter(None, [value.source, *(f"{format_count(count)} {word}" for count, word in odd if count)]))


def _environment(environment: Environment) -> str:
    machine = f"{environment.cpu}, {count_of(environment.cpu_count, 'core')}, {format_bytes(environment.memory_bytes)}"
    software = f"{environment.os}, Python {environment.python}, onnxruntime {environment.onnxruntime}"
    return "; ".join([machine, *environment.devices, software])
