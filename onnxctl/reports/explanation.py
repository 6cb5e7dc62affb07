"""What `onnxctl explain` tells of the codes of findings and problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.shared import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What one code means, what to do about it, and what it looks like (ONNX text, a field, or words)."""

    code: str
    severity: Severity
    title: str
    explanation: str
    remedy: str
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainReport:
    """The code that was asked for, or all of them."""

    kind: ClassVar[Literal["explain"]] = "explain"

    codes: tuple[Explanation, ...]
