"""What `onnxctl providers` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.shared import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """One execution provider: whether onnxruntime was built with it, whether it works here, and what to do if not."""

    name: str
    provider: str
    built_in: bool
    usable: bool
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvidersReport:
    """The execution providers, and the onnxruntime that has them (version "" when none is installed)."""

    kind: ClassVar[Literal["providers"]] = "providers"

    onnxruntime_version: str
    distributions: tuple[tuple[str, str], ...]
    providers: tuple[ProviderInfo, ...]
    findings: tuple[Finding, ...] = ()
