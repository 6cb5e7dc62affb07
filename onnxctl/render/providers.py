"""How `providers` tells what models can run on here, and how to get the rest."""

from __future__ import annotations

from onnxctl.render.document import Block, Cell, Column, Document, Findings, Heading, Styled, Table
from onnxctl.reports import ProviderInfo, ProvidersReport


def providers_document(report: ProvidersReport) -> Document:
    """The list of providers laid out, usable ones first."""
    version = f"onnxruntime {report.onnxruntime_version}" if report.onnxruntime_version else "onnxruntime is missing"
    installed = ", ".join(f"{name} {release}" for name, release in report.distributions)
    columns = (
        Column(title="name", style="accent", code=True),
        Column(title="state"),
        Column(title="what is missing", overflow="wrap"),
    )
    ordered = sorted(report.providers, key=lambda each: (not each.usable, not each.built_in))
    blocks: list[Block] = [
        Heading(version, f"from {installed}" if installed else "", level=1),
        Table(columns, tuple(_row(each) for each in ordered)),
    ]
    if report.findings:
        blocks += [Heading("Findings"), Findings(report.findings)]
    return Document(tuple(blocks))


def _row(info: ProviderInfo) -> tuple[Cell, ...]:
    if info.usable:
        return info.name, Styled("usable", "good"), info.reason
    if info.built_in:
        return info.name, Styled("not usable", "warning"), "; ".join(filter(None, (info.reason, info.hint)))
    return info.name, Styled("not built in", "dim"), info.hint or info.reason
