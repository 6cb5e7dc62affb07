"""How `check` tells what is wrong: a verdict, what was looked at, and every problem with where it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from onnxctl.render.document import Block, Cell, Column, Document, Findings, Heading, Paragraph, Style, Styled, Table
from onnxctl.render.findings import finding_blocks
from onnxctl.render.units import count_of, format_duration
from onnxctl.reports import CheckedFile, CheckProblem, CheckReport, CheckStep, Finding

_STATUS: dict[str, Style] = {"passed": "good", "failed": "bad", "not checked": "warning"}


def check_document(report: CheckReport) -> Document:
    """The findings about one file, or a table of files and then those with problems."""
    if len(report.files) == 1:
        text = f"{'passed' if report.passed else 'failed'} in {format_duration(report.elapsed_ns)}"
        outcome = Paragraph(text, "good" if report.passed else "bad")
        return Document((*_file(report.files[0], level=1, steps=True), outcome))
    failed = sum(not each.passed for each in report.files)
    verdict = f"{failed} of {count_of(len(report.files), 'file')} failed" if failed else "all passed"
    blocks: list[Block] = [
        Heading(count_of(len(report.files), "file"), f"{verdict}; {format_duration(report.elapsed_ns)}", level=1),
        _overview(report.files),
    ]
    for each in report.files:
        if each.problems:
            blocks += _file(each, level=2, steps=False)
    return Document(tuple(blocks))


def _file(file: CheckedFile, *, level: int, steps: bool) -> list[Block]:
    blocks: list[Block] = [Heading(file.path, _counts(file), level=level)]
    if steps:
        blocks.append(_steps(file.steps))
    found = tuple(_as_findings(file.problems))
    return blocks + (finding_blocks(found) if steps else [Findings(found)])


def _counts(file: CheckedFile) -> str:
    if not file.error_count and not file.warning_count:
        return "no problems"
    return f"{count_of(file.error_count, 'error')}, {count_of(file.warning_count, 'warning')}"


def _overview(files: Sequence[CheckedFile]) -> Table:
    columns = (
        Column(),
        Column(title="file", overflow="cut", code=True),
        Column(title="errors", align="right"),
        Column(title="warnings", align="right"),
        Column(title="not checked", overflow="wrap", style="dim"),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            Styled("passed", "good") if each.passed else Styled("failed", "bad"),
            each.path,
            str(each.error_count),
            str(each.warning_count),
            "; ".join(f"{step.name}: {step.note}" for step in each.steps if step.status == "not checked"),
        )
        for each in files
    ]
    return Table(columns, tuple(rows))


def _steps(steps: Sequence[CheckStep]) -> Table:
    columns = (Column(), Column(), Column(overflow="wrap", style="dim"))
    rows: list[tuple[Cell, ...]] = [(each.name, Styled(each.status, _STATUS[each.status]), each.note) for each in steps]
    return Table(columns, tuple(rows), titled=False)


def _as_findings(problems: Sequence[CheckProblem]) -> Iterator[Finding]:
    """The problems as all commands show what they found: the field follows the place; what to do about several in a row
    is told once, below the last.
    """
    for problem, following in zip_longest(problems, problems[1:]):
        again = following is not None and (following.code, following.hint) == (problem.code, problem.hint)
        yield Finding(
            code=problem.code,
            severity=problem.severity,
            message=problem.message,
            hint="" if again else problem.hint,
            where=" ".join(filter(None, (problem.where, problem.field and f"({problem.field})"))),
        )
