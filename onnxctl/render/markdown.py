"""GitHub's Markdown: for pull requests, issues and job summaries."""

from __future__ import annotations

import re
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
    text_of,
)
from onnxctl.render.escape import escape, escape_lines
from onnxctl.render.screen import Screen
from onnxctl.render.views import document_of

if TYPE_CHECKING:
    from onnxctl.reports import Report

_SPECIAL = re.compile(r"([\\`*_\[\]|~#$!])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
_ENTITY_TABLE = str.maketrans(_ENTITIES)


def render(report: Report, screen: Screen) -> str:
    """The report as Markdown, ending in a line break; the same on every screen."""
    return render_document(document_of(report))


def render_document(document: Document) -> str:
    """The document as Markdown, ending in a line break."""
    return "\n\n".join(_draw(block) for block in document.blocks) + "\n"


def _draw(block: Block) -> str:
    match block:
        case Heading():
            note = f" ({_prose(block.note)})" if block.note else ""
            return f"{'#' * (block.level + 1)} {_prose(block.text)}{note}"
        case Facts():
            return "\n".join(f"- {_prose(label)}: {_prose(text_of(value))}" for label, value in block.rows)
        case Table():
            return _draw_table(block)
        case Histogram():
            rows = tuple((name, f"{count:,}") for name, count in block.rows)
            columns = (Column(title=block.title, code=True), Column(title="count", align="right"))
            return _draw_table(Table(columns, rows))
        case Paragraph():
            return _prose(block.text)
        case Findings():
            return "\n".join(
                f"- **{finding.severity}** {_prose(f'{finding.where}: ' if finding.where else '')}"
                f"{_prose(finding.message)}{'. ' + _prose(finding.hint) if finding.hint else ''}"
                f" ({_prose(finding.code)})"
                for finding in block.findings
            )
        case Code():
            text = escape_lines(block.text)
            fence = "`" * max(3, 1 + _longest_run(text))
            return f"{fence}\n{text.rstrip()}\n{fence}"


def _draw_table(table: Table) -> str:
    columns = [column for column in table.columns if not column.drawn]
    titles = [_prose(column.title) for column in columns]
    rules = ["---:" if column.align == "right" else "---" for column in columns]
    rows = [
        [
            _code(text_of(cell)) if column.code and not _is_aside(cell) else _prose(text_of(cell))
            for cell, column in zip(row, table.columns, strict=True)
            if not column.drawn
        ]
        for row in table.rows
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [titles, rules, *rows])


def _is_aside(cell: Cell) -> bool:
    """Whether it is our own word among names: "… 3 more", "(none)"."""
    return isinstance(cell, Styled) and cell.style == "dim"


def _prose(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", escape(text)).translate(_ENTITY_TABLE)


def _code(text: str) -> str:
    """The text as a code span; a pipe is escaped because GitHub splits cells before it looks for code."""
    text = escape(text).replace("|", "\\|")
    if not text.strip():
        return ""
    fence = "`" * (1 + _longest_run(text))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
