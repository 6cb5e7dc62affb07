"""Which onnxruntime can load a model, and which execution provider has kernels for its nodes.

A kernel fits a node as in onnxruntime's kernel registry: it was made for the very version of the operator, or for a
range with an end that holds it; and every type constraint is met by the types that propagation finds (unknown types
are given the benefit of the doubt).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import onnx.defs
from onnx import ModelProto, NodeProto

from onnxctl.analysis.contrib_releases import OLDEST_ASKED, read_contrib_releases
from onnxctl.analysis.functions import function_key
from onnxctl.analysis.ir_versions import lowest_ir_version
from onnxctl.analysis.operator_table import ONNX_DOMAINS, read_table
from onnxctl.analysis.operators import RUNTIME_DOMAINS, OperatorRules
from onnxctl.analysis.runtime_versions import imported_opsets, oldest_release, release_of
from onnxctl.analysis.text.syntax import primitive
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.names import as_text
from onnxctl.model.nodes import DEFAULT_DOMAINS, is_standard, plain_domain
from onnxctl.model.propagation import Propagation, ScopeFacts
from onnxctl.reports import (
    CompatibilityReport,
    ContribOperator,
    InstalledKernels,
    Kernel,
    KernelGap,
    OperatorCount,
    ProviderCoverage,
    RequiredVersions,
)

_CPU = "CPUExecutionProvider"
_FLOAT16, _FLOAT = "tensor(float16)", "tensor(float)"


class _Use(NamedTuple):
    """One node with what tells its kernel: the version of its operator, and the types of its inputs and outputs."""

    node: NodeProto
    label: str
    since_version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def operator(self) -> tuple[str, str]:
        return plain_domain(self.node.domain), self.node.op_type


def check_compatibility(
    graphs: ModelGraphs, found: Propagation, installed: InstalledKernels | None
) -> CompatibilityReport:
    """The versions the model needs, and what of it the installed onnxruntime has kernels for; None: there is none."""
    proto = graphs.model.proto
    uses = list(_uses(graphs, found))
    opset, ml_opset = imported_opsets(proto)
    release = release_of(installed.version) if installed is not None else None
    gaps: list[KernelGap] = []
    coverage: list[ProviderCoverage] = []
    if installed is not None:
        for provider in installed.providers:
            kernels = _by_operator(installed.kernels, provider)
            missing = list(_gaps(uses, kernels, provider))
            lacking = sum(each.count for each in missing if not each.fallback)
            covered = len(uses) - lacking if kernels else None
            coverage.append(ProviderCoverage(provider=provider, node_count=len(uses), covered_count=covered))
            gaps += missing if kernels else []
    contrib = tuple(_contrib(uses))
    return CompatibilityReport(
        stated=_required(proto.ir_version, opset, ml_opset, contrib),
        lowest=_lowest(proto, uses, contrib),
        onnxruntime=installed.version if installed is not None else "",
        loads=None if release is None else release.takes(opset, ml_opset, proto.ir_version),
        providers=tuple(coverage),
        gaps=tuple(gaps),
        contrib=contrib,
        custom=_count(
            use for use in uses if use.node.domain not in {*RUNTIME_DOMAINS, *DEFAULT_DOMAINS, *ONNX_DOMAINS}
        ),
    )


def _count(uses: Iterator[_Use]) -> tuple[OperatorCount, ...]:
    counts = Counter((use.node.domain, use.node.op_type) for use in uses)
    return tuple(
        OperatorCount(domain=as_text(domain), op_type=as_text(op_type), count=count)
        for (domain, op_type), count in counts.most_common()
    )


def _contrib(uses: Iterable[_Use]) -> Iterator[ContribOperator]:
    counts = _count(use for use in uses if use.node.domain in RUNTIME_DOMAINS)
    releases = read_contrib_releases() if counts else {}
    for each in counts:
        first = releases.get((each.domain, each.op_type), "")
        yield ContribOperator(
            domain=each.domain,
            op_type=each.op_type,
            count=each.count,
            onnxruntime=first,
            or_older=first == OLDEST_ASKED,
        )


# ---------------------------------------------------------------- versions


def _required(
    ir_version: int, opset: int, ml_opset: int, contrib: Sequence[ContribOperator], reason: str = ""
) -> RequiredVersions:
    """The versions with the oldest release that takes them, and has all of its own operators that are used."""
    release = oldest_release(opset, ml_opset, ir_version)
    needed = release.name if release is not None else ""
    own = [each for each in contrib if not each.or_older]
    latest = max(own, key=lambda each: _order(each.onnxruntime), default=None)
    if latest is not None and needed and _order(latest.onnxruntime) > _order(needed):
        needed = latest.onnxruntime
        reason = ", ".join(filter(None, (reason, f"{latest.domain}.{latest.op_type}")))
    return RequiredVersions(ir_version=ir_version, opset=opset, ml_opset=ml_opset, onnxruntime=needed, reason=reason)


def _order(release: str) -> tuple[float, ...]:
    """What releases are sorted by: that of what no release has comes last."""
    return tuple(map(int, release.split("."))) if release else (math.inf,)


def _lowest(proto: ModelProto, uses: Sequence[_Use], contrib: Sequence[ContribOperator]) -> RequiredVersions:
    """The versions at which each operator in use came to mean what it means here."""
    opset, ml_opset = (
        max((use.since_version for use in uses if use.operator[0] == domain), default=0)
        for domain in ("", "ai.onnx.ml")
    )
    need = lowest_ir_version(proto)
    return _required(need.ir_version, opset, ml_opset, contrib, need.reason)


def _uses(graphs: ModelGraphs, found: Propagation) -> Iterator[_Use]:
    """The nodes that run, without Constants; a call of a model-local function stands for the nodes of its body."""
    functions = {function_key(each) for each in graphs.model.proto.functions}
    table = read_table()
    for scope in graphs.scopes():
        facts = found.of(scope)
        if facts is None:
            continue
        rules = OperatorRules(table, _opsets(scope), graphs.model.proto.ir_version)
        for node in scope.nodes:
            if is_standard(node, "Constant"):
                continue
            domain = plain_domain(node.domain)
            if (domain, node.op_type, node.overload) in functions:
                continue
            rule = rules.rule(domain, node.op_type) if domain in ONNX_DOMAINS else None
            since = rule.since_version if rule is not None else scope.opset(domain)
            inputs = tuple(_type_name(facts, name) for name in node.input)
            outputs = tuple(_type_name(facts, name) for name in node.output)
            yield _Use(node, scope.node_label(node), since, inputs, outputs)


def _opsets(scope: Graph) -> dict[str, int]:
    return {domain: version for domain in ONNX_DOMAINS if (version := scope.opset(domain))}


def _type_name(facts: ScopeFacts, name: str) -> str:
    """The type as onnxruntime writes it, "" where it is not known, or no tensor's."""
    fact = facts.fact(name)
    return f"tensor({primitive(fact.dtype)})" if name and fact.kind == "tensor" and fact.dtype else ""


# ---------------------------------------------------------------- kernels

_Kernels = dict[tuple[str, str], list[Kernel]]


def _by_operator(kernels: Sequence[Kernel], provider: str) -> _Kernels:
    found: _Kernels = {}
    for each in kernels:
        if each.provider == provider:
            found.setdefault((each.domain, each.op_type), []).append(each)
    return found


def _gaps(uses: Sequence[_Use], kernels: _Kernels, provider: str) -> Iterator[KernelGap]:
    """The nodes without a kernel, those of one operator and reason together."""
    seen: dict[tuple[str, str, str, str], list[str]] = {}
    for use in uses:
        reason, fallback = _lack(use, kernels, provider)
        if reason:
            seen.setdefault((*use.operator, reason, fallback), []).append(use.label)
    for (domain, op_type, reason, fallback), labels in seen.items():
        yield KernelGap(
            provider=provider,
            domain=as_text(domain) or "ai.onnx",
            op_type=as_text(op_type),
            count=len(labels),
            where=as_text(labels[0]),
            reason=reason,
            fallback=fallback,
        )


def _lack(use: _Use, kernels: _Kernels, provider: str) -> tuple[str, str]:
    """Why there is no kernel for the node, and how it runs all the same; "" twice where there is one."""
    candidates = kernels.get(use.operator, [])
    versions = [each for each in candidates if _has_version(each, use.since_version)]
    if any(_takes_types(each, use.inputs, use.outputs) for each in versions):
        return "", ""
    if versions:
        types = dict.fromkeys(each[len("tensor(") : -1] for each in use.inputs if each)
        reason = f"no kernel for {', '.join(types)}"
        if provider == _CPU and _FLOAT16 in (*use.inputs, *use.outputs):
            widened = [tuple(each.replace(_FLOAT16, _FLOAT) for each in types) for types in (use.inputs, use.outputs)]
            if any(_takes_types(each, *widened) for each in versions):
                return reason, "runs in float32, between casts"
    elif candidates:
        reason = f"no kernel for version {use.since_version}"
    else:
        reason = "no kernel"
    return reason, "may be expanded to operators that have one" if _has_function(use) else ""


def _has_version(kernel: Kernel, since_version: int) -> bool:
    if kernel.last_version is None:
        return kernel.first_version == since_version
    return kernel.first_version <= since_version <= kernel.last_version


def _takes_types(kernel: Kernel, inputs: Sequence[str], outputs: Sequence[str]) -> bool:
    for rule in kernel.rules:
        given = outputs if rule.is_output else inputs
        if rule.position < len(given) and given[rule.position] and given[rule.position] not in rule.types:
            return False
    return True


def _has_function(use: _Use) -> bool:
    """Whether ONNX defines the operator by others, so that a runtime without a kernel can expand it."""
    domain, op_type = use.operator
    try:
        schema = onnx.defs.get_schema(op_type, use.since_version, domain)
    except (onnx.defs.SchemaError, UnicodeEncodeError, TypeError):
        return False
    return bool(getattr(schema, "has_function", False) or getattr(schema, "has_context_dependent_function", False))
