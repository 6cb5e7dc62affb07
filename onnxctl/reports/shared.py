"""What several reports share: findings, tensor types, operator counts, and errors as reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Severity = Literal["info", "warning", "error"]
Dim = int | str | None
"""One dimension of a shape: a size, a symbol's name, or None where the model says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something worth telling about a model or a measurement; `code` is stable."""

    code: str
    severity: Severity
    message: str
    hint: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """The name and type of one model input or output.

    kind is "tensor", "sparse_tensor", "sequence", "optional", "map" or "unknown"; type is the type in words, as ONNX
    writes it: "float32[batch, 3, 224, 224]", "seq(map(int64, float32))". dtype and shape describe the (innermost)
    tensor; shape is None where the rank is unknown, as are its entries where nothing is said.
    """

    name: str
    kind: str
    type: str
    dtype: str | None
    shape: tuple[Dim, ...] | None
    has_default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCount:
    """How often an operator occurs, subgraphs and function bodies included."""

    domain: str
    op_type: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """An error as a report, so that `--format json` is valid JSON whatever happens."""

    kind: ClassVar[Literal["error"]] = "error"

    error: str
    message: str
    hint: str
    exit_code: int
