"""move_splits: what is done to all parts is done once, before."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs
from tests.passes.weighted import weighted

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
NAME = "move_splits"
SPLIT = "n = Constant<value_ints = [8, 4, 4]>()  a, b, c = Split<axis = -1>(x, n)"


def constants(**shapes: str) -> str:
    """Constant nodes of these names with these integers."""
    return "  ".join(f"{name} = Constant<value_ints = [{values}]>()" for name, values in shapes.items())


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (
            "d = Reshape(a, s)  e = Reshape(b, t)  f = Reshape(c, t)  y = Concat<axis = 2>(d, e, f)",
            {"Split": 1, "Reshape": 1, "Concat": 1},
        ),
        (
            "d = Reshape(a, s)  e = Reshape(b, t)  f = Reshape(c, t)  g = Transpose<perm = [0, 2, 1, 3]>(d)  "
            "h = Transpose<perm = [0, 2, 1, 3]>(e)  i = Transpose<perm = [0, 2, 1, 3]>(f)  "
            "y = Concat<axis = 1>(i, h, g)",
            {"Split": 1, "Reshape": 1, "Transpose": 1, "Concat": 1},
        ),
        (
            "d = Reshape(a, s)  e = Reshape(b, t)  f = Reshape(c, t)  g = Transpose<perm = [0, 2, 1, 3]>(d)  "
            "h = Transpose<perm = [0, 2, 3, 1]>(e)  i = Transpose<perm = [0, 2, 1, 3]>(f)  j = Reshape(h, r)  "
            "y = Concat<axis = 1>(i, g)  z = Neg(j)",
            {"Split": 1, "Reshape": 2, "Transpose": 2, "Concat": 1, "Neg": 1},
        ),
        ("d = Relu(a)  e = Relu(b)  f = Relu(c)  y = Concat<axis = 1>(d, e, f)", None),
        ("d = Reshape(a, s)  e = Reshape(b, t)  f = Reshape(c, o)  y = Concat<axis = 2>(d, e)  z = Neg(f)", None),
        ("d = Reshape(a, s)  e = Reshape(b, t)  z = Neg(c)  y = Concat<axis = 2>(d, e)", None),
        (
            "d = Reshape(a, s)  e = Reshape(b, t)  f = Reshape(c, t)  y = Concat<axis = 2>(d, e, f)  z = Neg(a)",
            None,
        ),
        (
            "d = Transpose<perm = [1, 0, 2]>(a)  e = Transpose<perm = [2, 1, 0]>(b)  "
            "f = Transpose<perm = [0, 2, 1]>(c)  y = Neg(d)  z = Neg(e)",
            None,
        ),
    ],
)
def test_parts_of_the_last_axis(optimize: Optimizer, body: str, left: Mapping[str, int] | None) -> None:
    if "Relu" in body:
        body, left = body.replace("axis = 1", "axis = -1"), {"Split": 1, "Relu": 1, "Concat": 1}
    more = ", float z" if "z = " in body else ""
    shapes = constants(s="2, 3, 4, 2", t="2, 3, 2, 2", o="2, 3, 1, 4", r="2, 4, 3")
    model = weighted(
        f"{HEAD} agraph (float[2, 3, 16] x) => (float y{more}) <float[99] spare> {{ {shapes}  {SPLIT}  {body} }}"
    )
    optimized = optimize(model, "lift_constants", "remove_unused", NAME)
    without = optimize(model, "lift_constants", "remove_unused")
    assert optimized.operators == (without.operators if left is None else left)
    assert_equal_outputs(optimized)


def test_a_symbol_stays_one(optimize: Optimizer) -> None:
    shapes = constants(s="0, 0, 4, 2", t="0, 0, 2, 2")
    body = f"{shapes}  {SPLIT}  d = Reshape(a, s)  e = Reshape(b, t)  f = Reshape(c, t)  y = Concat<axis = 2>(d, e, f)"
    model = weighted(f"{HEAD} agraph (float[N, M, 16] x) => (float y) <float[99] spare> {{ {body} }}")
    optimized = optimize(model, "lift_constants", "remove_unused", NAME)
    assert optimized.operators == {"Split": 1, "Reshape": 1, "Concat": 1}
    assert_equal_outputs(optimized)


def test_scalars_beside_have_to_be_the_same(optimize: Optimizer) -> None:
    body = f"{SPLIT}  d = Mul(a, k)  e = Mul(b, k)  f = Mul(c, {{}})  y = Concat<axis = -1>(d, e, f)"
    text = f"{HEAD} agraph (float[2, 3, 16] x) => (float y) <float k, float l, float[99] spare> {{{{ {body} }}}}"
    same = optimize(weighted(text.format("k")), "lift_constants", "remove_unused", NAME)
    assert same.operators == {"Split": 1, "Mul": 1, "Concat": 1}
    assert_equal_outputs(same)
    assert optimize(weighted(text.format("l")), "lift_constants", "remove_unused", NAME).operators["Mul"] == 3


def test_older_splits_state_their_sizes_themselves(optimize: Optimizer) -> None:
    shapes = "<int64[4] s = {2, 3, 4, 2}, int64[4] t = {2, 3, 2, 2}, float[99] spare>"
    body = "a, b, c = Split<axis = -1, split = [8, 4, 4]>(x)  d = Reshape(a, s)  e = Reshape(b, t)  f = Reshape(c, t)"
    head = '<ir_version: 8, opset_import: ["" : 11]>'
    model = weighted(
        f"{head} agraph (float[2, 3, 16] x) => (float y) {shapes} {{ {body}  y = Concat<axis = 2>(d, e, f) }}"
    )
    optimized = optimize(model, "remove_unused", NAME)
    assert optimized.operators == {"Split": 1, "Reshape": 1, "Concat": 1}
    assert_equal_outputs(optimized)
