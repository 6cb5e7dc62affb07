"""eliminate_masks: what known masks decide goes, what has another shape or could be NaN stays."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from tests.passes.optimizing import Optimizer, assert_equal_outputs, run

NAMES = ("eliminate_masks", "remove_unused")
CONSTANTS = "bool t = {1}, bool f = {0}, bool[3] row = {1, 1, 1}, bool[2, 3] full = {1, 1, 1, 1, 1, 1}, int64 one = {1}"


def model_of(body: str, opset: int = 13) -> str:
    """A model of a mask of open and one of known size, two tensors and integers."""
    return f"""<ir_version: 8, opset_import: ["" : {opset}]> agraph (bool[n, 3] p, bool[2, 3] q, float[n, 3] a,
        float[n, 3] b, int64[2, 3] i, float[3] r, int64[2] s) => (bool[w, x] y, float[u, v] z)
        <{CONSTANTS}> {{ {body} }}"""


@pytest.mark.parametrize("opset", [7, 13, 23])
@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("c = And(p, t)  y = Not(c)  z = Neg(a)", ["Neg", "Not"]),
        ("c = And(row, p)  y = Not(c)  z = Neg(a)", ["Neg", "Not"]),
        ("c = Or(f, p)  y = Not(c)  z = Neg(a)", ["Neg", "Not"]),
        ("c = Xor(p, f)  y = Not(c)  z = Neg(a)", ["Neg", "Not"]),
        ("c = Equal(p, t)  y = Not(c)  z = Neg(a)", ["Neg", "Not"]),
        ("c = And(p, p)  d = Or(c, c)  y = Not(d)  z = Neg(a)", ["Neg", "Not"]),
        ("c = Equal(i, i)  y = And(c, p)  z = Neg(a)", ["And", "Neg"]),
        ("c = And(q, f)  y = Or(c, p)  z = Neg(a)", ["Neg", "Or"]),
        ("c = Or(t, q)  y = And(p, c)  z = Neg(a)", ["And", "Neg"]),
        ("c = Xor(p, t)  y = Not(c)  z = Neg(a)", ["Neg", "Not", "Xor"]),
        ("c = Equal(p, f)  y = Not(c)  z = Neg(a)", ["Equal", "Neg", "Not"]),
        ("c = And(p, full)  y = Not(c)  z = Neg(a)", ["And", "Neg", "Not"]),
        ("c = Xor(p, p)  y = Not(c)  z = Neg(a)", ["Neg", "Not", "Xor"]),
    ],
)
def test_logic(optimize: Optimizer, body: str, left: list[str], opset: int) -> None:
    optimized = optimize(model_of(body, opset), *NAMES)
    assert sorted(optimized.operators.elements()) == left
    assert_equal_outputs(optimized, _feeds())


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("c = Where(p, a, a)  z = Neg(c)  y = Not(p)", ["Neg", "Not"]),
        ("c = Where(t, a, b)  z = Neg(c)  y = Not(p)", ["Neg", "Not"]),
        ("c = Where(f, a, b)  z = Neg(c)  y = Not(p)", ["Neg", "Not"]),
        ("c = Where(p, r, r)  z = Neg(c)  y = Not(p)", ["Neg", "Not", "Where"]),
        ("c = Where(t, r, b)  z = Neg(c)  y = Not(p)", ["Neg", "Not", "Where"]),
        ("y = Equal(a, a)  z = Neg(a)", ["Equal", "Neg"]),
    ],
)
def test_choices(optimize: Optimizer, body: str, left: list[str]) -> None:
    optimized = optimize(model_of(body), *NAMES)
    assert sorted(optimized.operators.elements()) == left
    assert_equal_outputs(optimized, _feeds())


def test_a_mask_computed_of_one_value(optimize: Optimizer) -> None:
    body = "o = ConstantOfShape<value = int64[1] {1}>(s)  c = Equal(o, one)  d = Where(c, a, b)  z = Neg(d)  y = Not(p)"
    optimized = optimize(model_of(body), *NAMES)
    assert sorted(optimized.operators.elements()) in (
        ["Neg", "Not"],
        ["ConstantOfShape", "Equal", "Neg", "Not", "Where"],
    )
    assert_equal_outputs(optimized, _feeds())


def test_a_constant_that_would_be_larger(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 13]> agraph (int64[400, 400] x) => (bool[400, 400] y) {
        c = Equal(x, x)  y = Not(c)
    }"""
    optimized = optimize(text, *NAMES)
    assert optimized.operators == {"Equal": 1, "Not": 1}
    assert any("grow" in reason for reason in optimized.reasons)


def test_a_known_choice_keeps_the_sign_of_zero_that_the_where_of_onnxruntime_loses(optimize: Optimizer) -> None:
    """The operator hands -0.0 on, as onnx's own reference does; onnxruntime makes 0.0 of it where the mask is true."""
    optimized = optimize(model_of("c = Where(t, a, b)  z = Identity(c)  y = Not(p)"), *NAMES)
    feeds = {**_feeds(), "a": np.full((2, 3), -0.0, np.float32)}
    _, by_definition = ReferenceEvaluator(optimized.before).run(None, feeds)
    assert np.signbit(by_definition).all()
    assert np.signbit(run(optimized.after, feeds)[1]).all()
    assert not np.signbit(run(optimized.before, feeds)[1]).any()


def _feeds() -> dict[str, object]:
    random = np.random.default_rng(0)
    return {
        "p": random.random((2, 3)) < 0.5,
        "q": random.random((2, 3)) < 0.5,
        "a": np.array([[1, np.nan, 2], [np.inf, -0.0, 3]], np.float32),
        "b": random.normal(size=(2, 3)).astype(np.float32),
        "i": random.integers(0, 3, (2, 3)),
        "r": random.normal(size=3).astype(np.float32),
        "s": np.array([2, 3]),
    }
