"""How `inspect` tells of several models: their main figures side by side."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxctl.render.document import Cell, Column, Document, Heading, Styled, Table
from onnxctl.render.units import format_bytes, format_count, format_quantity

if TYPE_CHECKING:
    from onnxctl.reports import InspectManyReport, ModelSummary, Severity

_SHOWN_OPERATORS = 3
_WORST_FIRST: tuple[Severity, ...] = ("error", "warning", "info")


def comparison_document(report: InspectManyReport) -> Document:
    """A row for each model; the folder that all are in is said once."""
    folder = _common_folder([model.path for model in report.models])
    columns = [
        Column(title="model", overflow="cut", code=True),
        Column(title="size", align="right"),
        Column(title="params", align="right"),
        Column(title="nodes", align="right", optional=True),
        Column(title="opset", align="right", optional=True),
    ]
    rows: list[list[Cell]] = [
        [
            model.path[len(folder) :],
            format_bytes(model.total_bytes),
            format_count(model.parameter_count),
            format_count(model.node_count),
            _opset(model),
        ]
        for model in report.models
    ]
    if any(model.cost is not None for model in report.models):
        columns += [Column(title=title, align="right", overflow="cut") for title in ("MACs", "FLOPs")]
        for row, model in zip(rows, report.models, strict=True):
            cost = model.cost
            row += ["", ""] if cost is None else [format_quantity(each, longest=1) for each in (cost.macs, cost.flops)]
    if any(model.memory is not None for model in report.models):
        columns.append(Column(title="peak memory", align="right"))
        for row, model in zip(rows, report.models, strict=True):
            row.append("" if model.memory is None else format_bytes(model.memory.peak_bytes))
    if any(model.looked_closer for model in report.models):
        columns.append(Column(title="findings", overflow="cut"))
        for row, model in zip(rows, report.models, strict=True):
            row.append(_findings(model))
    columns.append(Column(title="weights", overflow="cut", optional=True))
    columns.append(Column(title="operators", overflow="cut", style="dim", optional=True))
    for row, model in zip(rows, report.models, strict=True):
        row += [", ".join(each.dtype for each in model.parameters), _operators(model)]
    heading = Heading(f"{len(report.models)} models", f"in {folder}" if folder else "", level=1)
    return Document(
        (heading, Table(tuple(columns), tuple(map(tuple, rows)))), more="more: --cost, --memory, --findings, --json"
    )


def _common_folder(paths: Sequence[str]) -> str:
    """The folder that all paths are in, with a slash; "" where there is no such, or it is this one."""
    folders = {os.path.dirname(path) for path in paths}
    folder = folders.pop() if len(folders) == 1 else ""
    return os.path.join(folder, "") if folder else ""


def _opset(model: ModelSummary) -> str:
    versions = (str(version) for domain, version in model.opset_imports if domain in ("", "ai.onnx"))
    return ", ".join(dict.fromkeys(versions))


def _findings(model: ModelSummary) -> Cell:
    counts = Counter(each.severity for each in model.findings)
    words = ", ".join(f"{counts[severity]} {severity}" for severity in _WORST_FIRST if severity in counts)
    return Styled(words, "bad" if "error" in counts else "warning" if "warning" in counts else "dim")


def _operators(model: ModelSummary) -> str:
    return ", ".join(f"{each.op_type} {each.count:,}" for each in model.operators[:_SHOWN_OPERATORS])
