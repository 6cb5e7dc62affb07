"""Clamps in a row become one; infinite bounds become none."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs, run

EDGES = np.array([0, -0.0, 1.5, -2.75, 7, 100, np.inf, -np.inf, np.nan], np.float32)
BOUNDS = (
    "float zero = {0}, float one = {1}, float two = {2}, float six = {6}, float ten = {10}, float minus = {-1},"
    " float[1] list = {3}"
)


def _model(body: str, opset: int = 17) -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[n] x, float bound) => (float[n] y)'
        f" <{BOUNDS}> {{ {body}  y = Identity(b) }}"
    )


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("b = Clip(x)", ["Clip"]),
        ("a = Clip(x, low, high)  b = Clip(a, low, high)", []),
        ("a = Clip(x, low, one)  b = Clip(a, minus)", ["Clip"]),
        ("a = Clip(x)  b = Clip(a, low, high)", ["Clip"]),
        ("a = Clip(x, zero, six)  b = Clip(a, one, ten)", ["Clip"]),
        ("a = Clip(x, zero, one)  b = Clip(a, two, ten)", ["Clip"]),
        ("a = Clip(x, zero)  b = Clip(a, , six)", ["Clip"]),
        ("a = Clip(x, zero, six)  b = Relu(a)", ["Clip"]),
        ("a = Clip(x, one, six)  b = Clip(a, zero, ten)", ["Clip"]),
        ("a = Relu(x)  b = Clip(a, minus, six)", ["Clip"]),
        ("a = Relu(x)  b = Clip(a)", ["Clip"]),
        ("a = Relu(x)  b = Clip(a, minus, high)", ["Relu"]),
        ("a = Clip(x, minus)  b = Relu(a)", ["Clip"]),
        ("a = Relu(x)  b = Relu(a)", ["Relu", "Relu"]),
        ("a = Clip(x, bound)  b = Clip(a, zero)", ["Clip", "Clip"]),
        ("a = Clip(x, six, zero)  b = Clip(a, zero)", ["Clip", "Clip"]),
        ("c = Clip(x, zero, ten)  a = Clip(c, one, six)  b = Clip(a, two)", ["Clip"]),
    ],
)
def test_chains(optimize: Optimizer, body: str, left: list[str]) -> None:
    model = onnx.parser.parse_model(_model(body))
    for name, bound in (("low", -np.inf), ("high", np.inf)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(bound, np.float32), name))
    optimized = optimize(model, "merge_clips", "remove_unused")
    assert sorted(optimized.operators.elements()) == sorted([*left, "Identity"])
    assert_equal_outputs(optimized, {"x": EDGES, "bound": np.array(0.5, np.float32)})


def test_a_first_clamp_that_others_read_stays(optimize: Optimizer) -> None:
    optimized = optimize(_model("a = Clip(x, zero, six)  c = Clip(a, one)  d = Exp(a)  b = Add(c, d)"), "merge_clips")
    assert optimized.operators["Clip"] == 2
    assert optimized.reasons == ["others read what the first of the two clamps gives"]


def test_integer_bounds_at_the_ends_of_the_type(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (int8[n] x) => (int8[n] y)
        <int8 low = {-128}, int8 high = {127}, int8 five = {5}>
        { a = Clip(x, low, high)  b = Clip(a, five)  y = Identity(b) }"""
    optimized = optimize(text, "merge_clips", "remove_unused")
    assert optimized.operators["Clip"] == 1
    assert_equal_outputs(optimized, {"x": np.array([-128, 0, 4, 5, 127], np.int8)})


def test_bounds_as_attributes_are_left_alone(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 10]> agraph (float[n] x) => (float[n] y)
        { a = Clip<min = 0.0, max = 6.0>(x)  y = Clip<min = 1.0>(a) }"""
    assert optimize(text, "merge_clips").operators["Clip"] == 2


def test_a_bound_that_takes_more_than_the_clamp_that_goes(optimize: Optimizer) -> None:
    """Relu has its bound for nothing, and the Clip before it has none."""
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17]> agraph (float[n] x) => (float[n] y) { a = Clip(x)  y = Relu(a) }""",
        "merge_clips",
    )
    assert optimized.operators == {"Clip": 1, "Relu": 1}
    assert any("larger" in reason for reason in optimized.reasons)


def test_zeros_keep_their_sign(optimize: Optimizer) -> None:
    """Everything becomes the 0 of the second: one Clip from 0 to 0 would let -0.0 through."""
    optimized = optimize(_model("a = Clip(x, one, six)  b = Clip(a, zero, zero)"), "merge_clips")
    feeds = {"x": EDGES, "bound": np.array(0, np.float32)}
    old, new = (run(model, feeds)[0] for model in (optimized.before, optimized.after))
    np.testing.assert_array_equal(np.signbit(new), np.signbit(old))
