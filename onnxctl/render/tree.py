"""How `inspect --tree` draws a model: modules, subgraphs and functions, each within the one that holds it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxctl.render.document import Block, Column, Heading, Table
from onnxctl.render.units import format_count, format_quantity, operator_name

if TYPE_CHECKING:
    from onnxctl.reports import OperatorCount, ScopeInfo

_MOST_KINDS = 3


def tree_blocks(tree: Sequence[ScopeInfo]) -> list[Block]:
    """Modules, subgraphs and functions, each within the one that holds it; layers that are alike share a row."""
    rows = _merged(tree)
    columns = (
        Column(title=""),
        Column(title="nodes", align="right"),
        Column(title="params", align="right"),
        Column(title="MACs", align="right", overflow="cut"),
        Column(title="operators", overflow="cut", style="dim", optional=True),
    )
    cells = tuple(
        (
            branch + name,
            format_count(scope.node_count),
            format_count(scope.parameter_count) if scope.parameter_count else "",
            "" if scope.macs.value == 0 else format_quantity(scope.macs, longest=1),
            _kinds(scope.operators),
        )
        for branch, (name, scope) in zip(_branches([scope.depth for _, scope in rows]), rows, strict=True)
    )
    note = "; of alike ones, the figures of one" if len(rows) < len(tree) else ""
    return [Heading("Tree", f"modules, subgraphs and functions{note}"), Table(columns, cells)]


def _merged(tree: Sequence[ScopeInfo]) -> list[tuple[str, ScopeInfo]]:
    """The rows with their names; neighbours that differ in the number in their name only become one."""
    rows: list[tuple[str, ScopeInfo]] = []
    start = 0
    while start < len(tree):
        size = _branch_size(tree, start)
        branch = _likeness(tree[start : start + size])
        end = start + size
        while end + size <= len(tree) and branch == _likeness(tree[end : end + size]):
            end += size
        first, count = tree[start], (end - start) // size
        name = _branch_name(first)
        if count > 1:
            name = f"{name} … {_branch_name(tree[end - size])} ({count} alike)"
        rows.append((name, first))
        rows += _merged(tree[start + 1 : start + size])
        start = end
    return rows


def _branch_size(tree: Sequence[ScopeInfo], start: int) -> int:
    """How many rows the branch that starts here has."""
    after = range(start + 1, len(tree))
    return next((index for index in after if tree[index].depth <= tree[start].depth), len(tree)) - start


def _likeness(branch: Sequence[ScopeInfo]) -> list[object]:
    """What branches have in common that are alike: all but the numbers in the first name."""
    first = branch[0]
    own = (first.depth, first.role, re.sub("[0-9]+", "#", first.name))
    return [own, *((each.depth, each.name) for each in branch[1:]), *map(_figures, branch)]


def _figures(scope: ScopeInfo) -> tuple[object, ...]:
    return scope.node_count, scope.parameter_count, scope.macs, scope.operators


def _branches(depths: Sequence[int]) -> list[str]:
    """What is drawn before each row so that the depths make a tree."""
    drawn = []
    open_below: dict[int, bool] = {}
    for depth in reversed(depths):
        line = "".join("│ " if open_below.get(level) else "  " for level in range(1, depth))
        drawn.append(line + (("├ " if open_below.get(depth) else "└ ") if depth else ""))
        open_below = {level: is_open for level, is_open in open_below.items() if level < depth} | {depth: True}
    return drawn[::-1]


def _branch_name(scope: ScopeInfo) -> str:
    if scope.role == "subgraph":
        trips = f", {format_quantity(scope.trips)} times" if scope.trips is not None and scope.trips.value != 1 else ""
        named = scope.name.startswith(scope.holder)
        return f"{scope.name}{trips}" if named else f"{scope.holder} {scope.name}{trips}"
    if scope.role == "function":
        return f"function {scope.path.removeprefix('function:')}"
    return scope.name or "graph"


def _kinds(operators: Sequence[OperatorCount]) -> str:
    words = [f"{operator_name(each.domain, each.op_type)} {each.count:,}" for each in operators[:_MOST_KINDS]]
    return ", ".join(words) + (", …" if len(operators) > _MOST_KINDS else "")
