"""What `onnxctl check` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.shared import Severity

CheckName = Literal["file", "specification", "types", "data", "findings", "onnxruntime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckProblem:
    """One thing wrong with a model: which check found it, where (node, value or scope), in which field, what to do."""

    check: CheckName
    code: str
    severity: Severity
    message: str
    where: str = ""
    field: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStep:
    """One check of one file: whether it was made, and what it looked at or why it was not, in words."""

    name: CheckName
    status: Literal["passed", "failed", "not checked"]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """One file: passed where nothing counts against it. error_count and warning_count go beyond the problems listed."""

    path: str
    passed: bool
    error_count: int
    warning_count: int
    steps: tuple[CheckStep, ...]
    problems: tuple[CheckProblem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What `onnxctl check` found in all files; strict says that warnings count as errors do."""

    kind: ClassVar[Literal["check"]] = "check"

    passed: bool
    strict: bool
    files: tuple[CheckedFile, ...]
    elapsed_ns: int
