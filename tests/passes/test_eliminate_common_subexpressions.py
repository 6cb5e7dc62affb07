"""eliminate_common_subexpressions: equal nodes are computed once, in and across scopes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
NAME = "eliminate_common_subexpressions"


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = Exp(x)  b = Exp(x)  y = Add(a, b)", {"Exp": 1, "Add": 1}),
        ("a = Exp(x)  b = Exp(x)  c = Neg(a)  d = Neg(b)  y = Add(c, d)", {"Exp": 1, "Neg": 1, "Add": 1}),
        ("a = Elu<alpha = 1.5>(x)  b = Elu<alpha = 2.5>(x)  y = Add(a, b)", {"Elu": 2, "Add": 1}),
        ("a = Sub(x, w)  b = Sub(w, x)  y = Add(a, b)", {"Sub": 2, "Add": 1}),
        (
            "a = RandomNormalLike(x)  b = RandomNormalLike(x)  c = Sub(a, b)  y = Sub(c, c)",
            {"RandomNormalLike": 2, "Sub": 2},
        ),
        ("a = Exp(x)  y = Exp(x)  c = Neg(a)  z = Neg(a)", {"Exp": 1, "Neg": 1}),
        ("y = Exp(x)  z = Exp(x)", {"Exp": 2}),
        ("z = Exp(x)  a = Exp(x)  y = Neg(a)", {"Exp": 1, "Neg": 1}),
    ],
)
def test_one_scope(optimize: Optimizer, body: str, left: dict[str, int]) -> None:
    more = ", float[2] z" if "z = " in body else ""
    optimized = optimize(f"{HEAD} agraph (float[2] x) => (float[2] y{more}) <float[2] w = {{1, 2}}> {{ {body} }}", NAME)
    assert optimized.operators == left
    if "Random" not in body:
        assert_equal_outputs(optimized)


def test_an_inner_scope_reads_what_an_outer_one_computes_even_later(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (bool c, float[2] x) => (float[2] y) {
            a = If (c) <
                then_branch = one () => (float[2] t) { p = Exp(x)  t = Neg(p) },
                else_branch = two () => (float[2] e) { q = Exp(x)  e = Abs(q) }
            >
            b = Exp(x)
            y = Add(a, b)
        }""",
        NAME,
    )
    assert optimized.operators == {"If": 1, "Exp": 1, "Neg": 1, "Abs": 1, "Add": 1}
    for condition in (True, False):
        assert_equal_outputs(optimized, {"c": np.array(condition), "x": np.array([3, 4], np.float32)})


def test_sibling_scopes_share_nothing(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (bool c, float[2] x) => (float[2] y) {
            y = If (c) <
                then_branch = one () => (float[2] t) { p = Exp(x)  t = Neg(p) },
                else_branch = two () => (float[2] e) { q = Exp(x)  e = Neg(q) }
            >
        }""",
        NAME,
    )
    assert optimized.operators["Exp"] == 2


def test_calls_of_a_random_function_differ(optimize: Optimizer) -> None:
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        agraph (float[2] x) => (float[2] y) {
            a = local.noise(x)  b = local.noise(x)  c = local.twice(x)  d = local.twice(x)
            e = Add(a, b)  f = Add(c, d)  y = Add(e, f) }
        <domain: "local", opset_import: ["" : 17]> noise (x) => (y) { y = RandomNormalLike(x) }
        <domain: "local", opset_import: ["" : 17]> twice (x) => (y) { y = Add(x, x) }""",
        NAME,
    )
    assert optimized.operators["noise"] == 2
    assert optimized.operators["twice"] == 1
