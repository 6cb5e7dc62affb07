"""Calls between model-local functions, against plain recursion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxctl.analysis.functions import MAXIMUM_CALL_DEPTH, callees_first, expanded_node_counts
from onnxctl.analysis.wiring import FunctionKey
from onnxctl.errors import InvalidModel, ResourceLimit

Graph = dict[FunctionKey, dict[FunctionKey, int]]


def key(number: int) -> FunctionKey:
    return "d", f"F{number}", ""


@st.composite
def call_graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 7))
    pairs = draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=12))
    graph: Graph = {key(number): {} for number in draw(st.permutations(range(count)))}
    for caller, callee in pairs:
        graph[key(caller)][key(callee)] = draw(st.integers(1, 3))
    return graph


def expanded_by_recursion(graph: Graph, function: FunctionKey, above: tuple[FunctionKey, ...] = ()) -> int:
    """Nodes of one call with two nodes in each body; RecursionError where the function calls itself."""
    if function in above:
        raise RecursionError
    return 2 + sum(expanded_by_recursion(graph, f, (*above, function)) * n for f, n in graph[function].items())


@given(call_graphs())
def test_expansion_is_counted_as_recursion_would(graph: Graph) -> None:
    try:
        expected = {function: expanded_by_recursion(graph, function) for function in graph}
    except RecursionError:
        with pytest.raises(InvalidModel, match="recursive"):
            callees_first(graph)
        return
    order = callees_first(graph)
    assert sorted(order) == sorted(graph)
    assert all(order.index(callee) < order.index(caller) for caller, calls in graph.items() for callee in calls)
    assert expanded_node_counts(graph, dict.fromkeys(graph, 2), order) == expected


def test_a_chain_at_the_limit_is_worked_with_and_a_longer_one_is_not() -> None:
    chain: Graph = {key(n): {key(n + 1): 1} for n in range(MAXIMUM_CALL_DEPTH - 1)} | {key(MAXIMUM_CALL_DEPTH - 1): {}}
    assert len(callees_first(chain)) == MAXIMUM_CALL_DEPTH
    with pytest.raises(ResourceLimit, match="function"):
        callees_first({key(-1): {key(0): 1}, **chain})


def test_doubling_is_counted_without_expanding() -> None:
    doubling: Graph = {key(0): {}} | {key(n): {key(n - 1): 2} for n in range(1, 200)}
    counts = expanded_node_counts(doubling, dict.fromkeys(doubling, 1), callees_first(doubling))
    assert counts[key(199)] == 2**200 - 1
