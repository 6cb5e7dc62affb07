"""Neighbours that only change the shape become one, or none."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

PASSES = ("merge_reshapes", "remove_unused")

LISTS = (
    "int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2}, int64[2] i03 = {0, 3}, int64[1] last = {-1},"
    " int64[2] rows = {-1, 5}, int64[3] three = {0, 2, 10}, int64[3] zeros = {0, 0, 5}, int64[2] copy = {0, 20},"
    " int64[3] whole = {-1, 4, 5}, int64[4] four = {-1, 2, 2, 5}, int64[3] mid = {-1, 10, 2}"
)


def _model(body: str, opset: int = 17, shape: str = "n, 4, 5") -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[{shape}] x) => (float[?] y)'
        f" <{LISTS}> {{ {body}  z = Exp(b)  y = Flatten<axis = 0>(z) }}"
    ).replace("float[?] y", "float[one, m] y")


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = Reshape(x, rows)  b = Reshape(a, four)", ["Reshape"]),
        ("a = Flatten(x)  b = Reshape(a, three)", ["Reshape"]),
        ("a = Flatten(x)  b = Unsqueeze(a, i0)", ["Reshape"]),
        ("a = Reshape(x, three)  b = Flatten(a)", ["Reshape"]),
        ("a = Unsqueeze(x, i0)  b = Unsqueeze(a, i0)", ["Unsqueeze"]),
        ("a = Unsqueeze(x, i2)  b = Unsqueeze(a, i03)", ["Unsqueeze"]),
        ("a = Unsqueeze(x, i1)  b = Unsqueeze(a, last)", ["Unsqueeze"]),
        ("a = Unsqueeze(x, i03)  c = Squeeze(a, i0)  b = Squeeze(c, i2)", ["Unsqueeze", "Squeeze", "Squeeze"]),
        ("a = Unsqueeze(x, i1)  b = Squeeze(a, i1)", []),
        ("a = Unsqueeze(x, i1)  c = Transpose<perm = [0, 2, 3, 1]>(a)  b = Reshape(c, rows)", ["Reshape"]),
        ("a = Unsqueeze(x, i1)  b = Transpose<perm = [1, 0, 2, 3]>(a)", ["Reshape"]),
        ("a = Transpose<perm = [0, 2, 1]>(x)  b = Reshape(a, rows)", ["Transpose", "Reshape"]),
        ("a = Reshape<allowzero = 1>(x, rows)  b = Reshape(a, mid)", ["Reshape"]),
    ],
)
def test_pairs(optimize: Optimizer, body: str, left: list[str]) -> None:
    optimized = optimize(_model(body), "merge_reshapes", "remove_unused")
    if "c = Squeeze" in body:
        assert sum(optimized.operators.values()) <= 3 + 1
    else:
        assert sorted(optimized.operators.elements()) == sorted([*left, "Exp", "Flatten"])
    assert_equal_outputs(optimized)


@pytest.mark.parametrize("first", ["rows", "copy"])
def test_back_to_the_shape_it_had(optimize: Optimizer, first: str) -> None:
    optimized = optimize(_model(f"a = Reshape(x, {first})  b = Reshape(a, whole)", shape="3, 4, 5"), *PASSES)
    assert optimized.operators["Reshape"] == 0
    assert_equal_outputs(optimized)


@pytest.mark.parametrize("opset", [9, 11, 13])
def test_axes_as_attributes_and_as_inputs(optimize: Optimizer, opset: int) -> None:
    body = (
        "a = Unsqueeze<axes = [1]>(x)  b = Unsqueeze<axes = [0, 3]>(a)"
        if opset < 13
        else "a = Unsqueeze(x, i1)  b = Unsqueeze(a, i03)"
    )
    optimized = optimize(_model(body, opset), "merge_reshapes", "remove_unused")
    assert optimized.operators["Unsqueeze"] == 1
    assert_equal_outputs(optimized)


def test_two_unknown_sizes_stay(optimize: Optimizer) -> None:
    body = "a = Reshape(x, rows)  b = Reshape(a, s)"
    text = _model(body, shape="n, m, 5").replace("] x)", "] x, int64[3] s)")
    optimized = optimize(text, "merge_reshapes")
    assert optimized.operators["Reshape"] == 2
    assert optimized.reasons == ["the sizes between are not known well enough"]
    assert_equal_outputs(optimized, {"x": np.ones((3, 2, 5), np.float32), "s": np.array([0, 5, 1])})


def test_a_first_reshape_that_others_read_stays(optimize: Optimizer) -> None:
    optimized = optimize(
        _model(
            "a = Reshape(x, rows)  c = Reshape(a, mid)  d = Exp(a)  e = Flatten(c)  f = Reshape(e, rows)  b = Add(d, f)"
        ),
        "merge_reshapes",
    )
    assert "others read what the first of the two gives" in optimized.reasons
    assert_equal_outputs(optimized)


def test_a_known_size_of_zero_stays(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (float[0, 4] x) => (float[1, 0] y)
        <int64[2] s = {4, 0}>
        { a = Reshape<allowzero = 1>(x, s)  y = Flatten<axis = 0>(a) }"""
    optimized = optimize(text, "merge_reshapes")
    assert optimized.operators["Reshape"] == 1
    assert_equal_outputs(optimized, {"x": np.zeros((0, 4), np.float32)})
