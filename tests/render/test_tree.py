"""The tree as people read it."""

from __future__ import annotations

from onnxctl.render.document import Table
from onnxctl.render.tree import tree_blocks
from onnxctl.reports import Quantity, ScopeInfo


def module(depth: int, name: str, nodes: int = 3) -> ScopeInfo:
    return ScopeInfo(
        depth=depth,
        path=name,
        role="module" if depth else "graph",
        name=name,
        holder="",
        trips=None,
        node_count=nodes,
        parameter_count=0,
        macs=Quantity(value=0, expression="0"),
        operators=(),
    )


def names(*rows: ScopeInfo) -> list[str]:
    table = tree_blocks(rows)[-1]
    assert isinstance(table, Table)
    return [str(row[0]) for row in table.rows]


def test_layers_that_are_alike_share_a_row_and_what_is_in_them_is_shown_once() -> None:
    layers = [module(1, "h.0", 5), module(2, "attn")]
    for index in range(1, 12):
        layers += [module(1, f"h.{index}"), module(2, "attn"), module(2, "mlp")]
    assert names(module(0, "g"), *layers, module(1, "head")) == [
        "g",
        "├ h.0",
        "│ └ attn",
        "├ h.1 … h.11 (11 alike)",
        "│ ├ attn",
        "│ └ mlp",
        "└ head",
    ]


def test_layers_that_differ_within_or_in_more_than_a_number_keep_their_rows() -> None:
    rows = (module(0, "g"), module(1, "h.0"), module(2, "attn"), module(1, "h.1"), module(2, "attn", 4))
    assert len(names(*rows)) == 5
    assert len(names(module(0, "g"), module(1, "query"), module(1, "key"))) == 3
