"""Operands are not stretched before operators that do it themselves; nothing is resized or reduced by nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs, run

CONSTANTS = (
    "int64[3] ones = {1, 1, 1}, float two = {2}, int64[1] l1 = {1}, int64[1] l0 = {0}, int64[2] l12 = {1, 2},"
    " float[4] same = {1, 1, 1, 1}, float[4] double = {1, 1, 2, 2}"
)


def _model(body: str, opset: int = 17, result: str = "p, q, r") -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[n, m, 4] x, float[m, 1] w, float[n, 1, 1] v) =>'
        f" (float[{result}] y) <{CONSTANTS}> {{ {body} }}"
    )


def _feeds(n: int = 2, m: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"x": (n, m, 4), "w": (m, 1), "v": (n, 1, 1)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("s = Shape(x)  e = Expand(w, s)  y = Add(x, e)", {"Add": 1}),
        ("s = Shape(x)  e = Expand(w, s)  y = Sub(e, x)", {"Sub": 1}),
        ("s = Shape(x)  e = Expand(w, s)  f = Expand(v, s)  y = Max(x, e, f)", {"Max": 1}),
        ("s = Shape(x)  e = ConstantOfShape<value = float[1] {3}>(s)  y = Min(x, e)", {"Min": 1}),
        ("s = Shape(x)  e = ConstantOfShape(s)  c = Less(x, e)  y = Where(c, e, x)", {"Less": 1, "Where": 1}),
        (
            "s = Shape(x)  e = ConstantOfShape(s)  u = Unsqueeze(e, l0)  q = Squeeze(u, l0)  y = Add(x, q)",
            {"Add": 1},
        ),
        ("s = Shape(x)  e = Expand(w, s)  y = Add(w, e)", {"Shape": 1, "Expand": 1, "Add": 1}),
        ("s = Shape(x)  e = Expand(two, s)  y = Add(w, e)", {"Shape": 1, "Expand": 1, "Add": 1}),
        ("s = Shape(x)  e = Expand(w, s)  y = Concat<axis = 0>(x, e)", {"Shape": 1, "Expand": 1, "Concat": 1}),
        ("s = Shape(x)  t = ConstantOfShape<value = bool[1] {1}>(s)  z = Neg(x)  y = Where(t, z, w)", {"Neg": 1}),
        ("s = Shape(x)  t = ConstantOfShape<value = bool[1] {0}>(s)  z = Neg(x)  y = Where(t, w, z)", {"Neg": 1}),
    ],
)
def test_expansions(optimize: Optimizer, body: str, left: dict[str, int]) -> None:
    optimized = optimize(_model(body), "eliminate_masks", "eliminate_expand", "remove_unused")
    assert optimized.operators == left
    for sizes in ((2, 3), (1, 1), (3, 1)):
        assert_equal_outputs(optimized, _feeds(*sizes))


def test_a_condition_that_stretches_the_result_stays(optimize: Optimizer) -> None:
    body = "s = Shape(x)  t = ConstantOfShape<value = bool[1] {1}>(s)  y = Where(t, w, v)"
    optimized = optimize(_model(body), "eliminate_expand", "remove_unused")
    assert optimized.operators["Where"] == 1
    assert_equal_outputs(optimized, _feeds())


@pytest.mark.parametrize("opset", [11, 17, 18])
@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions_over_axes_of_size_one(optimize: Optimizer, opset: int, operator: str, keepdims: int) -> None:
    takes_input = opset >= (13 if operator == "ReduceSum" else 18)
    body = (
        f"a = Neg(v)  b = {operator}<keepdims = {keepdims}>(a, l12)"
        if takes_input
        else f"a = Neg(v)  b = {operator}<keepdims = {keepdims}, axes = [1, -1]>(a)"
    )
    optimized = optimize(
        _model(f"{body}  y = Exp(b)", opset, "p, q, r" if keepdims else "p"),
        "eliminate_add_zero" if operator in ("ReduceSum", "ReduceMean") else "eliminate_reductions",
        "remove_unused",
    )
    assert optimized.operators[operator] == 0
    assert optimized.operators["Squeeze"] == 1 - keepdims
    assert_equal_outputs(optimized, _feeds())


@pytest.mark.parametrize(("kind", "left"), [("float", 1), ("int64", 0)])
@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMean"])
def test_exact_passes_leave_sums_of_one_float_since_minus_zero_becomes_zero(
    optimize: Optimizer, operator: str, kind: str, left: int
) -> None:
    optimized = optimize(
        f"""<ir_version: 8, opset_import: ["" : 18]> agraph ({kind}[2, 1, n] x) => ({kind}[2, 1, n] y)
            <int64[1] middle = {{1}}> {{ a = {operator}(x, middle)  y = Neg(a) }}""",
        "eliminate_reductions",
        "remove_unused",
    )
    assert optimized.operators[operator] == left
    if left:
        (negated,) = run(optimized.before, {"x": np.full((2, 1, 4), -0.0, np.float32)})
        assert np.signbit(negated).all()


@pytest.mark.parametrize("body", ["y = ReduceSum(x, l1)", "y = ReduceSum(x)", "y = ReduceL2<axes = [1]>(v)"])
def test_other_reductions_stay(optimize: Optimizer, body: str) -> None:
    optimized = optimize(_model(body), "eliminate_reductions", "remove_unused")
    assert sum(optimized.operators.values()) == 1


def _resize(arguments: str, attributes: str = "") -> str:
    return f"""<ir_version: 8, opset_import: ["" : 17]> agraph (float[n, 2, 3, 4] x) => (float[p, q, r, s] y)
        <float[4] one = {{1, 1, 1, 1}}, float[4] near = {{1, 1, 1.1, 1}}, float[4] two = {{1, 1, 2, 2}},
         float[8] region = {{0, 0, 0, 0, 1, 1, 0.5, 1}}>
        {{ a = Abs(x)  k = Shape(a)  b = Resize{attributes}(a, {arguments})  y = Neg(b) }}"""


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("arguments", [", one", ", , k"])
def test_resize_by_one(optimize: Optimizer, mode: str, coordinates: str, arguments: str) -> None:
    attributes = f'<mode = "{mode}", coordinate_transformation_mode = "{coordinates}">'
    optimized = optimize(_resize(arguments, attributes), "eliminate_resize", "remove_unused")
    assert optimized.operators == {"Abs": 1, "Neg": 1}
    assert_equal_outputs(optimized, tolerance=1e-6)


@pytest.mark.parametrize(
    ("arguments", "attributes"),
    [
        (", two", ""),
        (", near", ""),
        ("region, , k", '<mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize">'),
    ],
)
def test_other_resizes_stay(optimize: Optimizer, arguments: str, attributes: str) -> None:
    optimized = optimize(_resize(arguments, attributes), "eliminate_resize", "remove_unused")
    assert optimized.operators["Resize"] == 1
