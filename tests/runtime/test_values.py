"""What is said of values: ranges of finite numbers, counts of the others, and short samples that can't grow."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxctl.model.arrays import Array
from onnxctl.runtime.values import from_onnxruntime, summarize_value, to_onnxruntime


def test_nan_and_infinities_are_counted_apart_from_the_range() -> None:
    value = np.array([1.0, np.nan, np.inf, -np.inf, -3.0, np.nan], np.float32)
    summary = summarize_value("x", "float32[6]", value, "by hand")
    assert (summary.minimum, summary.maximum, summary.mean) == (-3.0, 1.0, -1.0)
    assert (summary.nan_count, summary.inf_count) == (2, 2)
    assert (summary.dtype, summary.shape, summary.source) == ("float32", (6,), "by hand")


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, min_side=0), elements=st.floats(width=32)))
def test_the_summary_of_any_array_is_numpy_s_own(value: Array) -> None:
    summary = summarize_value("x", "", value)
    finite = value[np.isfinite(value)]
    assert summary.shape == value.shape
    assert summary.minimum == (float(finite.min()) if finite.size else None)
    assert summary.maximum == (float(finite.max()) if finite.size else None)
    assert summary.nan_count + summary.inf_count + finite.size == value.size


@pytest.mark.parametrize("number", [np.int64(2**62), np.uint8(255), np.bool_(True)])
def test_exact_types_keep_their_values(number: np.generic) -> None:
    summary = summarize_value("x", "", np.array([number]))
    assert summary.minimum == summary.maximum == float(number)


def test_strings_sequences_and_maps_have_samples() -> None:
    assert summarize_value("s", "", np.array(["a", "b" * 90], dtype=object)).sample.startswith("'a', 'bbb")
    assert len(summarize_value("s", "", np.array(["b" * 900], dtype=object)).sample) < 40
    sequence = [np.zeros((2, 3), np.float32)] * 9
    assert summarize_value("q", "seq(tensor(float))", sequence).sample.startswith("9 items: float32[2, 3], ")
    assert (
        summarize_value("m", "", [{"ulm": 0.25}, {"ulm": 1.0}]).sample
        == "2 items: 1 entries {'ulm': 0.25}; 1 entries {'ulm': 1}"
    )
    assert summarize_value("n", "", None).sample == "(none)"
    assert summarize_value("e", "", []).sample == "0 items"


@pytest.mark.parametrize(
    ("number", "dtype", "count"),
    [(16, ml_dtypes.bfloat16, 5), (17, ml_dtypes.float8_e4m3fn, 5), (22, ml_dtypes.int4, 5), (21, ml_dtypes.uint4, 6)],
)
def test_types_numpy_does_not_know_survive_the_way_through_onnxruntime(number: int, dtype: type, count: int) -> None:
    array: Array = np.arange(1, count + 1).astype(dtype)
    value = to_onnxruntime(array, number)
    assert not isinstance(value, np.ndarray)
    back = from_onnxruntime(value)
    assert back.dtype == array.dtype
    assert back.astype(np.float32).tolist() == array.astype(np.float32).tolist()


def test_native_arrays_are_passed_as_they_are() -> None:
    array = np.zeros(3, np.float16)
    assert to_onnxruntime(array, 10) is array
