"""How `optimize` tells what it did: before and after, who did it, and how it is known to be right."""

from __future__ import annotations

from collections.abc import Sequence

from onnxctl.render.document import Block, Cell, Column, Document, Findings, Heading, Paragraph, Style, Styled, Table
from onnxctl.render.units import (
    count_of,
    format_bytes,
    format_change,
    format_count,
    format_duration,
    format_number,
    operator_name,
)
from onnxctl.reports import ModelFigures, OptimizeReport, OutputComparison, Refusal, Verification

_MOST_OPERATORS = 10
_MOST_REFUSALS = 8
_VERDICTS: dict[str, Style] = {"equal": "good", "different": "bad", "not verified": "warning", "skipped": "warning"}


def optimization_document(report: OptimizeReport) -> Document:
    """The account of an optimization laid out."""
    blocks: list[Block] = [
        Heading(report.path, f"-> {report.output}" if report.output is not None else "nothing written", level=1),
        _before_and_after(report.before, report.after),
    ]
    operators = _changed_operators(report.before, report.after)
    if operators.rows:
        blocks += [Heading("Operators that changed"), operators]
    blocks += _passes(report)
    if report.refusals:
        blocks += [Heading("Left alone"), _refusals(report.refusals)]
    blocks += _verification(report.verification)
    if report.findings:
        blocks += [Heading("Findings"), Findings(report.findings)]
    blocks.append(Paragraph(_outcome(report)))
    return Document(tuple(blocks))


def pass_list(passes: Sequence[tuple[str, str]]) -> Document:
    """The passes there are, in their order, with what each does."""
    columns = (Column(title="pass", style="accent", code=True), Column(title="what it does", overflow="wrap"))
    return Document((Table(columns, tuple(passes)),))


def _before_and_after(before: ModelFigures, after: ModelFigures) -> Table:
    figures = (
        ("nodes", before.node_count, after.node_count, format_count),
        ("initializers", before.initializer_count, after.initializer_count, format_count),
        ("parameters", before.parameter_count, after.parameter_count, format_count),
        ("file size", before.file_bytes, after.file_bytes, format_bytes),
    )
    rows = tuple((label, show(old), show(new), _change(old, new)) for label, old, new, show in figures)
    columns = (
        Column(style="dim"),
        Column(title="before", align="right"),
        Column(title="after", align="right"),
        Column(title="change", align="right"),
    )
    return Table(columns, rows)


def _change(before: int, after: int) -> Styled:
    return Styled(format_change(before, after), "good" if after < before else "dim")


def _changed_operators(before: ModelFigures, after: ModelFigures) -> Table:
    old = {operator_name(each.domain, each.op_type): each.count for each in before.operators}
    new = {operator_name(each.domain, each.op_type): each.count for each in after.operators}
    changed = [(name, old.get(name, 0), new.get(name, 0)) for name in {**old, **new} if old.get(name) != new.get(name)]
    changed.sort(key=lambda row: (-abs(row[2] - row[1]), row[0]))
    rows: list[tuple[Cell, ...]] = [
        (name, f"{was:,}", f"{now:,}", f"{now - was:+,}") for name, was, now in changed[:_MOST_OPERATORS]
    ]
    if len(changed) > _MOST_OPERATORS:
        rows.append((Styled(f"… {len(changed) - _MOST_OPERATORS} more", "dim"), "", "", ""))
    columns = (
        Column(title="operator", overflow="cut", code=True),
        Column(title="before", align="right"),
        Column(title="after", align="right"),
        Column(title="change", align="right"),
    )
    return Table(columns, tuple(rows))


def _passes(report: OptimizeReport) -> list[Block]:
    active = [each for each in report.passes if each.rewrite_count]
    note = count_of(report.rounds, "round")
    idle = len(report.passes) - len(active)
    if not active:
        return [Heading("Passes", note), Paragraph(f"  none of {len(report.passes)} found anything to do", "dim")]
    rows: list[tuple[Cell, ...]] = [
        (each.name, format_count(each.rewrite_count), format_duration(each.elapsed_ns)) for each in active
    ]
    if idle:
        elapsed = sum(each.elapsed_ns for each in report.passes if not each.rewrite_count)
        rows.append((Styled(f"{idle} more", "dim"), Styled("0", "dim"), Styled(format_duration(elapsed), "dim")))
    columns = (
        Column(title="pass", code=True),
        Column(title="rewrites", align="right"),
        Column(title="time", align="right"),
    )
    return [Heading("Passes", note), Table(columns, tuple(rows))]


def _refusals(refusals: Sequence[Refusal]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (each.pass_name, format_count(each.count), each.reason, each.where)
        for each in sorted(refusals, key=lambda each: -each.count)[:_MOST_REFUSALS]
    ]
    if len(refusals) > _MOST_REFUSALS:
        rest = refusals[_MOST_REFUSALS:]
        rows.append((Styled(f"… {count_of(len(rest), 'more reason')}", "dim"), "", "", ""))
    columns = (
        Column(title="pass", code=True),
        Column(title="nodes", align="right"),
        Column(title="why", overflow="wrap"),
        Column(title="for example", overflow="cut", style="dim", code=True),
    )
    return Table(columns, tuple(rows))


# ---------------------------------------------------------------- verification


def _verification(verification: Verification) -> list[Block]:
    blocks: list[Block] = [Paragraph(_verdict(verification), _VERDICTS[verification.status])]
    unequal = [each for each in verification.outputs if not each.equal]
    if unequal:
        blocks.append(_differences(unequal))
    return blocks


def _verdict(verification: Verification) -> str:
    reason = f": {verification.reason}" if verification.reason else ""
    runs = f"{count_of(verification.run_count, 'run')} with seed {verification.seed}"
    outputs = verification.outputs
    if verification.status == "equal":
        return f"verified{reason or ':'} {runs}, {count_of(len(outputs), 'output')} {_closeness(outputs)}"
    if verification.status == "different":
        unequal = sum(not each.equal for each in outputs)
        return f"different{reason}: {unequal} of {count_of(len(outputs), 'output')} in {runs}"
    if verification.status == "skipped":
        return f"not verified{reason or ': nobody asked for it'}"
    return f"not verified{reason}"


def _closeness(outputs: Sequence[OutputComparison]) -> str:
    worst = max((each.max_absolute for each in outputs), default=0.0)
    tolerance = max((each.tolerance for each in outputs), default=0.0)
    if worst == 0:
        return "identical"
    return f"equal within {format_number(tolerance)} (largest difference {format_number(worst)})"


def _differences(outputs: Sequence[OutputComparison]) -> Table:
    columns = (
        Column(title="output", overflow="cut", code=True),
        Column(title="absolute", align="right"),
        Column(title="relative", align="right"),
        Column(title="tolerance", align="right"),
        Column(overflow="wrap"),
    )
    rows = tuple(
        (
            each.name,
            format_number(each.max_absolute),
            format_number(each.max_relative),
            format_number(each.tolerance),
            each.message,
        )
        for each in outputs
    )
    return Table(columns, rows)


def _outcome(report: OptimizeReport) -> str:
    elapsed = format_duration(report.elapsed_ns)
    if not report.files_written:
        return f"nothing written; {elapsed}"
    return f"wrote {', '.join(report.files_written)} in {elapsed}"
