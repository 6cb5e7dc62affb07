"""What counts as the same answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.runtime.tolerance import QUANTIZED_TOLERANCE, compare_values, merge, slack_of, tolerance_of
from tests.runtime.models import write_model

NAN, INF = float("nan"), float("inf")


def f32(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, min_side=0), elements=st.floats(width=32)))
def test_everything_equals_itself(value: np.ndarray[Any, Any]) -> None:
    found = compare_values("y", value, value.copy(), tolerance=0.0)
    assert found.equal
    assert found.max_absolute == found.max_relative == 0


DIFFERENT = {
    "another value": (f32(1, 2), f32(1, 2.1)),
    "another shape": (f32(1, 2), f32(1, 2).reshape(1, 2)),
    "another type": (f32(1, 2), f32(1, 2).astype(np.float64)),
    "a NaN where there was none": (f32(1, 2), f32(1, NAN)),
    "no NaN where there was one": (f32(1, NAN), f32(1, 2)),
    "an infinity of the other sign": (f32(1, INF), f32(1, -INF)),
    "an infinity for a number": (f32(1, 2), f32(1, INF)),
    "a NaN for an infinity": (f32(1, INF), f32(1, NAN)),
    "one integer": (np.arange(9), np.arange(9) + (np.arange(9) == 3)),
    "one truth": (np.array([True, False]), np.array([True, True])),
    "one word": (np.array(["a", "b"], object), np.array(["a", "c"], object)),
    "a shorter sequence": ([f32(1), f32(2)], [f32(1)]),
    "an item of a sequence": ([f32(1), f32(2)], [f32(1), f32(3)]),
    "a key of a map": ({"a": 1.0}, {"b": 1.0}),
    "a value of a map": ([{"a": 1.0}], [{"a": 1.5}]),
    "nothing": (f32(1), None),
    "a small value beside masks of -1e9": (f32(*[-1e9] * 3, *[0.5] * 97), f32(*[-1e9] * 3, 0.6, *[0.5] * 96)),
    "a small value beside the lowest number": (f32(-3.4e38, *[0.5] * 9), f32(-3.4e38, 0.6, *[0.5] * 8)),
    "zeros for values": (f32(1e-9, 2e-9), f32(0, 0)),
    "values for zeros": (f32(0, 0), f32(1e-9, 0)),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_difference_is_seen_and_told(case: str) -> None:
    a, b = DIFFERENT[case]
    found = compare_values("y", a, b, tolerance=1e-4)
    assert not found.equal
    assert found.message


SAME = {
    "rounding": (f32(1, -2, 3), f32(1, -2, 3) * np.float32(1 + 2e-6)),
    "a small value rounded beside large ones": (f32(100, -50, 1e-6), f32(100, -50, 1.5e-6)),
    "NaN and infinities at the same places": (f32(1, NAN, INF, -INF), f32(1, NAN, INF, -INF)),
    "maps": ([{"a": 1.0}], [{"a": 1.0 + 1e-7}]),
    "no elements": (f32(), f32()),
    "two absent optionals": (None, None),
}


@pytest.mark.parametrize("case", SAME)
def test_rounding_is_no_difference(case: str) -> None:
    a, b = SAME[case]
    assert compare_values("y", a, b, tolerance=1e-4).equal


def test_an_output_without_a_finite_number_says_so() -> None:
    assert compare_values("y", f32(NAN, NAN), f32(NAN, NAN), tolerance=1e-4).message == "not one finite number"


def test_few_flips_of_rounding_are_allowed_only_where_floats_decide() -> None:
    a = np.zeros(10_000, np.int64)
    few, many = a.copy(), a.copy()
    few[:10], many[:11] = 1, 1
    assert compare_values("y", a, few, tolerance=1e-4, may_flip=True).equal
    assert "10 of 10000" in compare_values("y", a, few, tolerance=1e-4, may_flip=True).message
    assert not compare_values("y", a, many, tolerance=1e-4, may_flip=True).equal
    assert not compare_values("y", a, few, tolerance=1e-4, may_flip=False).equal


def _tolerance(folder: Path, text: str) -> float:
    return tolerance_of(ModelGraphs(open_model(write_model(folder, text))))


def test_the_tolerance_fits_type_and_depth(tmp_path: Path) -> None:
    single = _tolerance(tmp_path, "g (float[2] x) => (float[2] y) { y = Exp(x) }")
    assert single == pytest.approx(32 * 2.0**-23)
    deep = _tolerance(
        tmp_path, "g (float[2] x) => (float[2] y) { a = Exp(x) \n b = Exp(a) \n c = Exp(b) \n y = Exp(c) }"
    )
    assert deep == pytest.approx(2 * single)
    assert _tolerance(tmp_path, "g (double[2] x) => (double[2] y) { y = Exp(x) }") < 1e-13
    assert _tolerance(tmp_path, "g (float16[2] x) => (float[2] y) { y = Cast<to=1>(x) }") > 1e-3
    inside = "g (float[2] x) => (float[2] y) { h = Cast<to=10>(x) \n y = Cast<to=1>(h) }"
    assert _tolerance(tmp_path, inside) > 1e-3
    quantized = "g (float[2] x) => (y) <float s = {0.1}, uint8 z = {0}> { y = QuantizeLinear(x, s, z) }"
    assert _tolerance(tmp_path, quantized) == QUANTIZED_TOLERANCE


def test_outputs_of_sigmoid_may_be_off_a_little_beside_one(tmp_path: Path) -> None:
    text = "g (float[n] x) => (float[1, n] y, float[n] z, float[n] e) <int64[1] a = {0}>"
    path = write_model(tmp_path, text + "{ s = Sigmoid(x) \n y = Unsqueeze(s, a) \n z = Softmax(x) \n e = Exp(s) }")
    graphs = ModelGraphs(open_model(path))
    slack = slack_of(graphs, "y")
    assert 1e-6 < slack < 3e-6
    assert (slack_of(graphs, "z"), slack_of(graphs, "e")) == (0.0, 0.0)
    tiny = np.full(100, 1e-7, np.float32)
    assert not compare_values("y", tiny, tiny + np.float32(1e-6), tolerance=1e-5).equal
    assert compare_values("y", tiny, tiny + np.float32(1e-6), tolerance=1e-5, slack=slack).equal
    assert not compare_values("y", tiny, tiny + np.float32(1e-4), tolerance=1e-5, slack=slack).equal


def test_of_several_runs_the_message_is_that_of_the_worst() -> None:
    runs = [compare_values("y", f32(1, 2), f32(1, other), tolerance=0.01) for other in (2, 2.1, 3, 2.2)]
    merged = merge(runs)
    assert not merged.equal
    assert (merged.max_relative, merged.message) == (runs[2].max_relative, runs[2].message)
