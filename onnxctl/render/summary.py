"""How `inspect` tells what is in a model: the first screen, and the long lists on demand."""

from __future__ import annotations

from collections import Counter
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
from onnxctl.render.units import count_of, format_bytes, format_count, operator_name

if TYPE_CHECKING:
    from onnxctl.reports import DtypeParameters, FileInfo, Finding, FunctionInfo, ModelSummary, TensorSpec

_ALIKE = 4
"""So many neighbouring inputs or outputs of one type are shown as the first, a count, and the last."""

_LONGEST_VALUE = 140
_LONGEST_SENTENCE = 64
"""Characters of the model's own description: one line of a small terminal."""
_MORE = "more: --cost --memory --weights --precision --findings --nodes --tree --text"


def summary_document(report: ModelSummary) -> Document:
    """The first screen, or in its place what was asked for."""
    if report.text is not None and not _sections(report):
        return Document((Code(report.text),))
    title = Heading(report.path, format_bytes(report.total_bytes), level=1)
    asked = _sections(report)
    if asked:
        return Document((title, *asked))
    return Document((title, *_first_screen(report)), more=_MORE)


def _first_screen(report: ModelSummary) -> list[Block]:
    blocks: list[Block] = [Facts(_facts(report)), *_files(report.files)]
    if report.inputs or report.outputs:
        blocks.append(_interface(report.inputs, report.outputs))
    if report.operators:
        rows = tuple((operator_name(each.domain, each.op_type), each.count) for each in report.operators)
        blocks += [Heading("Operators", _node_note(report)), Histogram("operator", rows)]
    blocks += _functions(report.functions)
    if report.metadata:
        blocks += [Heading("Metadata"), Facts(tuple((key, _shortened(value)) for key, value in report.metadata))]
    if report.findings:
        blocks += [Heading("Findings"), Findings(report.findings)]
    return blocks


def _sections(report: ModelSummary) -> list[Block]:
    """What was asked for beyond the first screen; each module is loaded where it is needed."""
    blocks: list[Block] = []
    if report.cost is not None or report.memory is not None or report.sweep is not None:
        from onnxctl.render.cost import cost_blocks, memory_blocks, sweep_blocks

        if report.cost is not None:
            blocks += cost_blocks(report.cost, report.parameter_count, len(report.operators))
        if report.memory is not None:
            blocks += memory_blocks(report.memory)
        if report.sweep is not None:
            blocks += sweep_blocks(report.sweep)
    if any(each is not None for each in (report.nodes, report.weights, report.tree, report.node)):
        from onnxctl.render.details import node_blocks, node_detail_blocks, tree_blocks, weight_blocks

        if report.node is not None:
            blocks += node_detail_blocks(report.node)
        if report.tree is not None:
            blocks += tree_blocks(report.tree)
        if report.nodes is not None and report.cost is None:
            blocks += node_blocks(report.nodes, report.node_count)
        if report.weights is not None:
            blocks += weight_blocks(report.weights, sum(each.tensor_count for each in report.parameters))
    if report.precision is not None:
        from onnxctl.render.precision import precision_blocks

        blocks += precision_blocks(report.precision)
    if report.compatibility is not None:
        from onnxctl.render.compatibility import compatibility_blocks

        blocks += compatibility_blocks(report.compatibility)
    if report.looked_closer:
        blocks += _all_findings(report.findings)
    if blocks and report.text is not None:
        blocks += [Heading("Text"), Code(report.text)]
    return blocks


def _all_findings(findings: Sequence[Finding]) -> list[Block]:
    counts = Counter(each.severity for each in findings)
    note = ", ".join(f"{counts[severity]} {severity}" for severity in counts)
    if not findings:
        return [Heading("Findings", "none"), Paragraph("Nothing was found that is worth telling.")]
    return [Heading("Findings", f"{note}; onnxctl explain CODE tells more"), Findings(tuple(findings))]


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
        ("about", _shortened(report.doc_string, _LONGEST_SENTENCE)),
        ("parameters", _parameter_note(report)),
    ]
    return tuple((label, value) for label, value in facts if value)


def _opsets(report: ModelSummary) -> list[tuple[str, int]]:
    """The opset imports, the standard one first and without its name."""
    plain = [("" if domain == "ai.onnx" else domain, version) for domain, version in report.opset_imports]
    return sorted(set(plain))


def _shortened(text: str, longest: int = _LONGEST_VALUE) -> str:
    """The beginning of a text in one line."""
    return shorten(text, longest, placeholder=" …") if len(text) > longest or "\n" in text else text


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
    tensors = count_of(sum(each.tensor_count for each in report.parameters), "tensor")
    if len(report.parameters) == 1:
        return f"{note}, all {report.parameters[0].dtype}, {tensors}"
    largest_first = sorted(report.parameters, key=lambda each: -each.byte_count)
    return f"{note}: {', '.join(map(_dtype_note, largest_first))}; {tensors}"


def _dtype_note(each: DtypeParameters) -> str:
    return f"{format_count(each.element_count)} {each.dtype}"


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
