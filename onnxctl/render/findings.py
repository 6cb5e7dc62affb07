"""How every command shows findings: `severity  place: message  [code]`, and below it what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnxctl.render.document import Block, Findings, Heading
from onnxctl.render.units import count_of

if TYPE_CHECKING:
    from onnxctl.reports import Finding, Severity

_NOUNS: Mapping[Severity, tuple[str, str]] = {
    "error": ("error", "errors"),
    "warning": ("warning", "warnings"),
    "info": ("info", "info"),
}


def finding_blocks(findings: Sequence[Finding]) -> list[Block]:
    """A heading that counts them by severity, and each with its hint; nothing where there are none."""
    if not findings:
        return []
    counts = Counter(each.severity for each in findings)
    note = ", ".join(count_of(counts[severity], *_NOUNS[severity]) for severity in _NOUNS if counts[severity])
    return [Heading("Findings", f"{note}; onnxctl explain CODE tells more"), Findings(tuple(findings))]
