"""What `onnxctl optimize` is asked for and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.shared import Finding, OperatorCount


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeConfig:
    """What to optimize and how. passes None means the whole pipeline, external_data None "as the input has it"."""

    path: str
    output: str
    dims: tuple[tuple[str, int], ...] = ()
    passes: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()
    with_onnxsim: bool = False
    verify: bool = True
    seed: int = 0
    external_data: bool | None = None
    force: bool = False
    in_place: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A rewrite a pass looked at and left alone, and why; count says how many nodes shared the reason."""

    pass_name: str
    reason: str
    where: str
    count: int = 1


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
class OptimizeReport:
    """What `onnxctl optimize` did; output is None where nothing was written."""

    kind: ClassVar[Literal["optimize"]] = "optimize"

    path: str
    output: str | None
    files_written: tuple[str, ...]
    before: ModelFigures
    after: ModelFigures
    passes: tuple[PassOutcome, ...]
    refusals: tuple[Refusal, ...]
    verification: Verification
    rounds: int
    elapsed_ns: int
    findings: tuple[Finding, ...] = ()
