"""How `inspect` tells of several models: their main figures side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxctl.render.document import Column, Document, Heading, Table
from onnxctl.render.units import format_bytes, format_count, format_quantity

if TYPE_CHECKING:
    from onnxctl.reports import InspectManyReport, ModelSummary

_SHOWN_OPERATORS = 3


def comparison_document(report: InspectManyReport) -> Document:
    """A row for each model."""
    columns = [
        Column(title="model", overflow="cut", code=True),
        Column(title="size", align="right"),
        Column(title="params", align="right"),
        Column(title="nodes", align="right"),
        Column(title="opset", align="right"),
    ]
    rows = [
        [
            model.path,
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
            row += ["", ""] if cost is None else [format_quantity(each, longest=2) for each in (cost.macs, cost.flops)]
    if any(model.memory is not None for model in report.models):
        columns.append(Column(title="peak memory", align="right"))
        for row, model in zip(rows, report.models, strict=True):
            row.append("" if model.memory is None else format_bytes(model.memory.peak_bytes))
    columns += [Column(title="weights", overflow="cut"), Column(title="operators", overflow="cut", style="dim")]
    for row, model in zip(rows, report.models, strict=True):
        row += [", ".join(each.dtype for each in model.parameters), _operators(model)]
    heading = Heading(f"{len(report.models)} models", level=1)
    return Document((heading, Table(tuple(columns), tuple(map(tuple, rows)))), more="more: --cost, --memory, --json")


def _opset(model: ModelSummary) -> str:
    versions = [version for domain, version in model.opset_imports if domain in ("", "ai.onnx")]
    return ", ".join(map(str, versions))


def _operators(model: ModelSummary) -> str:
    return ", ".join(f"{each.op_type} {each.count:,}" for each in model.operators[:_SHOWN_OPERATORS])
