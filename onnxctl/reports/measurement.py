"""What `onnxctl run` is asked for and what it measures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.shared import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What to run and how; times in seconds where the name says so. An empty tuple means "not said"."""

    path: str
    provider: str = "cpu"
    dims: tuple[tuple[str, int], ...] = ()
    seed: int = 0
    warmup_count: int = 5
    run_count: int | None = None
    duration_s: float = 3.0
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStatistics:
    """Statistics of the samples, in nanoseconds; percentiles by linear interpolation between closest ranks.

    median_low_ns to median_high_ns is a 95 % confidence interval of the median that assumes no distribution.
    """

    sample_count: int
    min_ns: float
    mean_ns: float
    median_ns: float
    median_low_ns: float
    median_high_ns: float
    p90_ns: float
    p95_ns: float
    p99_ns: float
    p99_9_ns: float
    max_ns: float
    std_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSummary:
    """One input or output as it was: shape and dtype seen; minimum, maximum and mean of its finite numbers."""

    name: str
    type: str
    dtype: str | None
    shape: tuple[int, ...] | None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    nan_count: int = 0
    inf_count: int = 0
    source: str = ""
    sample: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The machine and the software a measurement was made with; date is UTC, ISO 8601."""

    cpu: str
    cpu_count: int
    memory_bytes: int
    os: str
    python: str
    onnx: str
    onnxruntime: str
    onnxctl: str
    date: str
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlacement:
    """How many nodes of the graph the session runs a provider was given."""

    provider: str
    node_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What `onnxctl run` measured: the statistics, and the raw samples they come from (one per timed run, in ns)."""

    kind: ClassVar[Literal["run"]] = "run"

    path: str
    provider: str
    session_providers: tuple[str, ...]
    placement: tuple[NodePlacement, ...]
    seed: int
    dims: tuple[tuple[str, int], ...]
    inputs: tuple[ValueSummary, ...]
    outputs: tuple[ValueSummary, ...]
    load_ns: int
    first_run_ns: int
    warmup_count: int
    latency: LatencyStatistics
    throughput_per_second: float
    peak_memory_bytes: int
    intra_op_threads: int | None
    inter_op_threads: int | None
    environment: Environment
    findings: tuple[Finding, ...] = ()
    samples_ns: tuple[int, ...] = field(default=())
