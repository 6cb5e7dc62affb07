"""What `onnxctl run` measures where several variants take turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.measurement import (
        Assertion,
        DataSetCheck,
        Environment,
        GraphOptimization,
        LatencyStatistics,
        NodeOnCpu,
        NodePlacement,
        Ratio,
    )
    from onnxctl.reports.shared import ErrorReport, Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantReport:
    """One variant: what it ran as, its statistics, and how it compares with the first; error says why it has none.

    ratio is to the first variant's time, None for that one itself. outputs are held against those of the first variant
    of the same sizes, None where there is none or the inputs differ; verification is what --verify found. samples_ns
    are of all rounds. exit_code is the one that this variant alone would end in.
    """

    label: str
    path: str
    provider: str
    dims: tuple[tuple[str, int], ...]
    intra_op_threads: int | None
    graph_optimization: GraphOptimization
    exit_code: int
    error: ErrorReport | None = None
    load_ns: int = 0
    first_run_ns: int = 0
    latency: LatencyStatistics | None = None
    throughput_per_second: float = 0.0
    peak_memory_bytes: int = 0
    peak_device_bytes: int | None = None
    placement: tuple[NodePlacement, ...] = ()
    nodes_on_cpu: tuple[NodeOnCpu, ...] = ()
    ratio: Ratio | None = None
    outputs: DataSetCheck | None = None
    verification: tuple[DataSetCheck, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    samples_ns: tuple[int, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class RunManyReport:
    """Variants that took turns in random order, each in a process of its own, all started anew in every round.

    allowed is the share by which a variant may be slower than the first, None for any. With concurrency > 1 the runs
    of a turn overlap. exit_code is the highest of the variants'.
    """

    kind: ClassVar[Literal["run_many"]] = "run_many"

    variants: tuple[VariantReport, ...]
    round_count: int
    turn_count: int
    seed: int
    concurrency: int
    allowed: float | None
    exit_code: int
    environment: Environment
    findings: tuple[Finding, ...] = ()
