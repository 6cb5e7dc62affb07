"""How `inspect` tells which versions a model needs, and what runs its operators here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxctl.render.document import Block, Cell, Column, Facts, Heading, Styled, Table
from onnxctl.render.units import count_of, format_count, operator_name

if TYPE_CHECKING:
    from onnxctl.reports import CompatibilityReport, KernelGap, OperatorCount, ProviderCoverage, RequiredVersions


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
        _versions(what, each, bool(report.stated.ml_opset))
        for what, each in (("stated", report.stated), ("lowest that would do", report.lowest))
    )
    blocks: list[Block] = [Heading("Compatibility"), Table(columns, rows), Facts(tuple(_facts(report)))]
    if report.gaps:
        blocks += [Heading("Operators without a kernel"), _gaps(report.gaps)]
    return blocks


def _versions(what: str, needs: RequiredVersions, with_ml: bool) -> tuple[Cell, ...]:
    return (
        what,
        str(needs.ir_version),
        str(needs.opset or "-"),
        *((str(needs.ml_opset or "-"),) if with_ml else ()),
        needs.onnxruntime or Styled("no release yet", "bad"),
        f"for {needs.reason}" if needs.reason else "",
    )


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
    rows += [(_short(each.provider), _coverage(each)) for each in report.providers]
    if report.contrib:
        own = f"{_operators(report.contrib)} (the versions above don't say from which release on)"
        rows.append(("onnxruntime's own", own))
    if report.custom:
        rows.append(("custom", Styled(_operators(report.custom), "warning")))
    return rows


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider")


def _coverage(coverage: ProviderCoverage) -> str:
    nodes = count_of(coverage.node_count, "node")
    if coverage.covered_count is None:
        return "compiles subgraphs, or runs elsewhere: it has no list of kernels"
    if coverage.covered_count == coverage.node_count:
        return f"can run all {nodes}"
    return f"can run {format_count(coverage.covered_count)} of {nodes}"


def _operators(operators: Sequence[OperatorCount]) -> str:
    return ", ".join(f"{operator_name(each.domain, each.op_type)} {each.count:,}" for each in operators)


def _gaps(gaps: Sequence[KernelGap]) -> Table:
    columns = (
        Column(title="provider"),
        Column(title="operator", code=True),
        Column(title="nodes", align="right"),
        Column(title="what is missing", overflow="wrap"),
        Column(title="first", overflow="cut", code=True),
    )
    rows = tuple(
        (
            _short(each.provider),
            operator_name(each.domain, each.op_type),
            format_count(each.count),
            f"{each.reason}; {each.fallback}" if each.fallback else Styled(each.reason, "bad"),
            each.where,
        )
        for each in gaps
    )
    return Table(columns, rows)
