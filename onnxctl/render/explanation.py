"""How `explain` tells what codes mean: one in full, or all in a table."""

from __future__ import annotations

from onnxctl.render.document import Code, Column, Document, Facts, Heading, Paragraph, Style, Styled, Table
from onnxctl.reports import ExplainReport, Explanation

STYLES: dict[str, Style] = {"error": "bad", "warning": "warning", "info": "dim"}


def explanation_document(report: ExplainReport) -> Document:
    """The codes laid out."""
    if len(report.codes) == 1:
        return _one(report.codes[0])
    columns = (Column(title="code", code=True), Column(title="severity"), Column(title="what it is", overflow="wrap"))
    rows = tuple((each.code, Styled(each.severity, STYLES[each.severity]), each.title) for each in report.codes)
    return Document(
        (Heading("Findings", f"{len(rows)} codes", level=1), Table(columns, rows)), more="more: onnxctl explain CODE"
    )


def _one(entry: Explanation) -> Document:
    return Document(
        (
            Heading(entry.code, entry.severity, level=1),
            Facts((("what", entry.title), ("do", entry.remedy))),
            Paragraph(entry.explanation),
            Heading("Example"),
            Code(entry.example),
        )
    )
