"""A report laid out but not yet drawn: the small tree between the reports and the formats people read.

Strings in the tree are as they came, and may be hostile; every format escapes every string it draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from onnxctl.reports import Finding

Style = Literal["plain", "strong", "dim", "accent", "good", "warning", "bad"]


class Styled(NamedTuple):
    """Text with a meaning that a colour may underline."""

    text: str
    style: Style = "plain"


Cell = str | Styled


def text_of(cell: Cell) -> str:
    """What the cell says, whatever its style."""
    return cell.text if isinstance(cell, Styled) else cell


class Heading(NamedTuple):
    """The title of what follows; level 1 is the document's own."""

    text: str
    note: str = ""
    level: int = 2


class Facts(NamedTuple):
    """Labels and their values."""

    rows: tuple[tuple[str, Cell], ...]


class Column(NamedTuple):
    """A column of a table.

    overflow says what happens where the terminal is too narrow: "keep" the width, "cut" the middle out, or "wrap".
    code marks names and types, which Markdown sets as code. drawn marks bars and curves, which Markdown leaves out.
    optional columns are left out, the last first, where a terminal is too narrow for all.
    """

    title: str = ""
    align: Literal["left", "right"] = "left"
    overflow: Literal["keep", "cut", "wrap"] = "keep"
    style: Style = "plain"
    code: bool = False
    drawn: bool = False
    optional: bool = False


class Table(NamedTuple):
    """Rows under columns; text shows the titles only where they tell something the rows don't."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    titled: bool = True


class Histogram(NamedTuple):
    """Counted things, the most frequent first; text draws bars for the first `drawn` and lists the others."""

    title: str
    rows: tuple[tuple[str, int], ...]
    drawn: int = 6


class Paragraph(NamedTuple):
    """A sentence or two; `continues` says that it ends the table above, and that its beginning is enough of it."""

    text: str
    style: Style = "plain"
    continues: bool = False


class Findings(NamedTuple):
    """What is worth telling, each with its severity and hint."""

    findings: tuple[Finding, ...]


class Code(NamedTuple):
    """Text of many lines that keeps its line breaks."""

    text: str


Block = Heading | Facts | Table | Histogram | Paragraph | Findings | Code


class Document(NamedTuple):
    """What a report says, top to bottom; `more` tells somebody at a terminal what else could be asked."""

    blocks: tuple[Block, ...]
    more: str = ""
