"""How `inspect` tells what was asked for beyond the summary: nodes, weights, and one node from close by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxctl.render.document import Block, Cell, Column, Facts, Heading, Paragraph, Styled, Table
from onnxctl.render.units import count_of, format_bytes, format_count, format_quantity, format_share, operator_name

if TYPE_CHECKING:
    from onnxctl.reports import NodeDetail, NodeInfo, ValueInfo, WeightInfo, WeightStatistics

_BLOCKS = " ▁▂▃▄▅▆▇█"
_MOST_NODES = 6


# ---------------------------------------------------------------- nodes


def node_blocks(nodes: Sequence[NodeInfo], node_count: int) -> list[Block]:
    """Every node chosen: what it joins, and its attributes."""
    scoped = any(node.scope for node in nodes)
    columns = (
        *((Column(title="scope", overflow="cut", style="dim", code=True),) if scoped else ()),
        Column(title="operator", style="accent", code=True),
        Column(title="name", overflow="cut", code=True),
        Column(title="inputs", overflow="cut", code=True),
        Column(title="outputs", overflow="cut", code=True),
        Column(title="attributes", overflow="cut", style="dim", code=True, optional=True),
    )
    rows = tuple(
        (
            *((node.scope,) if scoped else ()),
            operator_name(node.domain, node.op_type),
            node.name,
            ", ".join(node.inputs),
            ", ".join(node.outputs),
            ", ".join(f"{name}={value}" for name, value in node.attributes),
        )
        for node in nodes
    )
    shown = _shown(len(nodes), node_count, "node")
    return [Heading("Nodes", shown), Table(columns, rows) if rows else Paragraph("none")]


def node_detail_blocks(detail: NodeDetail) -> list[Block]:
    """One node from close by."""
    node = detail.node
    name = node.name or next(iter(filter(None, node.outputs)), "")
    place = f"{node.scope}/{name}" if node.scope else name
    blocks: list[Block] = [Heading(operator_name(node.domain, node.op_type), place)]
    facts: list[tuple[str, Cell]] = [("about", detail.doc_string)] if detail.doc_string else []
    facts += list(node.attributes)
    if facts:
        blocks.append(Facts(tuple(facts)))
    blocks += [Heading("Inputs"), _values(detail.inputs, "from")] if detail.inputs else []
    blocks += [Heading("Outputs"), _values(detail.outputs, "to")] if detail.outputs else []
    cost = detail.cost
    if cost is None:
        blocks.append(Paragraph("It is in a function that nobody calls, or a branch never taken.", "dim"))
    elif cost.macs is None:
        blocks += [Heading("Cost"), Paragraph(f"not counted: {cost.reason}")]
    else:
        amounts = (
            ("MACs", format_quantity(cost.macs)),
            ("FLOPs", format_quantity(cost.flops)),
            ("bytes read", format_quantity(cost.read_bytes, "B")),
            ("bytes written", format_quantity(cost.written_bytes, "B")),
            ("parameters", format_count(cost.parameter_count)),
            *((("not counted", cost.reason),) if cost.reason else ()),
        )
        blocks += [Heading("Cost", "of one run"), Facts(amounts)]
    if detail.metadata:
        blocks += [Heading("Metadata"), Facts(detail.metadata)]
    return blocks


def _values(values: Sequence[ValueInfo], direction: str) -> Table:
    columns = (
        Column(title="name", overflow="cut", code=True),
        Column(title="type", overflow="cut", code=True),
        Column(title=direction, overflow="wrap"),
    )
    return Table(columns, tuple((value.name or "-", value.type, _other_end(value)) for value in values), titled=False)


def _other_end(value: ValueInfo) -> Cell:
    if value.role == "absent":
        return Styled("left out", "dim")
    others = ", ".join(value.nodes[:_MOST_NODES])
    if len(value.nodes) > _MOST_NODES:
        others += f" and {len(value.nodes) - _MOST_NODES} more"
    words = {"input": "graph input", "output": "graph output", "initializer": "initializer", "outer": "outer scope"}
    role = words.get(value.role, "")
    if value.contents:
        role = f"{role or 'constant'} = {value.contents}"
    return "; ".join(filter(None, (role, others))) or Styled("nobody reads it", "dim")


def _shown(shown: int, total: int, noun: str) -> str:
    return count_of(total, noun) if shown == total else f"{shown:,} of {count_of(total, noun)}"


# ---------------------------------------------------------------- weights


def weight_blocks(weights: Sequence[WeightInfo], tensor_count: int) -> list[Block]:
    """Every stored tensor chosen: size, place, and where the values were read what they are like."""
    if not weights:
        return [Heading("Weights"), Paragraph("none")]
    read = any(weight.statistics or weight.problem for weight in weights)
    note = _shown(len(weights), tensor_count, "tensor")
    note += f", {format_bytes(sum(weight.byte_count for weight in weights))}"
    return [Heading("Weights", note), _values_table(weights) if read else _storage_table(weights)]


def _storage_table(weights: Sequence[WeightInfo]) -> Table:
    columns = (
        Column(title="name", overflow="cut", code=True),
        Column(title="type", overflow="cut", code=True),
        Column(title="elements", align="right"),
        Column(title="bytes", align="right"),
        Column(title="kind", style="dim"),
        Column(title="stored in", overflow="cut", style="dim"),
    )
    rows = tuple(
        (
            _place(weight),
            _type(weight),
            format_count(weight.element_count),
            format_bytes(weight.byte_count),
            weight.source,
            weight.storage,
        )
        for weight in weights
    )
    return Table(columns, rows)


def _values_table(weights: Sequence[WeightInfo]) -> Table:
    notes = [_note(each) for each in weights]
    noted = any(notes)
    columns = (
        Column(title="name", overflow="cut", code=True),
        Column(title="type", overflow="cut", code=True),
        Column(title="bytes", align="right", optional=True),
        Column(title="min", align="right"),
        Column(title="max", align="right"),
        Column(title="mean", align="right", optional=True),
        Column(title="std", align="right"),
        Column(title="zeros", align="right", optional=True),
        Column(title="values", style="accent", drawn=True),
        *((Column(title="note", style="warning", overflow="cut"),) if noted else ()),
    )
    rows = [(_place(each), _type(each), format_bytes(each.byte_count), *_statistics(each)) for each in weights]
    return Table(columns, tuple((*row, note) if noted else row for row, note in zip(rows, notes, strict=True)))


def _statistics(weight: WeightInfo) -> tuple[str, ...]:
    statistics = weight.statistics
    if statistics is None:
        return ("",) * 6
    zeros = statistics.zero_count / max(weight.element_count, 1)
    return (
        *map(_short, (statistics.minimum, statistics.maximum, statistics.mean, statistics.std)),
        "" if not zeros else format_share(zeros),
        draw_histogram(statistics),
    )


def _note(weight: WeightInfo) -> str:
    """What is odd about a tensor: what is no number, that it is there twice, that it can't be read."""
    notes = [weight.problem] if weight.problem else []
    if weight.statistics is not None:
        notes += [f"{weight.statistics.nan_count:,} NaN"] if weight.statistics.nan_count else []
        notes += [f"{weight.statistics.inf_count:,} Inf"] if weight.statistics.inf_count else []
    return ", ".join([*notes, f"= {weight.same_as}"] if weight.same_as else notes)


def draw_histogram(statistics: WeightStatistics, width: int = 8) -> str:
    """The distribution as blocks of eight heights, three bins to a block. A bin with anything in it is seen."""
    bins = statistics.histogram
    step = max(len(bins) // width, 1)
    joined = [sum(bins[at : at + step]) for at in range(0, len(bins), step)]
    most = max(joined, default=0)
    if statistics.minimum == statistics.maximum or not most:
        return ""
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // most)] for count in joined)


def _short(value: float) -> str:
    return f"{value:.3g}"


def _place(weight: WeightInfo) -> str:
    return f"{weight.scope}/{weight.name}" if weight.scope else weight.name


def _type(weight: WeightInfo) -> str:
    return f"{weight.dtype}[{', '.join(map(str, weight.shape))}]"
