"""How `run --profile` tells where the time goes."""

from __future__ import annotations

from onnxctl.render.document import Block, Cell, Column, Heading, Paragraph, Table
from onnxctl.render.units import count_of, format_bytes, format_count, format_duration
from onnxctl.reports import MachinePeak, NodeProfile, OperatorProfile, ProfileReport

_MOST_OPERATORS = 12
_MOST_NODES = 12
_MOST_ORIGINALS = 3


def profile_blocks(profile: ProfileReport) -> list[Block]:
    """What bounds the speed, then operators and the slowest nodes."""
    times = f"{count_of(profile.run_count, 'run')} of {format_duration(profile.run_ns)} with the profiler on"
    blocks: list[Block] = [Heading("Profile", times), Paragraph(f"  {profile.bound}")]
    if profile.peak is not None:
        blocks.append(Paragraph(f"  {_peak(profile.peak)}", "dim"))
    blocks.append(_operators(profile))
    blocks += [Heading("Slowest nodes", count_of(len(profile.nodes), "node") + " in all"), _nodes(profile)]
    return blocks


def _peak(peak: MachinePeak) -> str:
    return f"peak measured here: {_rate(peak.flops_per_second, 'FLOP/s')}, {_rate(peak.bytes_per_second, 'B/s')}"


def _operators(profile: ProfileReport) -> Table:
    rows = tuple(_operator_row(each, profile.peak) for each in profile.operators[:_MOST_OPERATORS])
    columns = (
        Column(title="operator", overflow="cut", code=True),
        Column(title="nodes", align="right"),
        *_FIGURE_COLUMNS,
        Column(title="provider", style="dim"),
    )
    return Table(columns, rows)


def _operator_row(operator: OperatorProfile, peak: MachinePeak | None) -> tuple[Cell, ...]:
    return (operator.op_type, str(operator.node_count), *_figures(operator, peak), _short(operator.provider))


def _nodes(profile: ProfileReport) -> Table:
    rows = [
        (each.name or each.op_type, each.op_type, *_figures(each, profile.peak), _memory(each), _originals(each))
        for each in profile.nodes[:_MOST_NODES]
    ]
    columns = (
        Column(title="node", overflow="cut", code=True),
        Column(title="operator", code=True),
        *_FIGURE_COLUMNS,
        Column(title="memory", align="right"),
        Column(title="stands for", overflow="wrap", style="dim"),
    )
    return Table(columns, tuple(rows))


_FIGURE_COLUMNS = tuple(
    Column(title=title, align="right") for title in ("time", "%", "MACs", "FLOP/s", "of peak", "B/s", "of peak")
)
"""The columns of what `_figures` gives."""


def _figures(of: NodeProfile | OperatorProfile, peak: MachinePeak | None) -> tuple[Cell, ...]:
    seconds = of.mean_ns / 1e9
    flops = of.flops / seconds if of.flops and seconds else None
    moved = of.moved_bytes / seconds if of.moved_bytes and seconds else None
    return (
        format_duration(of.mean_ns),
        f"{of.share * 100:.1f}",
        format_count(of.macs) if of.macs else "",
        _rate(flops, "FLOP/s"),
        f"{flops / peak.flops_per_second:.0%}" if peak and flops else "",
        _rate(moved, "B/s"),
        f"{moved / peak.bytes_per_second:.0%}" if peak and moved else "",
    )


def _rate(per_second: float | None, unit: str) -> str:
    if per_second is None:
        return ""
    amount = format_bytes(int(per_second)).removesuffix("B")
    return f"{amount}{unit}"


def _memory(node: NodeProfile) -> str:
    return "" if node.memory_bytes is None else format_bytes(node.memory_bytes)


def _originals(node: NodeProfile) -> str:
    if node.original_nodes in ((), (node.name,)):
        return ""
    shown = ", ".join(node.original_nodes[:_MOST_ORIGINALS])
    more = len(node.original_nodes) - _MOST_ORIGINALS
    return f"{shown} and {more} more" if more > 0 else shown


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider")
