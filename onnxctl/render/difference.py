"""How `diff` tells what differs: the verdict and counts first, then each change, the lists cut short unless in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from onnxctl.render.document import Block, Cell, Column, Document, Facts, Heading, Paragraph, Style, Styled, Table
from onnxctl.render.units import (
    count_of,
    format_bytes,
    format_count,
    format_duration,
    format_number,
    format_share,
    operator_name,
)
from onnxctl.reports import (
    DiffCounts,
    DiffReport,
    InterfaceChange,
    NodeChange,
    OutputDifference,
    OutputsComparison,
    TextChange,
    WeightChange,
)

_SHOWN = 10
_VERDICTS: dict[str, Style] = {"same": "good", "different": "bad", "not compared": "warning"}
_STATUS: dict[str, Style] = {
    "added": "good",
    "removed": "bad",
    "changed": "warning",
    "replaced": "warning",
    "not compared": "warning",
}
_NODE_STATUSES: tuple[Literal["changed", "replaced", "added", "removed"], ...] = (
    "changed",
    "replaced",
    "added",
    "removed",
)
_OUTCOMES: dict[str, Style] = {"equal": "good", "different": "bad", "not verified": "warning"}


def difference_document(report: DiffReport) -> Document:
    """The account of a comparison laid out."""
    blocks: list[Block] = [
        Heading(f"{report.before} -> {report.after}", report.verdict, level=1),
        Facts(_facts(report.counts)),
    ]
    if report.header:
        blocks += [Heading("Header"), _header(report.header)]
    if report.interface:
        blocks += [Heading("Inputs and outputs"), _interface(report.interface)]
    if report.nodes:
        blocks += [Heading("Nodes", _node_note(report.nodes)), *_nodes(report.nodes, report.full)]
    if report.weights:
        blocks += [Heading("Weights", _weight_note(report.weights)), weight_table(report.weights, full=report.full)]
    if report.outputs is not None:
        blocks += _outputs(report.outputs)
    blocks.append(Paragraph(_outcome(report), _VERDICTS[report.verdict]))
    return Document(tuple(blocks), more="" if report.full else "more: --full, --run, --json")


def _facts(counts: DiffCounts) -> tuple[tuple[str, Cell], ...]:
    nodes = f"{format_count(counts.nodes_before)} -> {format_count(counts.nodes_after)}"
    weights = f"{format_count(counts.weights_before)} -> {format_count(counts.weights_after)}"
    renamed = [
        count_of(count, noun)
        for count, noun in (
            (counts.renamed_nodes, "node"),
            (counts.renamed_values, "value"),
            (counts.renamed_weights, "weight"),
        )
        if count
    ]
    facts: list[tuple[str, Cell]] = [
        ("nodes", f"{nodes}, {format_count(counts.matched_nodes)} matched"),
        ("weights", f"{weights}, {format_count(counts.equal_weights)} equal{_how(counts)}"),
        ("renamed", f"{', '.join(renamed)} (no difference)" if renamed else ""),
        (
            "stored otherwise",
            f"{count_of(counts.stored_otherwise, 'weight')}, as initializer or Constant node (no difference)"
            if counts.stored_otherwise
            else "",
        ),
    ]
    return tuple(fact for fact in facts if fact[1])


def _how(counts: DiffCounts) -> str:
    parts = [
        f"{format_count(count)} {how}"
        for count, how in (
            (counts.same_place_weights, "the same bytes of one file"),
            (counts.whole_weights, "byte by byte"),
            (counts.sampled_weights, "by samples"),
        )
        if count
    ]
    read = f"; {format_bytes(counts.compared_bytes)} compared" if counts.compared_bytes else ""
    return f" ({', '.join(parts)}{read})" if parts else ""


def _header(changes: Sequence[TextChange]) -> Table:
    columns = (
        Column(title="field", style="dim"),
        Column(title="before", overflow="wrap"),
        Column(title="after", overflow="wrap"),
    )
    return Table(columns, tuple((each.field, _or_none(each.before), _or_none(each.after)) for each in changes))


def _or_none(text: str | None) -> Cell:
    return Styled("(none)", "dim") if text is None else text


def _interface(changes: Sequence[InterfaceChange]) -> Table:
    columns = (
        Column(style="dim"),
        Column(title="before", overflow="cut", code=True),
        Column(title="after", overflow="cut", code=True),
        Column(title="note", overflow="wrap", style="dim"),
    )
    rows: list[tuple[Cell, ...]] = [
        (each.role, _value(each.before, each.before_type), _value(each.after, each.after_type), each.note)
        for each in changes
    ]
    return Table(columns, tuple(rows))


def _value(name: str | None, kind: str | None) -> str:
    return "" if name is None else name if kind is None else f"{name}: {kind}"


# ---------------------------------------------------------------- nodes


def _node_note(changes: Sequence[NodeChange]) -> str:
    counts = Counter(each.status for each in changes)
    return ", ".join(f"{counts[status]:,} {status}" for status in _NODE_STATUSES if counts[status])


def _nodes(changes: Sequence[NodeChange], full: bool) -> list[Block]:
    if full or len(changes) <= _SHOWN:
        return [node_table(changes)]
    counts: dict[str, Counter[str]] = {}
    for each in changes:
        counts.setdefault(operator_name(each.domain, each.op_type), Counter())[each.status] += 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1].total(), item[0]))
    rows: list[tuple[Cell, ...]] = [
        (name, *(f"{found[status]:,}" if found[status] else "" for status in _NODE_STATUSES))
        for name, found in ranked[:_SHOWN]
    ]
    if len(ranked) > _SHOWN:
        rows.append((Styled(f"… {len(ranked) - _SHOWN} more operators", "dim"), "", "", "", ""))
    columns = (
        Column(title="operator", overflow="cut", code=True),
        *(Column(title=status, align="right") for status in _NODE_STATUSES),
    )
    first = [each for each in changes if each.status in ("changed", "replaced")][:_SHOWN]
    blocks: list[Block] = [Table(columns, tuple(rows))]
    return [*blocks, Heading("First changes", level=3), node_table(first)] if first else blocks


def node_table(changes: Sequence[NodeChange]) -> Table:
    """Nodes that differ, and in what."""
    columns = (
        Column(),
        Column(title="operator", style="accent", code=True),
        Column(title="node", overflow="cut", code=True),
        Column(title="what", overflow="wrap"),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            Styled(each.status, _STATUS[each.status]),
            operator_name(each.domain, each.op_type),
            each.before or each.after or "",
            "; ".join((*each.details, *_renaming(each))),
        )
        for each in changes
    ]
    return Table(columns, tuple(rows), titled=False)


def _renaming(change: NodeChange) -> tuple[str, ...]:
    renamed = change.before is not None and change.after is not None and change.before != change.after
    return (f"now named {change.after}",) if renamed else ()


# ---------------------------------------------------------------- weights


def _weight_note(changes: Sequence[WeightChange]) -> str:
    counts = Counter(each.status for each in changes)
    return ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))


def weight_table(changes: Sequence[WeightChange], *, full: bool) -> Table:
    """Weights of two models, and how far their values are apart."""
    ranked = sorted(changes, key=lambda each: (each.status != "changed", -(each.element_count or 0)))
    shown = ranked if full else ranked[:_SHOWN]
    columns = (
        Column(),
        Column(title="weight", overflow="cut", code=True),
        Column(title="type", overflow="cut", code=True),
        Column(title="changed", align="right"),
        Column(title="absolute", align="right"),
        Column(title="relative", align="right"),
        Column(title="cosine", align="right"),
        Column(title="note", overflow="wrap", style="dim"),
    )
    rows: list[tuple[Cell, ...]] = [_weight_row(each) for each in shown]
    if len(ranked) > len(shown):
        rows.append((Styled(f"… {len(ranked) - len(shown)} more", "dim"), *[""] * 7))
    return Table(columns, tuple(rows))


def _weight_row(change: WeightChange) -> tuple[Cell, ...]:
    name = change.after if change.before is None else change.before
    kinds = [kind for kind in (change.before_type, change.after_type) if kind is not None]
    share = ""
    if change.changed_count is not None and change.element_count:
        share = format_share(change.changed_count / change.element_count)
        if 0 < change.changed_count < change.element_count / 200:
            share = f"{change.changed_count:,} of {change.element_count:,}"
    return (
        Styled(change.status, _STATUS[change.status]),
        name or "",
        " -> ".join(dict.fromkeys(kinds)),
        share,
        format_number(change.max_absolute),
        format_number(change.max_relative),
        _cosine(change.cosine),
        change.message,
    )


_ROUNDING = 1e-12
"""So far from 1 is the cosine of equal values by its own arithmetic."""


def _cosine(value: float | None) -> str:
    """Near 1 the distance from it tells more than any number of nines."""
    if value is None:
        return ""
    return f"1 - {1 - value:.1e}" if _ROUNDING < 1 - value < 0.001 else f"{value:.4g}"


# ---------------------------------------------------------------- outputs


def _outputs(outputs: OutputsComparison) -> list[Block]:
    runs = f"{count_of(outputs.run_count, 'run')} with seed {outputs.seed}"
    blocks: list[Block] = [Heading("Outputs on the same inputs", runs if outputs.run_count else "")]
    if outputs.outputs:
        blocks.append(output_table(outputs.outputs))
    reason = f": {outputs.reason}" if outputs.reason else ""
    blocks.append(Paragraph(f"outputs {outputs.status}{reason}", _OUTCOMES[outputs.status]))
    return blocks


def output_table(outputs: Sequence[OutputDifference]) -> Table:
    """Values of two models, and how far they are apart."""
    columns = (
        Column(),
        Column(title="output", overflow="cut", code=True),
        Column(title="absolute", align="right"),
        Column(title="mean", align="right"),
        Column(title="relative", align="right"),
        Column(title="tolerance", align="right"),
        Column(title="cosine", align="right"),
        Column(title="top", style="dim"),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            Styled("equal", "good") if each.equal else Styled("different", "bad"),
            each.before if each.before == each.after else f"{each.before} -> {each.after}",
            format_number(each.max_absolute),
            format_number(each.mean_absolute),
            format_number(each.max_relative),
            format_number(each.tolerance),
            _cosine(each.cosine),
            ", ".join(f"top-{top.k} {format_share(top.same_set)}" for top in each.top),
        )
        for each in outputs
    ]
    return Table(columns, tuple(rows))


def _outcome(report: DiffReport) -> str:
    said = {"same": "the same", "different": "different", "not compared": "not everything could be compared"}
    return f"{said[report.verdict]}; {format_duration(report.elapsed_ns)}"
