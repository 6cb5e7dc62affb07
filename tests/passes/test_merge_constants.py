"""Concats, Gathers and constants that follow each other become one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

CONSTANTS = (
    "float two = {2}, float third = {0.33333333}, float[4] row = {1, 2, 3, 4}, float[1] one = {5}, float huge = {3e38},"
    " int64[3] i = {3, 0, -2}, int64[2] j = {-1, 0}, int64 k = {1},"
    " float[1, 1, 1] cube = {7}, int64[1] axis = {0}, int64[2] sizes = {4, 4}, int64[2] uneven = {3, 5}"
)


def _model(body: str, outputs: str = "float[p, q] y", opset: int = 17) -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[n, 4] x, float[n, 4] w) => ({outputs})'
        f" <{CONSTANTS}> {{ {body} }}"
    )


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = Concat<axis = 1>(x, w)  y = Concat<axis = -1>(x, a, w)", {"Concat": 1}),
        ("a = Concat<axis = 1>(x, w)  b = Concat<axis = 1>(a, x)  y = Concat<axis = 1>(b, w)", {"Concat": 1}),
        ("a = Concat<axis = 0>(x, w)  b = Concat<axis = 0>(w, x)  y = Concat<axis = 1>(a, b)", {"Concat": 3}),
        ("a = Concat<axis = 1>(x, w)  y = Concat<axis = 1>(a, a)", {"Concat": 2}),
        (
            "a = Concat<axis = 1>(x, w)  b, c = Split<axis = 1>(a, sizes)  d = Exp(b)  y = Add(d, c)",
            {"Exp": 1, "Add": 1},
        ),
        (
            "a = Concat<axis = 1>(x, w)  b, c = Split<axis = 1>(a, uneven)  y = Concat<axis = 0>(b, b)",
            {"Concat": 2, "Split": 1},
        ),
        ("a = Gather<axis = 1>(x, i)  y = Gather<axis = 1>(a, j)", {"Gather": 1}),
        ("a = Gather<axis = 1>(x, j)  b = Gather<axis = 1>(a, k)  y = Add(b, w)", {"Gather": 1, "Add": 1}),
        ("a = Gather<axis = 1>(x, i)  y = Gather<axis = 0>(a, j)", {"Gather": 2}),
    ],
)
def test_rearranging(optimize: Optimizer, body: str, left: dict[str, int]) -> None:
    optimized = optimize(_model(body), "merge_concats", "merge_gathers", "remove_unused")
    assert optimized.operators == left
    feeds = {"x": np.arange(16, dtype=np.float32).reshape(4, 4), "w": np.ones((4, 4), np.float32)}
    assert_equal_outputs(optimized, feeds)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = Mul(x, two)  y = Mul(third, a)", {"Mul": 1}),
        ("a = Add(x, row)  y = Add(a, third)", {"Add": 1}),
        ("a = Add(x, third)  b = Add(a, row)  y = Add(one, b)", {"Add": 1}),
        ("a = Mul(x, two)  y = Div(a, row)", {"Mul": 1}),
        ("a = Add(x, row)  b = Add(a, cube)  y = Squeeze(b, axis)", {"Add": 1, "Squeeze": 1}),
        ("a = Div(x, two)  y = Mul(a, row)", {"Mul": 1}),
        ("a = Div(x, two)  y = Div(a, third)", {"Div": 1}),
        ("a = Div(two, x)  y = Mul(a, two)", {"Div": 1, "Mul": 1}),
        ("a = Mul(x, two)  y = Add(a, two)", {"Mul": 1, "Add": 1}),
        ("a = Mul(x, huge)  y = Mul(a, two)", {"Mul": 2}),
        ("a = Mul(x, two)  b = Mul(a, third)  y = Add(a, b)", {"Mul": 2, "Add": 1}),
    ],
)
def test_arithmetic(optimize: Optimizer, body: str, left: dict[str, int]) -> None:
    optimized = optimize(_model(body), "merge_arithmetic", "remove_unused")
    assert optimized.operators == left
    assert_equal_outputs(optimized, tolerance=1e-6)


def test_integers_wrap_around_and_are_not_divided(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (int32[n] x) => (int32[n] y, int32[n] z)
        <int32 a = {2000000000}, int32 b = {7}> {
        c = Mul(x, a)  y = Mul(c, b)  d = Div(x, b)  z = Div(d, b) }"""
    optimized = optimize(text, "merge_arithmetic", "remove_unused")
    assert optimized.operators == {"Mul": 1, "Div": 2}
    assert_equal_outputs(optimized, {"x": np.array([1, -3, 2_000_000_011], np.int32)})
