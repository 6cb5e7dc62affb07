"""What `onnxctl run --profile` found: where the time goes, and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProfile:
    """One node of the graph onnxruntime runs, per run of the model; share is of the time of all nodes.

    time_ns is the mean of the middle half of the profiled runs, all its calls in a run together. original_nodes are the
    model's own nodes that it stands for, as far as that can be recovered. macs, flops and moved_bytes are theirs, None
    where they can't be counted; compute_share and bandwidth_share say how near they are to the machine's peak.
    output_bytes, parameter_bytes and memory_bytes (in use when it was done, in the first run) are onnxruntime's own
    records, None where it keeps none.
    """

    name: str
    op_type: str
    provider: str
    original_nodes: tuple[str, ...]
    element_type: str
    calls_per_run: float
    time_ns: float
    share: float
    macs: int | None = None
    flops: int | None = None
    moved_bytes: int | None = None
    compute_share: float | None = None
    bandwidth_share: float | None = None
    output_bytes: int | None = None
    parameter_bytes: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProfile:
    """All nodes of one operator on one provider; the counts are None where not one of them could be counted."""

    op_type: str
    provider: str
    node_count: int
    time_ns: float
    share: float
    macs: int | None
    flops: int | None
    moved_bytes: int | None
    compute_share: float | None
    bandwidth_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputePeak:
    """The most operations per second that products of matrices of this type reached."""

    element_type: str
    flops_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePeak:
    """What this machine reached on the same provider with as many threads.

    bytes_per_second holds for data of working_set_bytes, about as much as the model holds: caches are faster than
    memory. call_ns is the time of a run that computes nothing, and every node adds node_ns to it.
    """

    compute: tuple[ComputePeak, ...]
    bytes_per_second: float
    working_set_bytes: int
    call_ns: float
    node_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileReport:
    """The time of the nodes, from a session of its own with onnxruntime's profiler on: runs take longer there.

    run_ns is the time of a profiled run, nodes_ns the part of it spent in nodes, both means of the middle half.
    compute_share and bandwidth_share are those of all nodes together. bound says in a sentence what limits the speed.
    """

    run_count: int
    run_ns: float
    nodes_ns: float
    nodes: tuple[NodeProfile, ...]
    operators: tuple[OperatorProfile, ...]
    peak: MachinePeak | None
    compute_share: float | None
    bandwidth_share: float | None
    bound: str
