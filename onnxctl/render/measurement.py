"""How `run` tells how fast a model is, on what, and what went in and came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from onnxctl.render.document import (
    Block,
    Cell,
    Column,
    Document,
    Facts,
    Heading,
    Histogram,
    Paragraph,
    Style,
    Styled,
    Table,
)
from onnxctl.render.findings import finding_blocks
from onnxctl.render.profile import profile_blocks
from onnxctl.render.units import (
    count_of,
    format_bytes,
    format_closeness,
    format_count,
    format_dims,
    format_duration,
    format_number,
    format_rate,
    format_share,
)
from onnxctl.reports import Assertion, DataSetCheck, Environment, Ratio, RunReport, ValueSummary

_FEWEST_DRAWN = 20
"""Samples that make a histogram worth drawing."""

_BIN_COUNT = 8
_MOST_NODES = 12
_MOST_VALUES = 12
"""Inputs or outputs that are shown."""


def measurement_document(report: RunReport) -> Document:
    """The account of a run laid out."""
    latency = report.latency
    blocks: list[Block] = [
        Heading(report.path, f"on {report.provider}", level=1),
        Facts(_facts(report)),
        Heading("Latency", f"{count_of(latency.sample_count, 'run')} after {report.warmup_count:,} to warm up"),
        _latency(report),
    ]
    if latency.sample_count >= _FEWEST_DRAWN:
        blocks.append(sample_histogram(report.samples_ns))
    if report.nodes_on_cpu:
        blocks += [Heading("Left to the CPU", count_of(len(report.nodes_on_cpu), "node")), _left_to_cpu(report)]
    if report.profile is not None:
        blocks += profile_blocks(report.profile, latency.median_ns)
    blocks += [Heading("Inputs", f"seed {report.seed}"), _values(report.inputs), Heading("Outputs")]
    blocks.append(_values(report.outputs))
    if report.verification:
        blocks += [Heading("Verification"), _verification(report.verification)]
    if report.assertions or report.baseline:
        blocks += [Heading("Judgement"), _judgement(report)]
    blocks += finding_blocks(report.findings)
    blocks.append(Paragraph(environment_line(report.environment), "dim"))
    return Document(tuple(blocks))


def _facts(report: RunReport) -> tuple[tuple[str, Cell], ...]:
    latency = report.latency
    spread = f" ({format_duration(latency.median_low_ns)} to {format_duration(latency.median_high_ns)})"
    median = format_duration(latency.median_ns) + (spread if latency.sample_count > 1 else "")
    together = f" from {report.concurrency} threads at once" if report.concurrency > 1 else ""
    facts: list[tuple[str, Cell]] = [
        ("median", Styled(median, "strong")),
        ("throughput", format_rate(report.throughput_per_second, "runs") + together),
        ("on the device", _phases(report)),
        ("load", format_duration(report.load_ns)),
        ("first run", format_duration(report.first_run_ns)),
        ("threads", _threads(report)),
        ("optimization", "" if report.graph_optimization == "all" else report.graph_optimization),
        ("memory", _memory(report)),
        ("dimensions", format_dims(report.dims)),
        ("placement", _placement(report)),
        ("written", ", ".join(report.files_written)),
    ]
    return tuple(fact for fact in facts if fact[1])


def _phases(report: RunReport) -> str:
    if report.phases is None:
        return ""
    times = (report.phases.host_to_device_ns, report.phases.compute_ns, report.phases.device_to_host_ns)
    there, computing, back = map(format_duration, times)
    return f"{there} to copy there, {computing} to compute, {back} to copy back"


def _memory(report: RunReport) -> str:
    parts = [f"{format_bytes(report.peak_memory_bytes)} at most"] if report.peak_memory_bytes else []
    if report.peak_device_bytes is not None:
        parts.append(f"{format_bytes(report.peak_device_bytes)} on the device")
    return ", ".join(parts)


def _placement(report: RunReport) -> str:
    parts = []
    for each in report.placement:
        share = (
            ""
            if each.time_share is None or len(report.placement) == 1
            else f" ({format_share(each.time_share)} of the time)"
        )
        parts.append(f"{count_of(each.node_count, 'node')} on {each.provider}{share}")
    if report.device_copy_count:
        parts.append(count_of(report.device_copy_count, "copy between devices", "copies between devices"))
    return ", ".join(parts)


def _left_to_cpu(report: RunReport) -> Table:
    shown = report.nodes_on_cpu[:_MOST_NODES]
    rows: list[tuple[Cell, ...]] = [
        (each.name, each.op_type, each.reason or ("" if each.computes else "it only handles shapes")) for each in shown
    ]
    if len(report.nodes_on_cpu) > len(shown):
        rows.append((f"and {len(report.nodes_on_cpu) - len(shown)} more", "", ""))
    columns = (
        Column(title="node", overflow="cut", code=True),
        Column(title="operator", code=True),
        Column(title="reason", overflow="wrap", style="dim"),
    )
    return Table(columns, tuple(rows), titled=False)


_VERDICT_STYLES: Mapping[str, Style] = {"equal": "good", "different": "bad", "not verified": "warning"}


def _verification(checks: Sequence[DataSetCheck]) -> Table:
    rows = tuple(map(verification_row, checks))
    return Table((Column(), Column(overflow="cut"), Column(overflow="wrap", style="dim")), rows, titled=False)


def verification_row(check: DataSetCheck) -> tuple[Cell, ...]:
    """The verdict, what the outputs were held against, and by how much they are off."""
    source = check.source or "the CPU without graph optimizations"
    worst = max((each.max_relative for each in check.outputs), default=0.0)
    allowed = max((each.tolerance for each in check.outputs), default=0.0)
    detail = check.reason or f"{count_of(len(check.outputs), 'output')} {format_closeness(worst, allowed)}"
    return Styled(check.status, _VERDICT_STYLES[check.status]), source, detail


def _judgement(report: RunReport) -> Table:
    rows: list[tuple[Cell, ...]] = [assertion_row(each) for each in report.assertions]
    if report.baseline is not None:
        ratio, allowed = report.baseline.ratio, report.baseline.allowed
        limit = "" if allowed is None else f"; {allowed * 100:g} % slower is allowed"
        before = f"{format_duration(report.baseline.median_ns)} on {report.baseline.date[:10]}"
        rows.append(
            (_passed(report.baseline.passed), f"{ratio_in_words(ratio)} than {before}{limit}", report.baseline.path)
        )
    return Table((Column(), Column(overflow="wrap"), Column(overflow="cut", style="dim")), tuple(rows), titled=False)


def assertion_row(assertion: Assertion) -> tuple[Cell, ...]:
    """Whether it holds, what was asked, and what is."""
    return _passed(assertion.passed), assertion.text, assertion.message


def _passed(passed: bool) -> Styled:
    return Styled("holds", "good") if passed else Styled("fails", "bad")


def ratio_in_words(ratio: Ratio) -> str:
    """How much faster or slower, with the interval; or that no difference could be measured."""
    if ratio.verdict == "no measurable difference":
        return f"no measurable difference ({ratio.low:.3f} to {ratio.high:.3f} times)"
    changes = [abs(each - 1) * 100 for each in (ratio.ratio, ratio.low, ratio.high)]
    change, low, high = (
        f"{each:.2g}" if each < 99.5 else f"{each:,.0f}" for each in (changes[0], *sorted(changes[1:]))
    )
    return f"{change} % {ratio.verdict} ({low} to {high} %)"


# ---------------------------------------------------------------- samples


def sample_histogram(samples_ns: Sequence[int]) -> Histogram:
    """How the samples are spread: bins of equal width up to the 99th percentile, and one for what is beyond."""
    ordered = sorted(samples_ns)
    low, high = ordered[0], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    width = max((high - low) / _BIN_COUNT, 1e-9)
    counts = [0] * (_BIN_COUNT + 1)
    for sample in ordered:
        counts[min(int((sample - low) / width), _BIN_COUNT - 1) if sample <= high else _BIN_COUNT] += 1
    labels = [f"from {format_duration(low + width * index)}" for index in range(_BIN_COUNT)]
    rows = [(label, count) for label, count in zip(labels, counts, strict=False)] if high > low else []
    if not rows:
        rows = [(f"at {format_duration(low)}", sum(counts[:-1]))]
    if counts[-1]:
        rows.append((f"above {format_duration(high)}", counts[-1]))
    return Histogram("samples", tuple(rows), drawn=len(rows))


def _threads(report: RunReport) -> str:
    within = "chosen by onnxruntime" if report.intra_op_threads is None else str(report.intra_op_threads)
    return within + (f", {report.inter_op_threads} between operators" if report.inter_op_threads is not None else "")


def _latency(report: RunReport) -> Table:
    latency = report.latency
    titles = ("min", "median", "mean", "P90", "P95", "P99", "P99.9", "max", "std")
    figures = (
        latency.min_ns,
        latency.median_ns,
        latency.mean_ns,
        latency.p90_ns,
        latency.p95_ns,
        latency.p99_ns,
        latency.p99_9_ns,
        latency.max_ns,
        latency.std_ns,
    )
    return Table(tuple(Column(title=title, align="right") for title in titles), (tuple(map(format_duration, figures)),))


def _values(values: Sequence[ValueSummary]) -> Block:
    shown = values if len(values) <= _MOST_VALUES else values[: _MOST_VALUES - 1]
    rows: list[tuple[Cell, ...]] = [(each.name, _type(each), _range(each), _remark(each)) for each in shown]
    if len(shown) < len(values):
        rows.append((Styled(f"… {len(values) - len(shown)} more", "dim"), "", "", ""))
    columns = (
        Column(title="name", overflow="cut", code=True),
        Column(title="type", overflow="cut", code=True),
        Column(title="values"),
        Column(title="note", overflow="wrap", style="dim"),
    )
    return Table(columns, tuple(rows), titled=False) if rows else Paragraph("  none", "dim")


def _type(value: ValueSummary) -> str:
    if value.dtype is None or value.shape is None:
        return value.type
    return f"{value.dtype}[{', '.join(map(str, value.shape))}]"


def _range(value: ValueSummary) -> str:
    if value.minimum is None or value.maximum is None:
        return value.sample
    if value.minimum == value.maximum and not value.nan_count:
        return ("all " if value.shape and prod(value.shape) > 1 else "") + format_number(value.minimum)
    figures = f"{format_number(value.minimum)} to {format_number(value.maximum)}"
    return figures if value.mean is None else f"{figures}, mean {format_number(value.mean)}"


def _remark(value: ValueSummary) -> str:
    odd = ((value.nan_count, "NaN"), (value.inf_count, "infinite"))
    top = ", ".join(f"[{each.index}] {format_number(each.value)}" for each in value.top[:3])
    notes = [f"{format_count(count)} {word}" for count, word in odd if count]
    return ", ".join(filter(None, [value.source, *notes, f"top {top}" if top else ""]))


def environment_line(environment: Environment) -> str:
    """The machine and the software in a line."""
    machine = f"{environment.cpu}, {count_of(environment.cpu_count, 'core')}, {format_bytes(environment.memory_bytes)}"
    software = f"{environment.os}, Python {environment.python}, onnxruntime {environment.onnxruntime}"
    return "; ".join([machine, *environment.devices, software])
