"""A report laid out but not yet drawn: the small tree between the reports and the formats people read.

Strings in the tree are as they came, and may be hostile; every format escapes every string it draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from onnxctl.reports import Finding

Style = Literal["plain", "strong", "dim", "accent", "good", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Styled:
    """Text with a meaning that a colour may underline."""

    text: str
    style: Style = "plain"


Cell = str | Styled


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of what follows; level 1 is the document's own."""

    text: str
    note: str = ""
    level: int = 2


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels and their values."""

    rows: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
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


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; text shows the titles only where they tell something the rows don't."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    titled: bool = True


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counted things, the most frequent first; text draws bars for the first `drawn` and lists the others."""

    title: str
    rows: tuple[tuple[str, int], ...]
    drawn: int = 6


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence or two; `continues` says that it ends the table above, and that its beginning is enough of it."""

    text: str
    style: Style = "plain"
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """What is worth telling, each with its severity and hint."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Text of many lines that keeps its line breaks."""

    text: str


Block = Heading | Facts | Table | Histogram | Paragraph | Findings | Code


@dataclass(frozen=True, slots=True)
class Document:
    """What a report says, top to bottom; `more` tells somebody at a terminal what else could be asked."""

    blocks: tuple[Block, ...]
    more: str = ""
