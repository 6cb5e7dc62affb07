"""Slices in a row, side by side, and put together again."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs

Bounds = tuple[list[int], list[int], list[int], list[int]]


def _chain(first: Bounds, second: Bounds, shape: list[int | str]) -> ModelProto:
    nodes, constants = [], []
    for number, bounds in enumerate((first, second)):
        names = [f"{part}{number}" for part in ("starts", "ends", "axes", "steps")]
        constants += [numpy_helper.from_array(np.array(b, np.int64), n) for n, b in zip(names, bounds, strict=True)]
        nodes.append(helper.make_node("Slice", [f"v{number}", *names], [f"v{number + 1}"]))
    x = helper.make_tensor_value_info("v0", onnx.TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * len(shape))
    graph = helper.make_graph([*nodes, helper.make_node("Exp", ["v2"], ["y"])], "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


bound = st.integers(-9, 9) | st.sampled_from([2**63 - 1, -(2**63)])
slices = (
    st.lists(
        st.tuples(bound, bound, st.integers(0, 1), st.sampled_from([-3, -2, -1, 1, 1, 2, 3])),
        min_size=1,
        max_size=2,
        unique_by=lambda cut: cut[2],
    )
    .filter(lambda cuts: not any(cut[3] < 0 and cut[1] > 9 for cut in cuts))
    .map(lambda cuts: tuple(map(list, zip(*cuts, strict=True))))
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=slices, second=slices)
def test_any_two_slices_of_known_sizes_become_one(optimize: Optimizer, first: Bounds, second: Bounds) -> None:
    optimized = optimize(_chain(first, second, [7, 5]), "merge_slices", "remove_unused")
    is_clear = not any(
        step < 0 and end > 9 for _, ends, _, steps in (first, second) for end, step in zip(ends, steps, strict=True)
    )
    assert optimized.operators["Slice"] == (1 if is_clear else 2)
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        (([1], [6], [0], [1]), ([2], [4], [0], [2]), 1),
        (([1], [6], [0], [1]), ([1], [3], [1], [1]), 1),
        (([1], [6], [0], [1]), ([-1], [9], [0], [1]), 2),
        (([-3], [9], [0], [1]), ([0], [2], [0], [1]), 2),
        (([0], [9], [0], [2]), ([0], [2], [0], [1]), 2),
        (([1], [-1], [-1], [1]), ([0], [2], [0], [1]), 1),
        (([2**63 - 1], [2**63 - 1], [0], [1]), ([2**63 - 1], [2**63 - 1], [0], [1]), 1),
    ],
)
def test_unknown_sizes(optimize: Optimizer, first: Bounds, second: Bounds, left: int) -> None:
    optimized = optimize(_chain(first, second, ["n", "m"]), "merge_slices", "remove_unused")
    assert optimized.operators["Slice"] == left
    for size in (1, 3, 8):
        assert_equal_outputs(optimized, {"v0": np.arange(size * 4, dtype=np.float32).reshape(size, 4)})


def test_a_slice_that_is_sliced_twice_goes_with_its_last_reader(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 9]> agraph (float[8, n] x) => (float[a, n] y, float[b, n] z) {
        s = Slice<starts = [1], ends = [7]>(x)
        y = Slice<starts = [0], ends = [2]>(s)  z = Slice<starts = [-2], ends = [99]>(s)
    }"""
    optimized = optimize(text, "merge_slices", "remove_unused")
    assert optimized.operators["Slice"] == 2
    assert_equal_outputs(optimized)


BOUNDS = "int64[1] a = {0}, int64[1] b = {3}, int64[1] c = {5}, int64[1] d = {9}, int64[1] one = {1}, int64[1] m = {-4}"


def _pieces(body: str, opset: int = 17) -> str:
    outputs = "float[p, q] y" if " z =" not in body else "float[p, q] y, float[r, s] z"
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[n, 9] x) => ({outputs}) <{BOUNDS}> {{ {body} }}'
    )


@pytest.mark.parametrize("opset", [11, 17])
def test_slices_that_share_out_a_tensor_become_a_split(optimize: Optimizer, opset: int) -> None:
    body = (
        "u = Slice(x, c, d, one)  v = Slice(x, a, c, one)  w = Slice(u, a, b)  y = Concat<axis = 0>(v, v)  z = Exp(u)"
    )
    optimized = optimize(_pieces(body, opset), "merge_slices_into_split", "remove_unused")
    assert optimized.operators["Split"] == 1
    assert optimized.operators["Slice"] == 0
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(
    "body",
    [
        "u = Slice(x, b, d, one)  v = Slice(x, a, c, one)  y = Exp(u)  z = Exp(v)",
        "u = Slice(x, c, d, one)  v = Slice(x, a, b, one)  y = Exp(u)  z = Exp(v)",
        "u = Slice(x, a, b, a)  v = Slice(x, b, d, a)  y = Exp(u)  z = Exp(v)",
    ],
)
def test_overlaps_gaps_and_unknown_sizes_stay(optimize: Optimizer, body: str) -> None:
    assert optimize(_pieces(body), "merge_slices_into_split").operators["Slice"] == 2


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("u = Slice(x, a, c, one)  v = Slice(x, c, d, one)  t = Concat<axis = 1>(u, v)", []),
        ("u = Slice(x, a, c, one)  v = Slice(x, c, d, one)  t = Concat<axis = -1>(v, u)", ["Gather"]),
        ("u = Slice(x, m, d, one)  v = Slice(x, a, m, one)  t = Concat<axis = 1>(u, v)", ["Gather"]),
        ("u, v = Split<axis = 1>(x, s)  t = Concat<axis = 1>(u, v)", []),
        ("u, v = Split<axis = 1>(x, s)  t = Concat<axis = 1>(v, u)", ["Gather"]),
        (
            "u = Slice(x, a, b, one)  v = Slice(x, b, six, one)  t = Concat<axis = 0>(u, v)",
            ["Slice", "Slice", "Concat"],
        ),
        ("u = Slice(x, a, c, a)  v = Slice(x, c, d, a)  t = Concat<axis = 0>(u, v)", ["Slice", "Slice", "Concat"]),
        (
            "w = Exp(x)  u = Slice(x, a, c, one)  v = Slice(w, c, d, one)  t = Concat<axis = 1>(u, v)",
            ["Exp", "Slice", "Slice", "Concat"],
        ),
    ],
)
def test_pieces_of_one_tensor(optimize: Optimizer, body: str, left: list[str]) -> None:
    text = _pieces(f"{body}  y = Exp(t)").replace("<int64", "<int64[2] s = {5, 4}, int64[1] six = {6}, int64", 1)
    text = text.replace("float[n, 9]", "float[n, 9, 16]").replace("float[p, q]", "float[p, q, r]").replace("-1>", "-2>")
    optimized = optimize(text, "merge_pieces", "remove_unused")
    assert sorted(optimized.operators.elements()) == sorted([*left, "Exp"])
    assert_equal_outputs(optimized)


def test_short_pieces_do_not_become_a_gather(optimize: Optimizer) -> None:
    body = "u = Slice(x, a, c, one)  v = Slice(x, c, d, one)  t = Concat<axis = 1>(v, u)  y = Exp(t)"
    optimized = optimize(_pieces(body), "merge_pieces")
    assert optimized.operators["Gather"] == 0
    assert any("short runs" in reason for reason in optimized.reasons)


def test_short_pieces_become_a_gather_at_level_max(optimize: Optimizer) -> None:
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17]> agraph (float[n, 4, 64] x) => (float[n, 4, 64] y) {
            a, b = Split<axis = -1>(x)  y = Concat<axis = -1>(b, a) }""",
        "merge_short_pieces",
    )
    assert optimized.operators == {"Split": 1, "Concat": 1}, "the list takes more room than there is"
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17]> agraph (float[n, 4, 4] x) => (float[n, 4, 4] y)
            <int64[2] halves = {2, 2}> {
            a_half_with_a_long_name, b_half_with_a_long_name = Split<axis = -1>(x, halves)
            y = Concat<axis = -1>(b_half_with_a_long_name, a_half_with_a_long_name) }""",
        "merge_short_pieces",
        "remove_unused",
    )
    assert optimized.operators == {"Gather": 1}
    assert_equal_outputs(optimized)


def test_pieces_that_stay_for_others_do_not_become_a_gather(optimize: Optimizer) -> None:
    body = "u = Slice(x, a, c, one)  v = Slice(x, c, d, one)  t = Concat<axis = 1>(v, u)  r = Concat<axis = 1>(u, t, v)"
    optimized = optimize(_pieces(f"{body}  y = Exp(r)"), "merge_pieces", "remove_unused")
    assert optimized.operators["Gather"] <= 1
    assert_equal_outputs(optimized)
