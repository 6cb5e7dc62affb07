"""How `inspect` tells what is in a model: the first screen, and the long lists on demand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from textwrap import shorten
from typing import TYPE_CHECKING

from onnxctl.render.document import (
    Block,
    Cell,
    Code,
    Column,
    Document,
    Facts,
    Findings,
    Heading,
    Histogram,
    Paragraph,
    Styled,
    Table,
)
from onnxctl.render.units import count_of, format_bytes, format_count

if TYPE_CHECKING:
    from onnxctl.reports import DtypeParameters, FileInfo, FunctionInfo, ModelSummary, NodeInfo, TensorSpec, WeightInfo

_ALIKE = 4
"""So many neighbouring inputs or outputs of one type are shown as the first, a count, and the last."""

_LONGEST_VALUE = 140


def summary_document(report: ModelSummary) -> Document:
    """The summary of a model laid out."""
    if report.text is not None and report.nodes is None and report.weights is None:
        return Document((Code(report.text),))
    blocks: list[Block] = [Heading(report.path, format_bytes(report.total_bytes), level=1), Facts(_facts(report))]
    blocks += _files(report.files)
    if report.inputs or report.outputs:
        blocks.append(_interface(report.inputs, report.outputs))
    if len(report.parameters) > 1:
        blocks += [Heading("Parameters", _parameter_note(report)), _parameters(report.parameters)]
    if report.operators:
        rows = tuple((operator_name(each.domain, each.op_type), each.count) for each in report.operators)
        blocks += [Heading("Operators", _node_note(report)), Histogram("operator", rows)]
    blocks += _functions(report.functions)
    if report.metadata:
        blocks += [Heading("Metadata"), Facts(tuple((key, _shortened(value)) for key, value in report.metadata))]
    if report.nodes is not None:
        blocks += [Heading("All nodes"), _nodes(report.nodes)]
    if report.weights is not None:
        blocks += [Heading("Stored tensors"), _weights(report.weights)]
    if report.text is not None:
        blocks += [Heading("Text"), Code(report.text)]
    if report.findings:
        blocks += [Heading("Findings"), Findings(report.findings)]
    asked = report.nodes is not None or report.weights is not None or report.text is not None
    return Document(tuple(blocks), more="" if asked else "more: --nodes, --weights, --text, --json; --dim NAME=SIZE")


def operator_name(domain: str, op_type: str) -> str:
    """An operator as ONNX's text syntax names it: the domain is left out where it is the standard one."""
    return op_type if domain in ("", "ai.onnx") else f"{domain}.{op_type}"


def _interface(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Table:
    columns = (
        Column(title="", style="dim"),
        Column(title="name", overflow="cut", code=True),
        Column(title="type", overflow="cut", code=True),
        Column(title="note", style="dim"),
    )
    rows = (*_interface_rows("input", inputs), *_interface_rows("output", outputs))
    return Table(columns, rows, titled=False)


def _interface_rows(role: str, specs: Sequence[TensorSpec]) -> list[tuple[Cell, ...]]:
    """A row for each, but long runs of alike ones shortened."""
    rows: list[tuple[Cell, ...]] = []
    for (kind, has_default), group in groupby(specs, key=lambda spec: (spec.type, spec.has_default)):
        alike: list[tuple[Cell, ...]] = [
            (role, spec.name, kind, "has a default" if has_default else "") for spec in group
        ]
        if len(alike) >= _ALIKE:
            alike[1:-1] = [("", Styled(f"… {len(alike) - 2} more", "dim"), "", "")]
        rows += alike
    return rows


def _facts(report: ModelSummary) -> tuple[tuple[str, Cell], ...]:
    opsets = ", ".join(f"{domain} {version}".strip() for domain, version in _opsets(report))
    producer = " ".join(filter(None, (report.producer_name, report.producer_version)))
    model = ", ".join(filter(None, (report.domain, f"version {report.model_version}" if report.model_version else "")))
    facts = [
        ("format", f"IR {report.ir_version}, opset {opsets or 'not stated'}"),
        ("producer", producer),
        ("model", model),
        ("graph", report.graph_name),
        ("about", _shortened(report.doc_string)),
        ("parameters", _parameter_note(report) if len(report.parameters) < 2 else ""),
    ]
    return tuple((label, value) for label, value in facts if value)


def _opsets(report: ModelSummary) -> list[tuple[str, int]]:
    """The opset imports, the standard one first and without its name."""
    plain = [("" if domain == "ai.onnx" else domain, version) for domain, version in report.opset_imports]
    return sorted(plain)


def _shortened(text: str) -> str:
    """The beginning of a text in one line."""
    return shorten(text, _LONGEST_VALUE, placeholder=" …") if len(text) > _LONGEST_VALUE or "\n" in text else text


def _files(files: Sequence[FileInfo]) -> list[Block]:
    if len(files) < 2 and not any(each.problem for each in files):
        return []
    columns = (
        Column(title="role"),
        Column(title="path", overflow="cut", code=True),
        Column(title="size", align="right"),
        Column(title="problem", overflow="wrap", style="bad"),
    )
    rows = tuple((each.role, each.path, format_bytes(each.file_bytes), each.problem) for each in files)
    return [Heading("Files"), Table(columns, rows, titled=False)]


def _parameter_note(report: ModelSummary) -> str:
    if not report.parameters:
        return "none"
    note = f"{format_count(report.parameter_count)} in {format_bytes(report.parameter_bytes)}"
    if len(report.parameters) == 1:
        only = report.parameters[0]
        note += f", all {only.dtype}, {count_of(only.tensor_count, 'tensor')}"
    return note


def _parameters(parameters: Sequence[DtypeParameters]) -> Table:
    rows = tuple(
        (
            each.dtype,
            format_count(each.element_count),
            format_bytes(each.byte_count),
            Styled(count_of(each.tensor_count, "tensor"), "dim"),
        )
        for each in parameters
    )
    columns = (
        Column(title="dtype"),
        Column(title="elements", align="right"),
        Column(title="size", align="right"),
        Column(title="tensors", align="right"),
    )
    return Table(columns, rows, titled=False)


def _node_note(report: ModelSummary) -> str:
    note = count_of(report.node_count, "node")
    if report.subgraph_count:
        note += f", {format_count(report.top_node_count)} of them in the top graph"
        note += f"; {count_of(report.subgraph_count, 'subgraph')}"
    return note


def _functions(functions: Sequence[FunctionInfo]) -> list[Block]:
    if not functions:
        return []
    columns = (
        Column(title="function", overflow="cut", code=True),
        Column(title="nodes", align="right"),
        Column(title="calls", align="right"),
    )
    rows = tuple(
        (
            operator_name(each.domain, each.name) + (f":{each.overload}" if each.overload else ""),
            format_count(each.node_count),
            format_count(each.call_count),
        )
        for each in functions
    )
    return [Heading("Functions"), Table(columns, rows)]


def _nodes(nodes: Sequence[NodeInfo]) -> Block:
    scoped = any(node.scope for node in nodes)
    columns = (
        *((Column(title="scope", overflow="cut", style="dim", code=True),) if scoped else ()),
        Column(title="operator", style="accent", code=True),
        Column(title="name", overflow="cut", code=True),
        Column(title="inputs", overflow="cut", code=True),
        Column(title="outputs", overflow="cut", code=True),
        Column(title="attributes", overflow="cut", style="dim", code=True),
    )
    rows = tuple(
        (
            *((node.scope,) if scoped else ()),
            operator_name(node.domain, node.op_type),
            node.name,
            ", ".join(node.inputs),
            ", ".join(node.outputs),
            ", ".join(f"{name}={value}" for name, value in node.attributes),
        )
        for node in nodes
    )
    return Table(columns, rows) if rows else Paragraph("none")


def _weights(weights: Sequence[WeightInfo]) -> Block:
    columns = (
        Column(title="name", overflow="cut", code=True),
        Column(title="type", overflow="cut", code=True),
        Column(title="elements", align="right"),
        Column(title="bytes", align="right"),
        Column(title="kind", style="dim"),
        Column(title="stored in", overflow="cut", style="dim"),
    )
    rows = tuple(
        (
            f"{weight.scope}/{weight.name}" if weight.scope else weight.name,
            f"{weight.dtype}[{', '.join(map(str, weight.shape))}]",
            format_count(weight.element_count),
            format_bytes(weight.byte_count),
            weight.source,
            weight.storage,
        )
        for weight in weights
    )
    return Table(columns, rows) if rows else Paragraph("none")
