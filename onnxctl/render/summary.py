"""How `inspect` tells what is in a model: the first screen, and the long lists on demand."""

from __future__ import annotations

import dataclasses
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
from onnxctl.render.findings import finding_blocks
from onnxctl.render.units import count_of, format_bytes, format_count, operator_name

if TYPE_CHECKING:
    from onnxctl.reports import DtypeParameters, FileInfo, Finding, FunctionInfo, LearnedNode, ModelSummary, TensorSpec

_LINES = 23
"""What a terminal of 24 lines shows above the prompt, the command itself scrolled away."""

_WIDTH = 80
_ALIKE = 4
"""So many neighbouring inputs or outputs of one type are shown in one row."""

_MOST_SPECS, _MOST_FILES, _MOST_FUNCTIONS, _MOST_FINDINGS, _MOST_LEARNED = 4, 3, 3, 3, 3
"""Rows of the first screen: inputs, outputs, files, functions, findings, nodes that learned."""

_FEWEST_BARS, _MOST_BARS = 2, 8
_LONGEST_VALUE = 60
_LONGEST_SENTENCE = 64
"""Characters of a fact: one line of a small terminal."""
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
    """What matters first in _LINES lines of _WIDTH cells: operators and metadata get what the rest leaves."""
    above: list[Block] = [Facts(_facts(report)), *_files(report.files)]
    if report.inputs or report.outputs:
        above.append(_interface(report.inputs, report.outputs))
    functions, findings = _functions(report.functions), _first_findings(report.findings)
    room = _LINES - 4 - _line_count([*above, *functions, *findings])
    operators = tuple((operator_name(each.domain, each.op_type), each.count) for each in report.operators)
    fewest = 4 + min(_FEWEST_BARS, len(operators)) if operators else 0
    learned = _learned(report.learned, room - 6)  # what one bar leaves
    room -= _line_count(learned)
    metadata = _metadata(report.metadata, room - fewest - 2)
    bars = min(max(room - _line_count(metadata) - 4, 1), _MOST_BARS)
    drawn: list[Block] = []
    if operators:
        drawn = [Heading("Operators", _node_note(report)), Histogram("operator", operators, bars)]
    return [*above, *learned, *drawn, *functions, *metadata, *findings]


def _line_count(blocks: Sequence[Block]) -> int:
    """Lines that the blocks take in a terminal of _WIDTH cells, with the empty ones before them."""
    lines = 0
    for before, block in zip((None, *blocks), blocks, strict=False):
        lines += not isinstance(before, Heading) and not (isinstance(block, Paragraph) and block.continues)
        match block:
            case Facts():
                lines += len(block.rows)
            case Table():
                lines += len(block.rows) + block.titled
            case Findings():
                lines += sum(-(-_finding_length(each) // (_WIDTH - 16)) for each in block.findings)
            case _:
                lines += 1
    return lines


def _finding_length(finding: Finding) -> int:
    return sum(map(len, (finding.where, finding.message, finding.code))) + 8


def _first_findings(findings: Sequence[Finding]) -> list[Block]:
    """The worst, without what to do: `--findings` tells that, and looks for more."""
    if not findings:
        return []
    severities = ("error", "warning", "info")
    worst = sorted(findings, key=lambda each: severities.index(each.severity))[:_MOST_FINDINGS]
    note = f"{len(worst)} of {len(findings)}; " if len(worst) < len(findings) else ""
    shown = tuple(dataclasses.replace(each, where=_shortened(each.where, 40), hint="") for each in worst)
    return [Heading("Findings", f"{note}--findings tells what to do, and looks closer"), Findings(shown)]


def _metadata(entries: Sequence[tuple[str, str]], most: int) -> list[Block]:
    if not entries:
        return []
    shown = entries if len(entries) == 1 else entries[: max(most, 0)]
    note = "" if len(shown) == len(entries) else count_of(len(entries), "entry", "entries")
    if not shown:
        return [Heading("Metadata", note)]
    rows = tuple((_shortened(key, 24), _shortened(value, _LONGEST_VALUE - 12)) for key, value in shown)
    return [Heading("Metadata", f"{len(shown)} of {note}" if note else ""), Facts(rows)]


def _sections(report: ModelSummary) -> list[Block]:
    """What was asked for beyond the first screen; each module is loaded where it is needed."""
    blocks: list[Block] = []
    if report.cost is not None or report.memory is not None or report.sweep is not None:
        from onnxctl.render.cost import cost_blocks, memory_blocks, sweep_blocks

        if report.cost is not None:
            blocks += cost_blocks(report.cost, report.parameter_count, len(report.operators))
        if report.memory is not None and (report.memory.peak_bytes is not None or report.sweep is None):
            blocks += memory_blocks(report.memory)
        if report.sweep is not None:
            blocks += sweep_blocks(report.sweep)
    if any(each is not None for each in (report.nodes, report.weights, report.tree, report.node)):
        from onnxctl.render.details import node_blocks, node_detail_blocks, weight_blocks
        from onnxctl.render.tree import tree_blocks

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
        blocks += finding_blocks(report.findings) or [Heading("Findings", "none")]
    if blocks and report.text is not None:
        blocks += [Heading("Text"), Code(report.text)]
    return blocks


def _learned(nodes: Sequence[LearnedNode], room: int) -> list[Block]:
    """What nodes hold in their attributes, the largest first, in so many rows if there is room for any."""
    most = min(_MOST_LEARNED, room)
    if not nodes or most < 1:
        return []
    named = any(each.name != each.op_type for each in nodes)
    columns = (Column(code=True), *((Column(overflow="cut", code=True),) if named else ()), Column(overflow="cut"))
    largest_first = sorted(nodes, key=lambda each: -each.number_count - each.string_count)
    shown = largest_first[:most]
    rows = [(each.op_type, each.name, _contents_of(each)) for each in shown]
    cells = tuple(row if named else (row[0], row[2]) for row in rows)
    note = f"{len(shown)} of {len(nodes)} nodes; " if len(shown) < len(nodes) else ""
    return [Heading("Learned", f"{note}held in attributes"), Table(columns, cells, titled=False)]


def _contents_of(node: LearnedNode) -> str:
    if not node.tree_count:
        return _amounts(node.number_count, node.string_count)
    trees = count_of(node.tree_count, "tree")
    return f"{trees}, {count_of(node.inner_node_count, 'decision')}, {count_of(node.leaf_count, 'leaf', 'leaves')}"


def _total_of(nodes: Sequence[LearnedNode]) -> str:
    return _amounts(sum(each.number_count for each in nodes), sum(each.string_count for each in nodes))


def _amounts(numbers: int, strings: int) -> str:
    words = [count_of(numbers, "number")] if numbers else []
    return ", ".join([*words, count_of(strings, "string")] if strings else words)


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
    """A row for each; those with defaults together, and long runs of alike ones."""
    fed = [spec for spec in specs if not spec.has_default]
    rows: list[tuple[Cell, ...]] = []
    for kind, group in groupby(fed, key=lambda spec: spec.type):
        names = [spec.name for spec in group]
        if len(names) < _ALIKE:
            rows += [(role, name, kind, "") for name in names]
        else:
            rows.append((role, f"{names[0]} … {names[-1]}", kind, f"{len(names)} alike"))
    defaults = [spec for spec in specs if spec.has_default]
    if len(defaults) == 1:
        rows.append((role, defaults[0].name, defaults[0].type, "has a default"))
    most = _MOST_SPECS - (len(defaults) > 1)
    if len(rows) > most:
        rows[most - 1 :] = [("", Styled(f"… {len(rows) - most + 1} more", "dim"), "", "")]
    if len(defaults) > 1:
        rows.append((role, Styled(f"… {len(defaults)} initializers", "dim"), "", "have defaults"))
    return rows


def _facts(report: ModelSummary) -> tuple[tuple[str, Cell], ...]:
    opsets = ", ".join(f"{domain} {version}".strip() for domain, version in _opsets(report))
    producer = " ".join(filter(None, (report.producer_name, report.producer_version)))
    version = f"version {report.model_version}" if report.model_version else ""
    graph = ", ".join(filter(None, (report.graph_name, report.domain, version)))
    facts = [
        ("format", f"IR {report.ir_version}, opset {opsets or 'not stated'}"),
        ("producer", _shortened(producer, _LONGEST_SENTENCE)),
        ("graph", _shortened(graph, _LONGEST_SENTENCE)),
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
    troubled_first = sorted(files, key=lambda each: (each.role != "model", not each.problem))
    shown = troubled_first if len(files) <= _MOST_FILES else troubled_first[: _MOST_FILES - 1]
    rows = [(each.role, each.path, format_bytes(each.file_bytes), each.problem) for each in shown]
    if others := troubled_first[len(shown) :]:
        size = sum(each.file_bytes or 0 for each in others)
        rows.append(("data", f"… {len(others)} more", format_bytes(size), ""))
    return [Heading("Files"), Table(columns, tuple(rows), titled=False)]


def _parameter_note(report: ModelSummary) -> str:
    if not report.parameters:
        return f"none in tensors; {_total_of(report.learned)} in attributes" if report.learned else "none"
    note = f"{format_count(report.parameter_count)} in {format_bytes(report.parameter_bytes)}"
    tensors = count_of(sum(each.tensor_count for each in report.parameters), "tensor")
    if len(report.parameters) == 1:
        return f"{note}, all {report.parameters[0].dtype}, {tensors}"
    largest_first = sorted(report.parameters, key=lambda each: -each.byte_count)
    for count in range(len(largest_first), 0, -1):
        listed = ", ".join(map(_dtype_note, largest_first[:count]))
        whole = f"{note}: {listed}{', …' if count < len(largest_first) else ''}; {tensors}"
        if len(whole) <= _LONGEST_SENTENCE:
            break
    return whole


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
        for each in functions[:_MOST_FUNCTIONS]
    )
    note = f"{len(rows)} of {len(functions)}; --tree shows all" if len(rows) < len(functions) else ""
    return [Heading("Functions", note), Table(columns, rows)]
