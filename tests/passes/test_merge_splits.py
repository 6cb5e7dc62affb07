"""merge_splits and move_slices: parts of parts, and slices of what was just put together."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

SIZES = "int64[2] s = {2, 4}, int64[2] t = {1, 3}, int64[2] h = {2, 2}, int64[2] g = {1, 1}"


def split(body: str) -> str:
    """A model of six rows that are split, with three outputs."""
    return f"""<ir_version: 8, opset_import: ["" : 13]> agraph (float[6, 4] x, int64[2] d)
        => (float[a, b] u, float[c, d] v, float[e, f] w) <{SIZES}> {{ {body} }}"""


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("a, b = Split<axis = 0>(x, s)  c, e = Split<axis = 0>(b, t)  u = Neg(a)  v = Neg(c)  w = Neg(e)", 1),
        ("a, b = Split<axis = -2>(x, s)  c, e = Split(a, g)  u = Neg(b)  v = Neg(c)  w = Neg(e)", 1),
        ("a, b = Split(x, s)  c, e = Split(b, h)  f, k = Split(e, g)  u = Neg(a)  v = Neg(c)  w = Sub(f, k)", 1),
        ("a, b = Split<axis = 0>(x, s)  c, e = Split<axis = 1>(b, t)  u = Neg(a)  v = Neg(c)  w = Neg(e)", 2),
        ("a, b = Split<axis = 0>(x, s)  c, e = Split<axis = 0>(b, t)  u = Neg(b)  v = Neg(c)  w = Neg(e)", 2),
        ("a, b = Split<axis = 0>(x, s)  c, e = Split<axis = 0>(b, d)  u = Neg(a)  v = Neg(c)  w = Neg(e)", 2),
    ],
)
def test_splits_of_splits(optimize: Optimizer, body: str, count: int) -> None:
    optimized = optimize(split(body), "merge_splits", "remove_unused")
    assert optimized.operators["Split"] == count
    assert_equal_outputs(optimized, {"x": np.arange(24, dtype=np.float32).reshape(6, 4), "d": np.array([2, 2])})


def test_sizes_as_attributes(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 11]> agraph (float[6, 4] x)
        => (float[a, b] u, float[c, d] v, float[e, f] w) {
        a, b = Split<split = [2, 4]>(x)  c, e = Split<split = [1, 3]>(b)  u = Neg(a)  v = Neg(c)  w = Neg(e)
    }"""
    optimized = optimize(text, "merge_splits")
    assert optimized.operators == {"Split": 1, "Neg": 3}
    assert_equal_outputs(optimized)


def test_a_split_without_sizes(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]> agraph (float[8, 4] x)
        => (float[a, b] u, float[c, d] v, float[e, f] w) {
        a, b = Split<num_outputs = 2>(x)  c, e = Split<num_outputs = 2>(b)  u = Neg(a)  v = Neg(c)  w = Neg(e)
    }"""
    optimized = optimize(text, "merge_splits")
    assert optimized.operators == {"Split": 1, "Neg": 3}
    assert_equal_outputs(optimized)


BOUNDS = (
    "int64[1] n0 = {0}, int64[1] n1 = {1}, int64[1] n2 = {2}, int64[1] n3 = {3}, int64[1] n5 = {5},"
    " int64[1] n6 = {6}, int64[1] m = {-2},"
    " int64[2] from = {3, 1}, int64[2] to = {6, 3}, int64[2] both = {0, 1}"
)


def joined(body: str) -> str:
    """A model of two and four rows that are joined, with two outputs."""
    return f"""<ir_version: 8, opset_import: ["" : 13]> agraph (float[2, 4] x, float[4, 4] z, float[k, 4] o)
        => (float[a, b] u, float[c, d] v) <{BOUNDS}> {{ {body} }}"""


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("c = Concat<axis = 0>(x, z)  s = Slice(c, n0, n2, n0)  u = Neg(s)  v = Abs(z)", ["Abs", "Neg"]),
        ("c = Concat<axis = 0>(x, z)  s = Slice(c, n0, n2, n0)  u = Neg(s)  v = Abs(c)", ["Abs", "Concat", "Neg"]),
        ("c = Concat<axis = -2>(x, z)  s = Slice(c, m, n6, n0)  u = Neg(s)  v = Abs(z)", ["Abs", "Neg", "Slice"]),
        ("c = Concat<axis = 0>(x, z)  s = Slice(c, from, to, both)  u = Neg(s)  v = Abs(z)", ["Abs", "Neg", "Slice"]),
        (
            "c = Concat<axis = 0>(x, z)  s = Slice(c, n1, n3, n0)  u = Neg(s)  v = Abs(z)",
            ["Abs", "Concat", "Neg", "Slice"],
        ),
        (
            "c = Concat<axis = 0>(x, z)  s = Slice(c, n3, n5, n0)  u = Neg(s)  v = Abs(c)",
            ["Abs", "Concat", "Neg", "Slice"],
        ),
        (
            "c = Concat<axis = 0>(x, o)  s = Slice(c, n0, n2, n0)  u = Neg(s)  v = Abs(z)",
            ["Abs", "Concat", "Neg", "Slice"],
        ),
    ],
)
def test_slices_of_concats(optimize: Optimizer, body: str, left: list[str]) -> None:
    optimized = optimize(joined(body), "move_slices", "remove_unused")
    assert sorted(optimized.operators.elements()) == left
    assert_equal_outputs(optimized)


def test_a_run_of_pieces_is_one_slice(optimize: Optimizer) -> None:
    body = "a = Slice(z, n1, n2, n0)  b = Slice(z, n2, n3, n0)  c = Concat<axis = 0>(a, b)  u = Neg(c)  v = Abs(x)"
    optimized = optimize(joined(body), "merge_pieces", "remove_unused")
    assert optimized.operators == {"Slice": 1, "Neg": 1, "Abs": 1}
    assert_equal_outputs(optimized)
