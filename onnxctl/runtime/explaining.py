"""From times to reasons: what each node computes and moves in its time, and what bounds the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from onnxctl.reports import MachinePeak, NodeCost, NodeProfile, OperatorProfile, ProfileReport, Quantity
from onnxctl.runtime.profiling import ProfileRecord

OVERHEAD = 0.4
"""Where more of a run is spent between nodes than this, that is what bounds it."""

PROFILER_FACTOR = 2
"""Where the profiler makes a run longer than by this, its own work hides that of the nodes."""

NEAR_PEAK = 0.6
"""A share of the peak that leaves little to be had."""


def explain_profile(record: ProfileRecord, costs: Sequence[NodeCost], median_ns: float) -> ProfileReport:
    """The record joined with the cost of the model's nodes, and a sentence on what bounds it.

    median_ns is how long a run takes without the profiler.
    """
    by_label: dict[str, NodeCost] = {}
    for cost in costs:
        by_label.setdefault(cost.name, cost)
    nodes = tuple(_with_cost(node, by_label) for node in record.nodes)
    report = ProfileReport(
        run_count=record.run_count,
        run_ns=record.run_ns,
        nodes_ns=sum(each.mean_ns for each in nodes),
        nodes=nodes,
        operators=_operators(nodes),
        peak=record.peak,
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


def _operators(nodes: Sequence[NodeProfile]) -> tuple[OperatorProfile, ...]:
    groups: dict[tuple[str, str], list[NodeProfile]] = defaultdict(list)
    for node in nodes:
        groups[node.op_type, node.provider].append(node)
    found = [
        OperatorProfile(
            op_type=op_type,
            provider=provider,
            node_count=len(each),
            mean_ns=sum(node.mean_ns for node in each),
            share=sum(node.share for node in each),
            macs=_known_sum([node.macs for node in each]),
            flops=_known_sum([node.flops for node in each]),
            moved_bytes=_known_sum([node.moved_bytes for node in each]),
        )
        for (op_type, provider), each in groups.items()
    ]
    return tuple(sorted(found, key=lambda each: -each.mean_ns))


def _known_sum(counts: Sequence[int | None]) -> int | None:
    known = [each for each in counts if each is not None]
    return sum(known) if known else None


# ---------------------------------------------------------------- what bounds it


def what_bounds(report: ProfileReport, median_ns: float) -> str:
    """What limits the speed, in a sentence: the overhead between nodes, computing, memory, or one operator."""
    if not report.nodes or report.run_ns <= 0:
        return "onnxruntime recorded no nodes."
    if report.run_ns > PROFILER_FACTOR * median_ns:
        return (
            f"Bound by overhead: a run is so short that the profiler makes it {report.run_ns / median_ns:.1f} times as "
            "long; larger batches would help, and the times below are rough."
        )
    between = max(0.0, 1 - report.nodes_ns / report.run_ns)
    if between > OVERHEAD:
        return (
            f"Bound by overhead: {between:.0%} of a run passes between the nodes and not in them; larger batches or "
            "fewer nodes would help."
        )
    slowest = report.operators[0]
    where = f"{slowest.op_type} takes {slowest.share:.0%} of the time in nodes"
    if report.peak is None or not any(node.flops for node in report.nodes):
        return f"{where}."
    computing, moving = _limited_shares(report.nodes, report.peak)
    flops, moved = share_of_peak(report.nodes, report.peak)
    reached = f"{flops:.0%} of this machine's peak in computing and {moved:.0%} of its memory bandwidth"
    if computing + moving < NEAR_PEAK:
        return f"Bound by neither computing nor memory: the nodes reach {reached}; {where}."
    if computing >= moving:
        return f"Bound by computing: the nodes reach {reached}; {where}."
    return f"Bound by memory: the nodes reach {reached}; {where}."


def _limited_shares(nodes: Sequence[NodeProfile], peak: MachinePeak) -> tuple[float, float]:
    """The shares of the time that computing, and moving, would take at the peak, each node by the longer of the two."""
    total = sum(each.mean_ns for each in nodes)
    computing = moving = 0.0
    for each in nodes:
        compute_ns = (each.flops or 0) / peak.flops_per_second * 1e9
        move_ns = (each.moved_bytes or 0) / peak.bytes_per_second * 1e9
        if compute_ns >= move_ns:
            computing += min(compute_ns, each.mean_ns)
        else:
            moving += min(move_ns, each.mean_ns)
    return computing / total, moving / total


def share_of_peak(nodes: Sequence[NodeProfile | OperatorProfile], peak: MachinePeak) -> tuple[float, float]:
    """The shares of the peaks that the nodes reach together: of computing, and of memory bandwidth."""
    seconds = sum(each.mean_ns for each in nodes) / 1e9
    if not seconds:
        return 0.0, 0.0
    flops, moved = sum(each.flops or 0 for each in nodes), sum(each.moved_bytes or 0 for each in nodes)
    return flops / seconds / peak.flops_per_second, moved / seconds / peak.bytes_per_second
