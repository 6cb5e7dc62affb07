"""What `onnxctl run --profile` found: where the time goes, and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProfile:
    """One node of the graph onnxruntime runs, per run of the model; share is of the time of all nodes.

    original_nodes are the model's own nodes that it stands for, as far as that can be recovered. macs, flops and
    moved_bytes are theirs, None where they can't be counted; output_bytes, parameter_bytes and memory_bytes (the most
    in use while it ran) are onnxruntime's own records, None where it keeps none.
    """

    name: str
    op_type: str
    provider: str
    original_nodes: tuple[str, ...]
    calls_per_run: float
    mean_ns: float
    share: float
    macs: int | None = None
    flops: int | None = None
    moved_bytes: int | None = None
    output_bytes: int | None = None
    parameter_bytes: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProfile:
    """All nodes of one operator on one provider; the counts are None where not one of them could be counted."""

    op_type: str
    provider: str
    node_count: int
    mean_ns: float
    share: float
    macs: int | None
    flops: int | None
    moved_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePeak:
    """What this machine reached on the same provider with as many threads: a large float32 MatMul, a large Add."""

    flops_per_second: float
    bytes_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileReport:
    """The time of the nodes, from a session of its own with onnxruntime's profiler on: runs take longer there.

    run_ns is the mean time of a profiled run, nodes_ns the part of it spent in nodes. bound says in a sentence what
    limits the speed.
    """

    run_count: int
    run_ns: float
    nodes_ns: float
    nodes: tuple[NodeProfile, ...]
    operators: tuple[OperatorProfile, ...]
    peak: MachinePeak | None
    bound: str
