"""Statistics of weights against numpy, for every element type, inline and streamed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from onnxctl.analysis.statistics import BIN_COUNT, weight_statistics
from onnxctl.model.arrays import Array
from onnxctl.model.tensors import DTYPES, Tensor
from onnxctl.reports import WeightStatistics
from tests.model.test_tensors import model_with

REAL = [
    number
    for number in DTYPES
    if number not in (TensorProto.UNDEFINED, TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128)
]


def expect(found: WeightStatistics | None, array: Array) -> None:
    """The statistics are those of the array."""
    assert found is not None
    values = array.astype(np.float64).reshape(-1)
    finite = values[np.isfinite(values)]
    assert found.nan_count == np.isnan(values).sum()
    assert found.inf_count == np.isinf(values).sum()
    assert found.zero_count == (values == 0).sum()
    assert sum(found.histogram) == len(finite)
    assert len(found.histogram) == BIN_COUNT
    if len(finite):
        assert (found.minimum, found.maximum) == (finite.min(), finite.max())
        scale = max(abs(finite).max(), 1e-30)
        assert found.mean == pytest.approx(finite.mean(), abs=1e-7 * scale)
        assert found.std == pytest.approx(finite.std(), abs=1e-6 * scale)
    else:
        assert math.isnan(found.minimum)
        assert math.isnan(found.mean)


@pytest.mark.parametrize("count", [1, 5, 70_001])
@pytest.mark.parametrize("number", REAL, ids=lambda number: DTYPES[number].name)
def test_every_element_type(number: int, count: int, tmp_path: Path) -> None:
    random = np.random.default_rng(number)
    bits = DTYPES[number].bits
    raw = random.integers(0, 256, (count * bits + 7) // 8, dtype=np.uint8).tobytes()
    if number == TensorProto.BOOL:
        raw = bytes(each & 1 for each in raw)
    if number in (TensorProto.FLOAT, TensorProto.DOUBLE):  # of all codes most are too large or small to sum up
        raw = (random.standard_normal(count) * 1e3).astype(helper.tensor_dtype_to_np_dtype(number)).tobytes()
    proto = TensorProto(name="w", dims=[count], data_type=number, raw_data=raw)
    model = model_with(proto, tmp_path)
    expect(weight_statistics(model.tensor(model.proto.graph.initializer[0])), numpy_helper.to_array(proto))


@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.inf, -np.inf, np.nan]), min_size=1, max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_floats(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    expect(weight_statistics(Tensor(numpy_helper.from_array(array), None)), array)


def test_the_widest_range_has_a_histogram() -> None:
    array = np.array([-1.7e308, 1.7e308, 0.0])
    found = weight_statistics(Tensor(numpy_helper.from_array(array), None))
    assert found is not None
    assert (found.histogram[0], found.histogram[BIN_COUNT // 2], found.histogram[-1]) == (1, 1, 1)


def test_typed_fields_count_as_well() -> None:
    proto = helper.make_tensor("w", TensorProto.FLOAT16, [3], [1.0, 0.0, -2.0])
    expect(weight_statistics(Tensor(proto, None)), np.array([1.0, 0.0, -2.0]))


def test_a_large_mean_does_not_drown_the_deviation() -> None:
    array = (1e8 + np.random.default_rng(0).standard_normal(100_000)).astype(np.float64)
    found = weight_statistics(Tensor(numpy_helper.from_array(array), None))
    assert found is not None
    assert found.std == pytest.approx(array.std(), rel=1e-9)


def test_equal_digests_mean_equal_tensors() -> None:
    def digest(array: Array) -> str:
        found = weight_statistics(Tensor(numpy_helper.from_array(array), None))
        assert found is not None
        return found.digest

    base = np.arange(6, dtype=np.float32)
    assert digest(base) == digest(base.copy())
    assert len({digest(base), digest(base.reshape(2, 3)), digest(base.view(np.int32)), digest(base + 1)}) == 4


def test_no_statistics_of_strings_and_nothing() -> None:
    assert (
        weight_statistics(Tensor(TensorProto(dims=[1], data_type=TensorProto.STRING, string_data=[b"x"]), None)) is None
    )
    assert weight_statistics(Tensor(numpy_helper.from_array(np.zeros((0, 3), np.float32)), None)) is None
