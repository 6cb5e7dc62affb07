"""How `optimize` tells what it did: before and after, who did it, and how it is known to be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from onnxctl.render.document import Block, Cell, Column, Document, Heading, Paragraph, Style, Styled, Table
from onnxctl.render.findings import finding_blocks
from onnxctl.render.units import (
    count_of,
    format_bytes,
    format_change,
    format_closeness,
    format_count,
    format_dims,
    format_duration,
    format_number,
    operator_name,
)

if TYPE_CHECKING:
    from onnxctl.reports import (
        ModelFigures,
        OptimizedFile,
        OptimizeManyReport,
        OptimizeReport,
        OutputComparison,
        Ratio,
        Refusal,
        SpeedComparison,
        Verification,
    )

_MOST_OPERATORS = 10
_MOST_REFUSALS = 8
_SPEEDS: dict[str, Style] = {"faster": "good", "slower": "bad"}
_VERDICTS: dict[str, Style] = {"equal": "good", "different": "bad", "not verified": "warning", "skipped": "warning"}


def optimization_document(report: OptimizeReport) -> Document:
    """The account of an optimization laid out."""
    blocks: list[Block] = [
        Heading(report.path, _destination(report), level=1),
        _before_and_after(report.before, report.after),
    ]
    operators = _changed_operators(report.before, report.after)
    if operators.rows:
        blocks += [Heading("Operators that changed"), operators]
    blocks += _passes(report)
    if report.refusals:
        blocks += [Heading("Left alone"), _refusals(report.refusals)]
    if report.speed is not None:
        blocks += [Heading("Speed", _how_measured(report.speed)), _speed(report.speed)]
    blocks += _verification(report.verification)
    blocks += finding_blocks(report.findings)
    blocks.append(Paragraph(_outcome(report)))
    return Document(tuple(blocks))


def _destination(report: OptimizeReport) -> str:
    where = "dry run" if report.status == "dry run" else "nothing written"
    if report.output is not None:
        where = f"-> {report.output}"
    return f"{where}, {format_dims(report.dims)}" if report.dims else where


def many_document(report: OptimizeManyReport) -> Document:
    """A row for each of many files, and under them why some failed or were not verified."""
    measured = any(each.speed is not None for each in report.files)
    rows: list[tuple[Cell, ...]] = [
        (
            each.path,
            _before_to_after(each.node_count_before, each.node_count_after, format_count),
            _before_to_after(each.file_bytes_before, each.file_bytes_after, format_bytes),
            Styled(each.status, "good" if each.exit_code == 0 else "bad"),
            Styled(each.verification, _VERDICTS.get(each.verification, "plain")),
            *([_speed_of(each.speed)] if measured else []),
        )
        for each in report.files
    ]
    columns = (
        Column(title="file", overflow="cut", code=True),
        Column(title="nodes", align="right"),
        Column(title="size", align="right"),
        Column(title="result"),
        Column(title="outputs"),
        *([Column(title="latency", align="right")] if measured else []),
    )
    failed = f", {report.failed_count:,} of them without a result" if report.failed_count else ""
    outcome = f"{count_of(len(report.files), 'file')}{failed} in {format_duration(report.elapsed_ns)}"
    blocks: list[Block] = [Table(columns, tuple(rows))]
    if any(each.reason for each in report.files):
        blocks += [Heading("Remarks"), _reasons(report.files)]
    return Document((*blocks, Paragraph(outcome, "bad" if failed else "plain")))


def _reasons(files: Sequence[OptimizedFile]) -> Table:
    """What is to be said of files, once for all of which it is the same."""
    paths: dict[str, list[str]] = {}
    for each in files:
        if each.reason:
            paths.setdefault(each.reason.removeprefix(f"{each.path}: "), []).append(each.path)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (first if not others else f"{first} and {len(others)} more", reason)
        for reason, (first, *others) in paths.items()
    )
    columns = (Column(title="file", overflow="cut", code=True), Column(title="reason", overflow="wrap"))
    return Table(columns, rows)


def _before_to_after(before: int | None, after: int | None, show: Callable[[int], str]) -> str:
    return "" if before is None or after is None else f"{show(before)} -> {show(after)}"


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
    """Why nodes were left alone: the most frequent reasons, or all with all their nodes where somebody asked."""
    explained = any(each.nodes for each in refusals)
    ordered = sorted(refusals, key=lambda each: -each.count)
    shown = ordered if explained else ordered[:_MOST_REFUSALS]
    columns = [
        Column(title="pass", code=True),
        Column(title="nodes", align="right"),
        Column(title="for example", overflow="cut", style="dim", code=True),
        Column(title="why", overflow="wrap"),
    ]
    rows: list[tuple[Cell, ...]] = [
        (each.pass_name, format_count(each.count), each.where, each.reason) for each in shown
    ]
    if explained:  # the longest column comes last
        columns[2:] = [columns[3], Column(title="which", overflow="wrap", style="dim")]
        rows = [(*row[:2], each.reason, ", ".join(each.nodes)) for row, each in zip(rows, shown, strict=True)]
    if len(shown) < len(ordered):
        more = f"… {count_of(len(ordered) - len(shown), 'more reason')}: --explain"
        rows.append((Styled(more, "dim"), "", "", ""))
    return Table(tuple(columns), tuple(rows))


# ---------------------------------------------------------------- speed


def _how_measured(speed: SpeedComparison) -> str:
    turns = f"{count_of(speed.before.sample_count, 'run')} of each in {count_of(speed.round_count, 'round')}"
    dims = format_dims(speed.dims)
    return f"{turns} on {speed.provider}" + (f", {dims}" if dims else "")


def _speed(speed: SpeedComparison) -> Table:
    ratio = speed.ratio
    style = _SPEEDS.get(ratio.verdict, "plain")
    interval = f"{_percent(ratio.low)} to {_percent(ratio.high)}"
    rows: tuple[tuple[Cell, ...], ...] = (
        ("before", format_duration(speed.before.median_ns), "", ""),
        ("after", format_duration(speed.after.median_ns), _percent(ratio.ratio), interval),
        ("verdict", Styled(ratio.verdict, style), "", ""),
    )
    columns = (
        Column(style="dim"),
        Column(title="median", align="right"),
        Column(title="change", align="right"),
        Column(title="with 95 % confidence"),
    )
    return Table(columns, rows)


def _speed_of(ratio: Ratio | None) -> Cell:
    """The change of the latency in a word: how much where there is one."""
    if ratio is None:
        return ""
    return Styled(_percent(ratio.ratio) if ratio.verdict in _SPEEDS else "same", _SPEEDS.get(ratio.verdict, "plain"))


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"


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
        weakness = f", {verification.reason}" if verification.reason else ""
        return f"verified: {runs}, {count_of(len(outputs), 'output')} {_closeness(outputs)}{weakness}"
    if verification.status == "different":
        unequal = sum(not each.equal for each in outputs)
        return f"different{reason}: {unequal} of {count_of(len(outputs), 'output')} in {runs}"
    if verification.status == "skipped":
        return f"not verified{reason or ': nobody asked for it'}"
    return f"not verified{reason}"


def _closeness(outputs: Sequence[OutputComparison]) -> str:
    worst = max((each.max_relative for each in outputs), default=0.0)
    return format_closeness(worst, max((each.tolerance for each in outputs), default=0.0))


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
    stages = ", ".join(f"{each.name} {format_duration(each.elapsed_ns)}" for each in report.stages)
    elapsed = format_duration(report.elapsed_ns) + (f" ({stages})" if stages else "")
    if report.files_written:
        return f"wrote {', '.join(report.files_written)} in {elapsed}"
    reasons = {
        "dry run": "dry run: ",
        "not verified": "nothing proves that the outputs are the same: ",
        "not faster": "it did not become faster: ",
    }
    return f"{reasons.get(report.status, '')}nothing written; {elapsed}"
