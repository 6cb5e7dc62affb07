"""fold_signs: rotary embeddings without negation, to the bit."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs
from tests.passes.weighted import weighted

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
NAME = "fold_signs"
SPLIT = "a, b = Split<axis = -1>(x)"


def optimized_body(optimize: Optimizer, body: str, inputs: str = "float[2, 3, 8] x") -> int:
    """How many Neg are left; the outputs have to be equal to the bit."""
    more = ", float z" if "z = " in body else ""
    weights = "float[3, 8] s, float[3, 1] one"
    optimized = optimize(weighted(f"{HEAD} agraph ({inputs}) => (float y{more}) <{weights}> {{ {body} }}"), NAME)
    assert_equal_outputs(optimized)
    return optimized.operators["Neg"]


@pytest.mark.parametrize(
    "body",
    [
        f"{SPLIT}  n = Neg(b)  c = Concat<axis = -1>(n, a)  y = Mul(c, s)",
        f"{SPLIT}  n = Neg(b)  c = Concat<axis = 2>(a, n)  y = Mul(s, c)",
        f"{SPLIT}  n = Neg(b)  c = Concat<axis = -1>(n, a)  y = Mul(c, s)  "
        "m = Neg(a)  d = Concat<axis = -1>(m, b)  z = Mul(d, s)",
    ],
)
def test_signs_go_into_the_constant(optimize: Optimizer, body: str) -> None:
    assert optimized_body(optimize, body) == 0


@pytest.mark.parametrize(
    "body",
    [
        f"{SPLIT}  n = Neg(b)  c = Concat<axis = -1>(n, a)  y = Mul(c, s)  z = Mul(x, s)",
        f"{SPLIT}  n = Neg(b)  c = Concat<axis = -1>(n, a)  y = Mul(c, s)  z = Relu(n)",
        f"{SPLIT}  n = Neg(b)  c = Concat<axis = -1>(n, a)  y = Mul(c, s)  z = Relu(c)",
        f"{SPLIT}  n = Neg(b)  c = Concat<axis = -1>(n, a)  y = Mul(c, one)",
        f"{SPLIT}  n = Neg(b)  c = Concat<axis = -1>(n, a)  y = Div(c, s)",
    ],
)
def test_left_alone(optimize: Optimizer, body: str) -> None:
    assert optimized_body(optimize, body) == 1


def test_two_products_have_to_negate_the_same_stretch(optimize: Optimizer) -> None:
    body = f"{SPLIT}  n = Neg(b)  c = Concat<axis = -1>(n, a)  y = Mul(c, s)  m = Neg(a)  d = Concat<axis = -1>(b, m)"
    assert optimized_body(optimize, f"{body}  z = Mul(d, s)") == 2
