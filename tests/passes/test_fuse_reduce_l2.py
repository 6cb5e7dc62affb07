"""fuse_reduce_l2: squares however written, axes wherever the operator set has them."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

NAMES = ("fuse_reduce_l2", "remove_unused")


def model_of(body: str, opset: int, kind: str = "float") -> str:
    """A model of x with the axis 1 as a constant."""
    return f"""<ir_version: 8, opset_import: ["" : {opset}]> agraph ({kind}[2, 3, 4] x) => ({kind}[a, b, c] y)
        <int64[1] axes = {{1}}, {kind} two = {{2}}> {{ {body} }}"""


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("s = Mul(x, x)  t = ReduceSum<axes = [1]>(s)  y = Sqrt(t)", 11),
        ("s = Mul(x, x)  t = ReduceSum(s, axes)  y = Sqrt(t)", 13),
        ("s = Pow(x, two)  t = ReduceSum(s, axes)  y = Sqrt(t)", 17),
        ("s = Mul(x, x)  t = ReduceSum(s, axes)  y = Sqrt(t)", 18),
        ("t = ReduceSumSquare<axes = [-1]>(x)  y = Sqrt(t)", 17),
        ("t = ReduceSumSquare(x, axes)  y = Sqrt(t)", 23),
        ("s = Mul(x, x)  t = ReduceSum(s)  y = Sqrt(t)", 13),
    ],
)
@pytest.mark.parametrize("kind", ["float", "double"])
def test_roots_of_sums_of_squares(optimize: Optimizer, body: str, opset: int, kind: str) -> None:
    optimized = optimize(model_of(body, opset, kind), *NAMES)
    assert optimized.operators == {"ReduceL2": 1}
    assert_equal_outputs(optimized, tolerance=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        "s = Mul(x, two)  t = ReduceSum(s, axes)  y = Sqrt(t)",
        "s = Pow(x, x)  t = ReduceSum(s, axes)  y = Sqrt(t)",
        "s = Mul(x, x)  t = ReduceSum(s, axes)  r = Sqrt(t)  y = Add(r, s)",
        "s = Mul(x, x)  t = ReduceSum<noop_with_empty_axes = 1>(s)  y = Sqrt(t)",
    ],
)
def test_others_stay(optimize: Optimizer, body: str) -> None:
    assert optimize(model_of(body, 18), *NAMES).operators["ReduceL2"] == 0
