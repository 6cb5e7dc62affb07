"""Text for terminals and pipes: aligned columns, no frames, one row per line wherever the width is not limited.

In a terminal, cells are cut or wrapped to its width; in a pipe rows are as long as they need to be, so that grep works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells

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
    Style,
    Styled,
    Table,
    text_of,
)
from onnxctl.render.escape import cut_apart, cut_middle, escape, escape_lines
from onnxctl.render.screen import Screen
from onnxctl.render.views import document_of

if TYPE_CHECKING:
    from onnxctl.reports import Report

_CODES: dict[Style, str] = {"strong": "1", "dim": "2", "accent": "36", "good": "32", "warning": "33", "bad": "31"}
_SEVERITIES: dict[str, Style] = {"info": "dim", "warning": "warning", "error": "bad"}
_ASCII = {
    "…": "...",
    "·": "-",
    "µ": "u",
    "±": "+-",
    "→": "->",
    "█": "#",
    "≤": "<=",
    **dict(zip("▁▂▃▄▅▆▇", ".:-=+*%", strict=True)),
}
_ASCII_TABLE = str.maketrans(_ASCII)
_GAP = 2
_INDENT = 2
_NARROWEST = 10
_READABLE = 16
"""Cells that a column which may be cut should have, as long as columns can be left out instead."""
_LONGEST_BAR = 24
_MOST_LISTED_LINES = 2
_WIDEST_PADDING = 80


def render(report: Report, screen: Screen) -> str:
    """The report as text, ending in a line break."""
    return render_document(document_of(report), screen)


def render_document(document: Document, screen: Screen) -> str:
    """The document as text, ending in a line break."""
    lines: list[str] = []
    joined = False
    for block in document.blocks:
        joined = joined or (isinstance(block, Paragraph) and block.continues)
        if lines and not (joined and not isinstance(block, Heading)):
            lines.append("")
        lines += _draw(block, screen)
        joined = isinstance(block, Heading) and block.level > 1
    if document.more and screen.width is not None:
        lines += ["", *_draw(Paragraph(document.more, "dim"), screen)]
    return "\n".join(lines) + "\n"


def _draw(block: Block, screen: Screen) -> list[str]:
    match block:
        case Heading():
            return [_draw_heading(block, screen)]
        case Facts():
            columns = (Column(style="dim"), Column(overflow="wrap"))
            return _draw_table(Table(columns, block.rows, titled=False), screen)
        case Table():
            return _draw_table(block, screen)
        case Histogram():
            return _draw_histogram(block, screen)
        case Paragraph() if block.continues:
            return _draw_rest(block.text, screen)
        case Paragraph():
            lines = _wrap(_plain(block.text, screen), screen.width)
            return [_paint(line, block.style, screen) for line in lines]
        case Findings():
            return _draw_findings(block, screen)
        case Code():
            return [_encodable(line, screen) for line in escape_lines(block.text).rstrip("\n").split("\n")]


def _draw_heading(heading: Heading, screen: Screen) -> str:
    text, note = _plain(heading.text, screen), _plain(heading.note, screen)
    if screen.width is not None:
        note = cut_middle(note, max(screen.width // 2, screen.width - cell_len(text) - _GAP), _ellipsis(screen))
        text = cut_middle(text, screen.width - cell_len(note) - _GAP, _ellipsis(screen))
    text = _paint(text, "strong" if heading.level == 1 else "accent", screen)
    return f"{text}  {_paint(note, 'dim', screen)}" if note else text


def _draw_table(table: Table, screen: Screen) -> list[str]:
    columns = table.columns
    titles = tuple(Styled(column.title, "dim") for column in columns)
    rows = [titles, *table.rows] if table.titled else list(table.rows)
    texts = [[_plain(text_of(cell), screen) for cell in row] for row in rows]
    if not texts:
        return []
    widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
    if screen.width is not None:
        kept = _columns_with_room(widths, columns, screen.width - _INDENT)
        columns = tuple(columns[index] for index in kept)
        widths = [widths[index] for index in kept]
        rows = [tuple(row[index] for index in kept) for row in rows]
        texts = [[row[index] for index in kept] for row in texts]
    if screen.width is None:
        widths = [min(width, _WIDEST_PADDING) for width in widths]
    else:
        widths = _fit(widths, columns, screen.width - _INDENT - _GAP * (len(columns) - 1))
        texts = _cut_columns(texts, columns, widths, _ellipsis(screen))
    lines: list[str] = []
    for row, row_texts in zip(rows, texts, strict=True):
        styles = [
            cell.style if isinstance(cell, Styled) else column.style for cell, column in zip(row, columns, strict=True)
        ]
        lines += _draw_row(row_texts, styles, widths, columns, screen)
    return lines


def _cut_columns(
    texts: list[list[str]], columns: Sequence[Column], widths: Sequence[int], ellipsis: str
) -> list[list[str]]:
    """The cells cut to the width of their column, those that wrap aside."""
    by_column = [
        list(cells) if column.overflow == "wrap" else cut_apart(cells, width, ellipsis)
        for cells, column, width in zip(zip(*texts, strict=True), columns, widths, strict=True)
    ]
    return [list(row) for row in zip(*by_column, strict=True)]


def _columns_with_room(widths: Sequence[int], columns: Sequence[Column], room: int) -> list[int]:
    """Which columns are shown: all but the last optional ones that there is no room for."""
    kept = list(range(len(columns)))
    least = [
        width if each.overflow == "keep" else min(width, _READABLE) for width, each in zip(widths, columns, strict=True)
    ]
    for index in reversed(range(len(columns))):
        if columns[index].optional and sum(least[each] + _GAP for each in kept) - _GAP > room:
            kept.remove(index)
    return kept


def _fit(widths: list[int], columns: Sequence[Column], room: int) -> list[int]:
    """The widths made to fit: the widest flexible columns first, those that would be kept where that is not enough."""
    flexible = [index for index, column in enumerate(columns) if column.overflow != "keep"]
    return _narrow(_narrow(widths, flexible, room), range(len(widths)), room)


def _narrow(widths: list[int], which: Sequence[int], room: int) -> list[int]:
    """The widths with the widest of `which` cut down to one common limit, so that their sum is at most the room."""
    others = sum(width for index, width in enumerate(widths) if index not in which)
    limit = max((widths[index] for index in which), default=0)
    while limit > _NARROWEST and others + sum(min(widths[index], limit) for index in which) > room:
        limit -= 1
    return [min(width, limit) if index in which else width for index, width in enumerate(widths)]


def _draw_row(
    texts: Sequence[str], styles: Sequence[Style], widths: Sequence[int], columns: Sequence[Column], screen: Screen
) -> list[str]:
    cells = [[text] for text in texts]
    if screen.width is not None:
        cells = [
            _wrap(text, width) if column.overflow == "wrap" else [text]
            for text, width, column in zip(texts, widths, columns, strict=True)
        ]
    lines: list[str] = []
    for index in range(max(map(len, cells))):
        line = " " * _INDENT
        for parts, style, width, column in zip(cells, styles, widths, columns, strict=True):
            part = parts[index] if index < len(parts) else ""
            blank = " " * (width - cell_len(part))
            painted = _paint(part, style, screen)
            line += (blank + painted if column.align == "right" else painted + blank) + " " * _GAP
        lines.append(line.rstrip())
    return lines


def _draw_histogram(histogram: Histogram, screen: Screen) -> list[str]:
    drawn, listed = histogram.rows[: histogram.drawn], histogram.rows[histogram.drawn :]
    if len(listed) <= _MOST_LISTED_LINES:
        drawn, listed = histogram.rows, ()
    most = max((count for _, count in drawn), default=1)
    rows = tuple(
        (name, f"{count:,}", Styled("█" * max(count > 0, round(count / most * _LONGEST_BAR)), "accent"))
        for name, count in drawn
    )
    lines = _draw_table(Table((Column(overflow="cut"), Column(align="right"), Column()), rows, titled=False), screen)
    if listed:
        others = ", ".join(f"{name} {count:,}" for name, count in listed)
        lines += _draw_rest(f"and {others}", screen)
    return lines


def _draw_rest(text: str, screen: Screen) -> list[str]:
    """What a table leaves out, in a line or two; in a terminal the rest of a long list is left out as well."""
    lines = [_plain(text, screen)] if screen.width is None else _wrap(_plain(text, screen), screen.width - _INDENT)
    if len(lines) > _MOST_LISTED_LINES:
        lines = lines[:_MOST_LISTED_LINES]
        lines[-1] = lines[-1].rpartition(", ")[0] + f", {_ellipsis(screen)}"
    return [" " * _INDENT + _paint(line, "dim", screen) for line in lines]


def _draw_findings(block: Findings, screen: Screen) -> list[str]:
    rows: list[tuple[Cell, ...]] = []
    for finding in block.findings:
        where = f"{finding.where}: " if finding.where else ""
        message = f"{where}{finding.message}  [{finding.code}]"
        rows.append((Styled(finding.severity, _SEVERITIES[finding.severity]), message))
        if finding.hint:
            rows.append(("", Styled(finding.hint, "dim")))
    return _draw_table(Table((Column(), Column(overflow="wrap")), tuple(rows), titled=False), screen)


def _plain(text: str, screen: Screen) -> str:
    return _encodable(escape(text), screen)


def _encodable(text: str, screen: Screen) -> str:
    if screen.unicode or text.isascii():
        return text
    return text.translate(_ASCII_TABLE).encode("ascii", "backslashreplace").decode()


def _ellipsis(screen: Screen) -> str:
    return _encodable("…", screen)


def _wrap(text: str, width: int | None) -> list[str]:
    if width is None or cell_len(text) <= width:
        return [text]
    lines = [""]
    for word in text.split(" "):
        for part in chop_cells(word, max(width, _NARROWEST)):
            longer = f"{lines[-1]} {part}" if lines[-1] else part
            if cell_len(longer) <= max(width, _NARROWEST):
                lines[-1] = longer
            else:
                lines.append(part)
    return lines


def _paint(text: str, style: Style, screen: Screen) -> str:
    if not screen.colour or style == "plain" or not text:
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"
