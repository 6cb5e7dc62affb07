"""Pairs that cancel go, repetitions go, what is not exact stays."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

EDGES = np.array([0, -0.0, 1.5, -2.75, np.inf, -np.inf, np.nan], np.float32)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = Neg(x)  b = Neg(a)", []),
        ("a = Abs(x)  b = Abs(a)", ["Abs"]),
        ("a = Relu(x)  b = Relu(a)", ["Relu"]),
        ("a = Floor(x)  b = Floor(a)", ["Floor"]),
        ("a = Sign(x)  b = Sign(a)", ["Sign"]),
        ("a = Neg(x)  b = Abs(a)", ["Abs"]),
        ("a = Sigmoid(x)  b = Relu(a)", ["Sigmoid"]),
        ("a = Exp(x)  b = Abs(a)", ["Exp"]),
        ("a = Softmax<axis = 0>(x)  b = Relu(a)", ["Softmax"]),
        ("a = Relu(x)  b = Abs(a)", ["Relu", "Abs"]),
        ("a = Reciprocal(x)  b = Reciprocal(a)", ["Reciprocal", "Reciprocal"]),
        ("a = Ceil(x)  b = Floor(a)", ["Ceil", "Floor"]),
    ],
)
def test_floats(optimize: Optimizer, body: str, left: list[str]) -> None:
    text = f'<ir_version: 8, opset_import: ["" : 17]> agraph (float[n] x) => (float[n] y) {{ {body}  y = Identity(b) }}'
    optimized = optimize(text, "eliminate_involutions", "remove_unused")
    assert sorted(optimized.operators.elements()) == sorted([*left, "Identity"])
    assert_equal_outputs(optimized, {"x": EDGES})


def test_negations_of_other_types(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]>
        agraph (int32[n] x, bool[n] p, uint8[n] q) => (int32[n] y, bool[n] r, uint8[n] s) {
            a = Neg(x)  b = Neg(a)  y = Identity(b)
            c = Not(p)  d = Not(c)  r = Identity(d)
            e = BitwiseNot(q)  f = BitwiseNot(e)  s = Identity(f)
        }"""
    optimized = optimize(text, "eliminate_involutions", "remove_unused")
    assert set(optimized.operators) == {"Identity"}
    feeds = {
        "x": np.array([0, -(2**31), 2**31 - 1], np.int32),
        "p": np.array([True, False, True]),
        "q": np.array([0, 7, 255], np.uint8),
    }
    assert_equal_outputs(optimized, feeds)


def test_an_output_in_between_stays(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (float[n] x) => (float[n] a, float[n] y) {
        a = Neg(x)  b = Neg(a)  y = Exp(b)
    }"""
    optimized = optimize(text, "eliminate_involutions", "remove_unused")
    assert sorted(optimized.operators) == ["Exp", "Neg"]
    assert_equal_outputs(optimized)
