"""What `onnxctl optimize` is asked for and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.measurement import LatencyStatistics, Ratio
    from onnxctl.reports.shared import Finding, OperatorCount


Level = Literal["safe", "default", "max"]
"""How much an optimization may do: bit-exact rewrites only, what is worth it everywhere, or onnxsim's as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeConfig:
    """What to optimize and how.

    output None is for a dry run. inline_functions asks for all calls of the model's own functions to be inlined. passes
    None means the whole pipeline, external_data None "as the input has it". run_count and tolerance None are those that
    `runtime.compare` chooses; inputs are (name, source) pairs, see `runtime.given.read_inputs`. explain asks for every
    node that was left alone, measure for the latency before and after; with require_faster nothing is written unless it
    went down, with require_verified unless both models were run and gave the same. timeout_s and memory_bytes bound the
    processes that run models.
    """

    path: str
    output: str | None
    dims: tuple[tuple[str, int], ...] = ()
    level: Level = "default"
    passes: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()
    with_onnxsim: bool = False
    inline_functions: bool = False
    verify: bool = True
    require_verified: bool = False
    run_count: int | None = None
    inputs: tuple[tuple[str, str], ...] = ()
    tolerance: float | None = None
    seed: int = 0
    measure: bool = False
    require_faster: bool = False
    external_data: bool | None = None
    force: bool = False
    in_place: bool = False
    dry_run: bool = False
    explain: bool = False
    timeout_s: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A rewrite a pass looked at and left alone, and why.

    count says how many nodes shared the reason, where names the first of them, nodes all where somebody asked for it.
    """

    pass_name: str
    reason: str
    where: str
    count: int = 1
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOutcome:
    """What one pass did, over all rounds."""

    name: str
    rewrite_count: int
    elapsed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputComparison:
    """One output of the two models on the same inputs; differences are maxima over all runs.

    max_relative is the largest |a - b| / (|a| + what is typical of the output), held against the tolerance (see
    runtime/tolerance.py). tolerance 0 compares for equality; of integers that rounding decides, max_relative and
    tolerance are shares of elements.
    """

    name: str
    equal: bool
    max_absolute: float
    max_relative: float
    tolerance: float
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How the result was proven, or the reason why it was not; "skipped" means that nobody wanted proof."""

    status: Literal["equal", "different", "not verified", "skipped"]
    reason: str = ""
    run_count: int = 0
    seed: int = 0
    dims: tuple[tuple[tuple[str, int], ...], ...] = ()
    outputs: tuple[OutputComparison, ...] = ()
    elapsed_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """The figures an optimization is judged by."""

    node_count: int
    initializer_count: int
    parameter_count: int
    file_bytes: int
    operators: tuple[OperatorCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """What one stage of the work took: reading, simplifying, writing, verifying, measuring."""

    name: str
    elapsed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedComparison:
    """The latencies of two models whose runs took turns, and how they compare.

    ratio is after / before, see `runtime.statistics.compare_pairs`. Both were opened anew in each of round_count
    rounds, with onnxruntime's own optimizations on as usual.
    """

    before: LatencyStatistics
    after: LatencyStatistics
    ratio: Ratio
    round_count: int
    provider: str
    seed: int
    dims: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeReport:
    """What `onnxctl optimize` did; output is None where nothing was written.

    status "different" is a result whose outputs differ, "not verified" and "not faster" one that was to be: none of
    these is written. The last of the passes is simplify_with_onnxsim where that took part. speed is None where nobody
    asked, or it could not be measured. dims are the sizes that dimensions were given for good.
    """

    kind: ClassVar[Literal["optimize"]] = "optimize"

    path: str
    output: str | None
    status: Literal["written", "dry run", "different", "not verified", "not faster"]
    level: Level
    files_written: tuple[str, ...]
    before: ModelFigures
    after: ModelFigures
    passes: tuple[PassOutcome, ...]
    refusals: tuple[Refusal, ...]
    verification: Verification
    speed: SpeedComparison | None
    rounds: int
    stages: tuple[StageTime, ...]
    elapsed_ns: int
    dims: tuple[tuple[str, int], ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizedFile:
    """One of many files: the figures of its report, or the error.

    exit_code is the one that this file alone would have ended in; reason is why it failed or was not verified; speed is
    latency after / before, where it was measured.
    """

    path: str
    output: str | None
    status: Literal["written", "dry run", "different", "not verified", "not faster", "failed"]
    exit_code: int
    node_count_before: int | None = None
    node_count_after: int | None = None
    file_bytes_before: int | None = None
    file_bytes_after: int | None = None
    verification: str = ""
    reason: str = ""
    speed: Ratio | None = None
    elapsed_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeManyReport:
    """What became of each of many files, in the order they were named in."""

    kind: ClassVar[Literal["optimize_many"]] = "optimize_many"

    files: tuple[OptimizedFile, ...]
    failed_count: int
    elapsed_ns: int
