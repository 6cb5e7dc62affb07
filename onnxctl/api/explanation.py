"""Explain: what the code of a finding means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxctl.reports import ExplainReport


def explain(code: str | None = None) -> ExplainReport:
    """What a code means and what to do about it, or all codes. Raises UsageError for a code that does not exist."""
    from onnxctl.analysis.catalogue import explain_code, read_catalogue
    from onnxctl.reports import ExplainReport

    return ExplainReport(codes=read_catalogue() if code is None else (explain_code(code),))
