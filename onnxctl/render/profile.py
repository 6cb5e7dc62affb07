"""How `run --profile` tells where the time goes."""

from __future__ import annotations

from onnxctl.render.document import Block, Cell, Column, Heading, Paragraph, Table
from onnxctl.render.units import count_of, format_amount, format_bytes, format_duration, short_provider
from onnxctl.reports import MachinePeak, NodeProfile, OperatorProfile, ProfileReport

_MOST_OPERATORS = 12
_MOST_NODES = 12
_MOST_ORIGINALS = 3
_WORTH_TELLING = 0.005
"""A smaller share of the peak is left out: it would be a row of zeros."""

_FROM_CACHE = 1.1
"""A larger share of the bandwidth is not that of memory: what was read had just been written, or read before."""


def profile_blocks(profile: ProfileReport, median_ns: float) -> list[Block]:
    """What bounds the speed, then operators and the slowest nodes; median_ns is a run without the profiler."""
    runs = f"{count_of(profile.run_count, 'run')} of {format_duration(profile.run_ns)}"
    blocks: list[Block] = [
        Heading("Profile", f"{runs} with the profiler on, {format_duration(median_ns)} without"),
        Paragraph(f"  {profile.bound}"),
    ]
    if profile.peak is not None:
        blocks.append(Paragraph(f"  {_peak(profile.peak)}", "dim"))
    blocks.append(_operators(profile))
    blocks += [Heading("Slowest nodes", f"of {count_of(len(profile.nodes), 'node')}"), _nodes(profile)]
    return blocks


def _peak(peak: MachinePeak) -> str:
    rates = [f"{format_amount(round(each.flops_per_second))}FLOP/s in {each.element_type}" for each in peak.compute]
    moved = f"{format_bytes(round(peak.bytes_per_second))}/s over {format_bytes(peak.working_set_bytes)}"
    starting = f"{format_duration(peak.call_ns)} to start a run, {format_duration(peak.node_ns)} a node"
    return f"measured here: {', '.join([*rates, moved, starting])}"


def _operators(profile: ProfileReport) -> Table:
    several = len({each.provider for each in profile.operators}) > 1
    rows = tuple(
        (each.op_type, str(each.node_count), *_figures(each), short_provider(each.provider) if several else "")
        for each in profile.operators[:_MOST_OPERATORS]
    )
    columns = (
        Column(title="operator", overflow="cut", code=True),
        Column(title="nodes", align="right"),
        *_FIGURE_COLUMNS,
        Column(title="provider" if several else "", style="dim"),
    )
    return Table(columns, rows)


def _nodes(profile: ProfileReport) -> Table:
    rows = tuple(
        (_standing_for(each), each.op_type, *_figures(each), _memory(each)) for each in profile.nodes[:_MOST_NODES]
    )
    columns = (
        Column(title="node", overflow="cut", code=True),
        Column(title="runs as", overflow="cut", code=True),
        *_FIGURE_COLUMNS,
        Column(title="memory", align="right", optional=True),
    )
    return Table(columns, rows)


_FIGURE_COLUMNS = (
    Column(title="time", align="right"),
    Column(title="%", align="right"),
    Column(title="MACs", align="right"),
    Column(title="FLOP/s", align="right"),
    Column(title="B/s", align="right"),
    Column(title="of peak", align="right"),
)
"""The columns of what `_figures` gives."""


def _figures(of: NodeProfile | OperatorProfile) -> tuple[Cell, ...]:
    return (
        format_duration(of.time_ns),
        f"{of.share * 100:.1f}",
        format_amount(of.macs) if of.macs else "",
        _rate(of.flops, of.time_ns),
        _rate(of.moved_bytes, of.time_ns),
        _of_peak(of),
    )


def _rate(count: int | None, time_ns: float) -> str:
    return format_amount(round(count / time_ns * 1e9)) if count and time_ns else ""


def _of_peak(of: NodeProfile | OperatorProfile) -> str:
    """The larger of the two shares, and of what."""
    compute, bandwidth = of.compute_share or 0.0, of.bandwidth_share or 0.0
    if max(compute, bandwidth) < _WORTH_TELLING:
        return ""
    if compute >= bandwidth:
        return f"{compute * 100:.0f} % compute"
    return "from cache" if bandwidth > _FROM_CACHE else f"{bandwidth * 100:.0f} % memory"


def _memory(node: NodeProfile) -> str:
    return "" if node.memory_bytes is None else format_bytes(node.memory_bytes)


def _standing_for(node: NodeProfile) -> str:
    """The model's own nodes; what onnxruntime calls its own where none is known."""
    names = node.original_nodes
    if not names:
        return node.name or node.op_type
    if len(names) <= _MOST_ORIGINALS:
        return ", ".join(names)
    return f"{names[0]} … {names[-1]} ({len(names)})"
