"""From times to reasons: what each node computes and moves in its time, and what bounds the whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from onnxctl.reports import MachinePeak, NodeCost, NodeProfile, OperatorProfile, ProfileReport, Quantity
from onnxctl.runtime.profiling import ProfileRecord

OVERHEAD = 0.4
"""Where more of a run is spent on starting it and its nodes, or outside of them, that is what bounds it."""

IMPOSSIBLE = 2.0
"""Starting a run can't take so many times the run: the machine was busy with something else when it was measured."""

ROUGH_FACTOR = 1.5
"""Where the profiler makes a run longer than by this, its own work is a good part of a node's time."""

NEAR_PEAK = 0.6
"""A share of the peak that leaves little to be had."""


def explain_profile(record: ProfileRecord, costs: Sequence[NodeCost], median_ns: float) -> ProfileReport:
    """The record joined with the cost of the model's nodes, and a sentence on what bounds it.

    median_ns is how long a run takes without the profiler.
    """
    labels = Counter(each.name for each in costs)
    by_label = {
        each.name: each for each in costs if labels[each.name] == 1
    }  # namesakes in subgraphs are not told apart
    nodes = tuple(_near_peak(_with_cost(node, by_label), record.peak) for node in record.nodes)
    report = ProfileReport(
        run_count=record.run_count,
        run_ns=record.run_ns,
        nodes_ns=record.nodes_ns,
        nodes=nodes,
        operators=_operators(nodes),
        peak=record.peak,
        compute_share=_together(nodes, [each.compute_share for each in nodes]),
        bandwidth_share=_together(nodes, [each.bandwidth_share for each in nodes]),
        bound="",
    )
    return replace(report, bound=what_bounds(report, median_ns))


def _with_cost(node: NodeProfile, costs: Mapping[str, NodeCost]) -> NodeProfile:
    """The node with what its original nodes compute.

    What moves between nodes that are now one does not move any more: of several nodes, what onnxruntime says counts,
    but no less than what one of them moves alone: it leaves out weights that it has rearranged.
    """
    found = [costs[label] for label in node.original_nodes if label in costs]
    if not found or len(found) < len(node.original_nodes):
        return node
    moved = [_total([each.read_bytes, each.written_bytes]) for each in found]
    known = [each for each in moved if each is not None]
    together = sum(known) if len(known) == len(found) else None
    if together is not None and len(found) > 1:
        together = min(together, max(node.moved_bytes or 0, *known))
    return replace(
        node,
        macs=_total([each.macs for each in found]),
        flops=_total([each.flops for each in found]),
        moved_bytes=node.moved_bytes if together is None else together,
    )


def _total(quantities: Sequence[Quantity | None]) -> int | None:
    values = [None if each is None else each.value for each in quantities]
    known = [each for each in values if each is not None]
    return sum(known) if len(known) == len(values) else None


def _near_peak(node: NodeProfile, peak: MachinePeak | None) -> NodeProfile:
    """The node with the shares of the peak that it reaches, computing with its own element type."""
    if peak is None or not node.time_ns:
        return node
    rates = {each.element_type: each.flops_per_second for each in peak.compute}
    rate, seconds = rates.get(node.element_type), node.time_ns / 1e9
    return replace(
        node,
        compute_share=node.flops / rate / seconds if node.flops is not None and rate else None,
        bandwidth_share=None if node.moved_bytes is None else node.moved_bytes / peak.bytes_per_second / seconds,
    )


def _operators(nodes: Sequence[NodeProfile]) -> tuple[OperatorProfile, ...]:
    groups: dict[tuple[str, str], list[NodeProfile]] = defaultdict(list)
    for node in nodes:
        groups[node.op_type, node.provider].append(node)
    found = [
        OperatorProfile(
            op_type=op_type,
            provider=provider,
            node_count=len(each),
            time_ns=sum(node.time_ns for node in each),
            share=sum(node.share for node in each),
            macs=_known_sum([node.macs for node in each]),
            flops=_known_sum([node.flops for node in each]),
            moved_bytes=_known_sum([node.moved_bytes for node in each]),
            compute_share=_together(each, [node.compute_share for node in each]),
            bandwidth_share=_together(each, [node.bandwidth_share for node in each]),
        )
        for (op_type, provider), each in groups.items()
    ]
    return tuple(sorted(found, key=lambda each: -each.time_ns))


def _known_sum(counts: Sequence[int | None]) -> int | None:
    known = [each for each in counts if each is not None]
    return sum(known) if known else None


def _together(nodes: Sequence[NodeProfile], shares: Sequence[float | None]) -> float | None:
    """The share of the peak that nodes reach together in the time of all; None where none of them is known."""
    known = [share * node.time_ns for node, share in zip(nodes, shares, strict=True) if share is not None]
    total_ns = sum(each.time_ns for each in nodes)
    return sum(known) / total_ns if known and total_ns else None


# ---------------------------------------------------------------- what bounds it


def what_bounds(report: ProfileReport, median_ns: float) -> str:
    """What limits the speed: overhead, computing, memory bandwidth, or none of them; and the operator that counts."""
    if not report.nodes or report.run_ns <= 0:
        return "onnxruntime recorded no nodes."
    sentence = _overhead(report, median_ns) or _limit(report)
    factor = report.run_ns / max(median_ns, 1)
    if factor > ROUGH_FACTOR:
        sentence += f" The profiler makes a run {factor:.1f} times as long: the times below are rough."
    return sentence


def _overhead(report: ProfileReport, median_ns: float) -> str:
    """Says so where starting the run and its nodes, or what happens outside of nodes, takes much of the time."""
    peak = report.peak
    if peak is not None:
        calls = sum(each.calls_per_run for each in report.nodes)
        starting = (peak.call_ns + calls * peak.node_ns) / max(median_ns, 1)
        if OVERHEAD < starting < IMPOSSIBLE:
            nodes = "1 node" if round(calls) == 1 else f"{round(calls):,} nodes"
            return (
                f"Bound by overhead: starting a run of {nodes} takes {_percent(min(starting, 1))} of its time, "
                "whatever is computed; larger batches, or fewer nodes, would help."
            )
    outside = (min(median_ns, report.run_ns) - report.nodes_ns) / max(median_ns, 1)  # what the profiler adds is no part
    if outside > OVERHEAD:
        return (
            f"Bound by overhead: {_percent(outside)} of a run passes outside the nodes, where inputs and outputs are "
            "handed over; larger batches, or fewer nodes, would help."
        )
    return ""


def _limit(report: ProfileReport) -> str:
    slowest = report.operators[0]
    where = f"{slowest.op_type} takes {_percent(slowest.share)} of the time in nodes"
    if report.peak is None or report.compute_share is None:
        return f"{where}."
    computing, moving = _limited_shares(report.nodes)
    reached = f"{_percent(report.compute_share)} of this machine's peak in computing"
    if report.bandwidth_share is not None:
        reached += f" and {_percent(report.bandwidth_share)} of its memory bandwidth"
    unknown = sum(each.share for each in report.nodes if each.compute_share is None)
    if computing + moving < NEAR_PEAK <= computing + moving + unknown:
        return (
            f"What bounds it is not known: nodes whose work can't be counted take {_percent(unknown)} of the time in "
            f"nodes; {slowest.op_type} takes {_percent(slowest.share)}."
        )
    if computing + moving < NEAR_PEAK:
        return f"Bound by neither computing nor memory: the nodes reach {reached}; {where}."
    return f"Bound by {'computing' if computing >= moving else 'memory'}: the nodes reach {reached}; {where}."


def _percent(share: float) -> str:
    return "less than 1 %" if share < 0.01 else f"{share * 100:.0f} %"


def _limited_shares(nodes: Sequence[NodeProfile]) -> tuple[float, float]:
    """The shares of the time that computing, and moving, would take at the peak, each node by the longer of the two."""
    total = sum(each.time_ns for each in nodes)
    computing = moving = 0.0
    for each in nodes:
        compute, move = each.compute_share or 0.0, each.bandwidth_share or 0.0
        if compute >= move:
            computing += min(compute, 1) * each.time_ns
        else:
            moving += min(move, 1) * each.time_ns
    return computing / total, moving / total
