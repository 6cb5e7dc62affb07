"""What `onnxctl inspect --compatibility` says: which versions a model needs, and what runs its operators here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxctl.reports.shared import OperatorCount


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRule:
    """The types a kernel takes at one place: an input or output by position, as "tensor(float)"."""

    is_output: bool
    position: int
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """An operator's implementation in one execution provider; last_version is None where it is open."""

    domain: str
    op_type: str
    provider: str
    first_version: int
    last_version: int | None
    rules: tuple[TypeRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledKernels:
    """The kernels of the installed onnxruntime, and its execution providers, those without kernels of their own too."""

    version: str
    providers: tuple[str, ...]
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredVersions:
    """What a model needs: the versions it states, or the lowest that give its operators and fields the same meaning.

    onnxruntime is the oldest release that takes them, "" where none does yet. reason names what the IR version is for,
    and the operator of onnxruntime's own that only a later release has.
    """

    ir_version: int
    opset: int
    ml_opset: int
    onnxruntime: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelGap:
    """Nodes that a provider has no kernel for. fallback says how they run all the same, "" where they don't."""

    provider: str
    domain: str
    op_type: str
    count: int
    where: str
    reason: str
    fallback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCoverage:
    """How many of the nodes a provider has kernels for; None where it compiles subgraphs and has no list of kernels."""

    provider: str
    node_count: int
    covered_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContribOperator:
    """An operator of onnxruntime's own, and the release that has it first; "" where none does.

    or_older: the release is the oldest that was looked at, and those before it may have the operator as well.
    """

    domain: str
    op_type: str
    count: int
    onnxruntime: str
    or_older: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatibilityReport:
    """Versions and kernels; loads says whether the installed onnxruntime takes the stated versions (None: none here).

    custom are operators of domains that neither ONNX nor onnxruntime defines, contrib those of onnxruntime's own
    domains, which come and go between its releases.
    """

    stated: RequiredVersions
    lowest: RequiredVersions
    onnxruntime: str
    loads: bool | None
    providers: tuple[ProviderCoverage, ...]
    gaps: tuple[KernelGap, ...]
    contrib: tuple[ContribOperator, ...]
    custom: tuple[OperatorCount, ...]
