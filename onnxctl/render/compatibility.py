"""How `inspect` tells which versions a model needs, and what runs its operators here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxctl.render.document import Block, Cell, Column, Facts, Heading, Styled, Table
from onnxctl.render.units import count_of, format_count, operator_name, short_provider

if TYPE_CHECKING:
    from onnxctl.reports import (
        CompatibilityReport,
        ContribOperator,
        KernelGap,
        OperatorCount,
        ProviderCoverage,
        RequiredVersions,
    )


def compatibility_blocks(report: CompatibilityReport) -> list[Block]:
    """Versions, providers, and the operators without a kernel."""
    columns = (
        Column(title=""),
        Column(title="IR", align="right"),
        Column(title="opset", align="right"),
        *((Column(title="ai.onnx.ml", align="right"),) if report.stated.ml_opset else ()),
        Column(title="onnxruntime from"),
        Column(title="", style="dim", overflow="wrap"),
    )
    rows = tuple(
        _versions(what, each, bool(report.stated.ml_opset), report.contrib)
        for what, each in (("stated", report.stated), ("lowest that would do", report.lowest))
    )
    blocks: list[Block] = [Heading("Compatibility"), Table(columns, rows), Facts(tuple(_facts(report)))]
    missing = [each for each in report.gaps if not each.fallback]
    if missing:
        blocks += [Heading("Operators without a kernel", "nodes that can't run"), _gaps(missing)]
    otherwise = [each for each in report.gaps if each.fallback]
    if otherwise:
        blocks += [Heading("Run otherwise", "operators without a kernel for these types"), _fallbacks(otherwise)]
    return blocks


def _versions(
    what: str, needs: RequiredVersions, with_ml: bool, contrib: Sequence[ContribOperator]
) -> tuple[Cell, ...]:
    return (
        what,
        str(needs.ir_version),
        str(needs.opset or "-"),
        *((str(needs.ml_opset or "-"),) if with_ml else ()),
        _release(needs.onnxruntime, contrib) or Styled("no release yet", "bad"),
        f"for {needs.reason}" if needs.reason else "",
    )


def _release(needed: str, contrib: Sequence[ContribOperator]) -> str:
    """The oldest release, or the two it lies between, where operators may be older than is known."""
    limits = [each.onnxruntime for each in contrib if each.or_older]
    if needed and limits and _numbers(needed) < _numbers(limits[0]):
        return f"{needed} to {limits[0]}"
    return needed


def _numbers(release: str) -> list[int]:
    return [int(part) for part in release.split(".")]


def _facts(report: CompatibilityReport) -> list[tuple[str, Cell]]:
    rows: list[tuple[str, Cell]] = []
    if not report.onnxruntime:
        rows.append(("here", Styled("no onnxruntime is installed", "warning")))
    elif report.loads is None:
        rows.append(("here", f"onnxruntime {report.onnxruntime}, older than what is known"))
    elif report.loads:
        rows.append(("here", f"onnxruntime {report.onnxruntime} takes these versions"))
    else:
        rows.append(("here", Styled(f"onnxruntime {report.onnxruntime} does not take these versions", "bad")))
    if report.providers and all(each.covered_count is None for each in report.providers):
        told = "can't tell what it has kernels for: it crashes when it is asked"
        rows.append(("kernels", Styled(told, "warning")))
    rows += [
        (short_provider(each.provider), _coverage(each, [gap for gap in report.gaps if gap.provider == each.provider]))
        for each in report.providers
        if each.covered_count is not None
    ]
    rows += [("onnxruntime's own", own) for own in [", ".join(map(_contrib, report.contrib))] if own]
    if report.custom:
        rows.append(("custom", Styled(_operators(report.custom), "warning")))
    return rows


def _coverage(coverage: ProviderCoverage, gaps: Sequence[KernelGap]) -> str:
    """For how many nodes there are kernels, and what becomes of the others."""
    nodes = count_of(coverage.node_count, "node")
    if not gaps:
        return "has kernels for every node"
    lacking = sum(each.count for each in gaps)
    counts = Counter[str]()
    for each in gaps:
        counts[each.fallback] += each.count
    others = "; ".join(
        f"{format_count(count)} {_in_plural(fallback, count) if fallback else 'can not run'}"
        for fallback, count in counts.most_common()
    )
    return f"has kernels for {format_count(coverage.node_count - lacking)} of {nodes}; {others}"


def _in_plural(fallback: str, count: int) -> str:
    return fallback.replace("runs ", "run ", 1) if count != 1 else fallback


def _contrib(operator: ContribOperator) -> str:
    since = f"from {operator.onnxruntime}{' or older' if operator.or_older else ''}"
    name = f"{operator_name(operator.domain, operator.op_type)} {operator.count:,}"
    return f"{name} ({since if operator.onnxruntime else 'in no release so far'})"


def _operators(operators: Sequence[OperatorCount]) -> str:
    return ", ".join(f"{operator_name(each.domain, each.op_type)} {each.count:,}" for each in operators)


def _gaps(gaps: Sequence[KernelGap]) -> Table:
    columns = (
        Column(title="provider"),
        Column(title="operator", code=True),
        Column(title="nodes", align="right"),
        Column(title="what is missing", overflow="wrap", style="bad"),
        Column(title="first", overflow="cut", code=True),
    )
    rows = tuple(
        (
            short_provider(each.provider),
            operator_name(each.domain, each.op_type),
            format_count(each.count),
            each.reason,
            each.where,
        )
        for each in gaps
    )
    return Table(columns, rows)


def _fallbacks(gaps: Sequence[KernelGap]) -> Table:
    """A row for all operators that lack the same kernel and are run the same way."""
    alike: dict[tuple[str, str, str], list[KernelGap]] = {}
    for gap in gaps:
        alike.setdefault((gap.provider, gap.reason, gap.fallback), []).append(gap)
    columns = (
        Column(title="provider"),
        Column(title="nodes", align="right"),
        Column(title="operators", overflow="wrap", code=True),
        Column(title="how", overflow="wrap"),
    )
    rows = tuple(
        (
            short_provider(provider),
            format_count(sum(each.count for each in group)),
            ", ".join(f"{operator_name(each.domain, each.op_type)} {each.count:,}" for each in group),
            f"{reason}: {fallback}",
        )
        for (provider, reason, fallback), group in alike.items()
    )
    return Table(columns, rows)
