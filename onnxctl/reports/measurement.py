"""What `onnxctl run` is asked for and what it measures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.optimization import OutputComparison
    from onnxctl.reports.profile import ProfileReport
    from onnxctl.reports.shared import Finding, OperatorCount

GraphOptimization = Literal["disable", "basic", "extended", "layout", "all"]
"""How far onnxruntime may rewrite a graph when it opens it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOption:
    """One option of an execution provider; provider is its short name, "" for the first of the chain."""

    provider: str
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What to run and how; times in seconds where the name says so. An empty tuple means "not said".

    providers is a chain: the first that takes a node runs it. provider_libraries are (name, path) of plugins; inputs
    are (input, source) as `runtime.given` reads them; data_folder holds test data sets; precision is half the width of
    the median's confidence interval as a share of the median; memory_bytes is the most that may be used.
    """

    path: str
    providers: tuple[str, ...] = ("cpu",)
    provider_options: tuple[ProviderOption, ...] = ()
    provider_libraries: tuple[tuple[str, str], ...] = ()
    required_providers: tuple[str, ...] = ()
    dims: tuple[tuple[str, int], ...] = ()
    seed: int = 0
    inputs: tuple[tuple[str, str], ...] = ()
    data_folder: str | None = None
    verify: bool = False
    save_outputs: str | None = None
    force: bool = False
    warmup_count: int = 5
    run_count: int | None = None
    duration_s: float = 3.0
    precision: float = 0.01
    concurrency: int = 1
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None
    graph_optimization: GraphOptimization = "all"
    session_config: tuple[tuple[str, str], ...] = ()
    custom_ops: tuple[str, ...] = ()
    profile: bool = False
    trace: str | None = None
    timeout_s: float | None = None
    memory_bytes: int | None = None


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
class RankedElement:
    """An element of a row, by its position."""

    index: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSummary:
    """One input or output as it was: shape and dtype seen; minimum, maximum and mean of its finite numbers.

    top are the largest elements of the first row of an output that looks like scores.
    """

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
    top: tuple[RankedElement, ...] = ()


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
    """How many nodes of the graph the session runs a provider was given, and their share of the measured time."""

    provider: str
    node_count: int
    operators: tuple[OperatorCount, ...] = ()
    time_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOnCpu:
    """A node that no provider asked for took; reason as onnxruntime gives it. computes: it does more than shapes."""

    name: str
    op_type: str
    domain: str
    computes: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSetCheck:
    """The outputs held against those expected: of a test data set, or (source "") of onnxruntime's plainest session."""

    source: str
    status: Literal["equal", "different", "not verified"]
    reason: str = ""
    outputs: tuple[OutputComparison, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePhases:
    """Medians of the parts of a run on a device with memory of its own, in nanoseconds."""

    host_to_device_ns: float
    compute_ns: float
    device_to_host_ns: float


Verdict = Literal["faster", "slower", "no measurable difference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times as long one takes as another, with its 95 % confidence interval, and what to call that."""

    ratio: float
    low: float
    high: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineComparison:
    """The measurement against an earlier one; allowed is the share by which it may be slower, None for any."""

    path: str
    date: str
    median_ns: float
    ratio: Ratio
    allowed: float | None
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A condition on the figures that was asked for, and whether it holds."""

    text: str
    passed: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What `onnxctl run` measured: the statistics, and the raw samples they come from (one per timed run, in ns).

    providers are onnxruntime's names in their order, provider_options those in effect. device_copy_count counts the
    nodes that copy between devices (None: not looked at). With concurrency > 1 samples overlap, and the throughput is
    that of all threads together. peak_device_bytes is what the device's memory grew by. exit_code is the one that the
    command ends in.
    """

    kind: ClassVar[Literal["run"]] = "run"

    path: str
    provider: str
    session_providers: tuple[str, ...]
    provider_options: tuple[ProviderOption, ...]
    placement: tuple[NodePlacement, ...]
    nodes_on_cpu: tuple[NodeOnCpu, ...]
    device_copy_count: int | None
    seed: int
    dims: tuple[tuple[str, int], ...]
    inputs: tuple[ValueSummary, ...]
    outputs: tuple[ValueSummary, ...]
    verification: tuple[DataSetCheck, ...]
    baseline: BaselineComparison | None
    assertions: tuple[Assertion, ...]
    profile: ProfileReport | None
    exit_code: int
    files_written: tuple[str, ...]
    load_ns: int
    first_run_ns: int
    warmup_count: int
    latency: LatencyStatistics
    phases: DevicePhases | None
    throughput_per_second: float
    peak_memory_bytes: int
    peak_device_bytes: int | None
    intra_op_threads: int | None
    inter_op_threads: int | None
    concurrency: int
    graph_optimization: GraphOptimization
    session_config: tuple[tuple[str, str], ...]
    custom_ops: tuple[str, ...]
    environment: Environment
    findings: tuple[Finding, ...] = ()
    samples_ns: tuple[int, ...] = field(default=())
