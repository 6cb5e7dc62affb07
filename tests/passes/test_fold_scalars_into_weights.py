"""fold_scalars_into_weights: a scalar reaches the weights that its operand is linear in, or stays."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs
from tests.passes.weighted import weighted

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
NAME = "fold_scalars_into_weights"
WEIGHTS = "float[6, 8] w, float[8] b, float[6, 8] v, float[3, 4, 2] table, float c"
HEADS = "s = Constant<value_ints = [2, 3, 4, 2]>()  h = Reshape(a, s)  t = Transpose<perm = [0, 2, 1, 3]>(h)"


@pytest.mark.parametrize(
    ("body", "gone"),
    [
        ("a = MatMul(x, w)  d = Add(a, b)  y = Mul(d, c)", {"Mul": 1}),
        ("a = MatMul(x, w)  d = Add(a, b)  y = Div(d, c)", {"Div": 1}),
        (f"a = MatMul(x, w)  {HEADS}  y = Mul(c, t)", {"Mul": 1}),
        (
            f"a = MatMul(x, w)  {HEADS}  k = Transpose<perm = [0, 1, 3, 2]>(t)  m = Relu(k)  n = MatMul(t, m)  "
            "y = Mul(n, c)",
            None,
        ),
        (
            f"a = MatMul(x, w)  {HEADS}  e = MatMul(x, v)  k = Reshape(e, s)  m = Transpose<perm = [0, 2, 3, 1]>(k)  "
            "n = MatMul(t, m)  y = Mul(n, c)",
            {"Mul": 1},
        ),
        (
            f"a = MatMul(x, w)  {HEADS}  p = Mul(h, table)  q = Neg(h)  r = Add(p, q)  y = Mul(r, c)",
            {"Mul": 1},
        ),
        (
            "n = Constant<value_ints = [1, 0, 3, 2, 5, 4, 7, 6]>()  a = MatMul(x, w)  d = Gather<axis = 2>(a, n)  "
            "e = Add(a, d)  y = Mul(e, c)",
            {"Mul": 1},
        ),
        (
            "n = Constant<value_ints = [2, 5, 3, 8]>()  o = Constant<value_ints = [1]>()  a = MatMul(x, w)  "
            "d = Unsqueeze(a, o)  e = Expand(d, n)  y = Mul(e, c)",
            {"Mul": 1},
        ),
        ("a = MatMul(x, w)  d = Add(a, b)  e = Relu(d)  y = Mul(e, c)", None),
        ("a = MatMul(x, w)  d = Add(a, a)  y = Mul(d, c)", None),
        ("a = MatMul(x, w)  d = Mul(a, a)  y = Mul(d, c)", None),
        ("a = MatMul(x, w)  d = Sigmoid(a)  e = Mul(a, d)  y = Mul(e, c)", None),
        ("a = MatMul(x, w)  d = MatMul(x, w)  e = Sub(a, d)  y = Mul(e, c)", None),
        ("a = MatMul(x, w)  d = Add(a, b)  e = Mul(d, c)  y = Add(e, b)", None),
        ("a = MatMul(x, w)  d = Add(a, x1)  y = Mul(d, c)", None),
    ],
)
def test_up_to_weights(optimize: Optimizer, body: str, gone: Mapping[str, int] | None) -> None:
    model = weighted(f"{HEAD} agraph (float[2, 3, 6] x, float[8] x1) => (float y) <{WEIGHTS}> {{ {body} }}")
    optimized = optimize(model, "remove_unused", NAME)
    assert optimize(model, "remove_unused").operators - optimized.operators == (gone or {})
    assert_equal_outputs(optimized, tolerance=1e-5)


@pytest.mark.parametrize(
    ("body", "is_folded"),
    [
        (
            "a = MatMul(x, w)  d = Add(a, b)  q, k = Split<axis = -1>(d)  r = Mul(q, c)  y = Concat<axis = -1>(k, r)",
            True,
        ),
        (
            "a = MatMul(x, w)  d = Add(b, a)  q, k = Split<axis = -1>(d)  r = Mul(k, c)  y = Concat<axis = -1>(k, r)",
            False,
        ),
        (
            f"a = MatMul(x, w)  {HEADS}  q, k = Split<axis = 1>(t)  r = Mul(k, c)  y = Concat<axis = -1>(q, r)",
            True,
        ),
        (f"a = MatMul(x, w)  {HEADS}  q, k = Split<axis = 3>(t)  r = Mul(k, c)  y = Concat<axis = -1>(q, r)", False),
        (
            "n = Constant<value_ints = [6, 6]>()  z = Reshape(x, n)  g = Gemm(z, w, b)  q, k = Split<axis = 1>(g)  "
            "r = Div(k, c)  y = Concat<axis = -1>(q, r)",
            True,
        ),
        (
            "a = MatMul(x, w)  d = Add(a, b)  q, k = Split<axis = 1>(d)  r = Mul(q, c)  y = Concat<axis = 1>(k, r)",
            False,
        ),
    ],
)
def test_only_the_columns_of_one_part(optimize: Optimizer, body: str, is_folded: bool) -> None:
    text = f"{HEAD} agraph (float[2, 3, 6] x) => (float y) <{WEIGHTS}> {{ {body} }}"
    model = weighted(text.replace("[2, 3, 6]", "[2, 2, 6]") if "axis = 1>(d)" in body else text)
    optimized = optimize(model, NAME)
    assert ("Mul" in optimized.operators or "Div" in optimized.operators) is not is_folded
    assert_equal_outputs(optimized, tolerance=1e-5)


def test_a_weight_that_is_read_twice_stays(optimize: Optimizer) -> None:
    body = "a = MatMul(x, w)  d = Mul(a, c)  e = MatMul(x, w)  y = Concat<axis = -1>(d, e)"
    model = weighted(f"{HEAD} agraph (float[2, 3, 6] x) => (float y) <{WEIGHTS}> {{ {body} }}")
    optimized = optimize(model, NAME)
    assert optimized.operators["Mul"] == 1
    assert any("not linear" in reason for reason in optimized.reasons)


def test_a_scaled_value_has_another_name(optimize: Optimizer) -> None:
    """Whoever compares the two models value by value compares by name."""
    model = weighted(
        f"{HEAD} agraph (float[2, 3] x) => (float y) <float[3, 4] w, float[4] b, float s> "
        "{ a = MatMul(x, w)  c = Add(a, b)  t = Transpose(c)  d = Mul(t, s)  y = Exp(d) }"
    )
    optimized = optimize(model, "fold_scalars_into_weights")
    made = [name for node in optimized.after.graph.node for name in node.output]
    assert optimized.operators == {"MatMul": 1, "Add": 1, "Transpose": 1, "Exp": 1}
    assert {"d", "y"} < set(made)
    assert not {"a", "c", "t"} & set(made)
    assert_equal_outputs(optimized, tolerance=1e-5)
