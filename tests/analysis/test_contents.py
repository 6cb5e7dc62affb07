"""The weights, read: statistics, copies, and what can't be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxctl
from tests.conftest import sample_paths


def model_with(*tensors: TensorProto, folder: Path) -> str:
    graph = helper.make_graph([], "g", [], [], list(tensors))
    path = folder / "weights.onnx"
    path.write_bytes(helper.make_model(graph, ir_version=10).SerializeToString())
    return str(path)


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.name)
def test_statistics_are_those_of_numpy(path: Path) -> None:
    weights = onnxctl.inspect(str(path), values=True).weights
    assert weights is not None
    loaded = {each.name: numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}
    for weight in weights:
        values = loaded.get(weight.name)
        if values is None or weight.scope or values.dtype.kind not in "fiu" or not values.size:
            continue
        assert weight.statistics is not None
        assert weight.statistics.minimum == values.min()
        assert weight.statistics.maximum == values.max()
        assert weight.statistics.mean == pytest.approx(values.mean(dtype=np.float64), rel=1e-5, abs=1e-7)
        assert weight.statistics.zero_count == np.count_nonzero(values == 0)
        assert sum(weight.statistics.histogram) == values.size


def test_copies_name_the_first(tmp_path: Path) -> None:
    one = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = model_with(
        numpy_helper.from_array(one, "a"),
        numpy_helper.from_array(one + 1, "b"),
        numpy_helper.from_array(one, "c"),
        numpy_helper.from_array(one.reshape(3, 2), "d"),
        numpy_helper.from_array(one.astype(np.float64), "e"),
        folder=tmp_path,
    )
    weights = onnxctl.inspect(path, values=True).weights
    assert weights is not None
    assert {weight.name: weight.same_as for weight in weights} == {"a": "", "b": "", "c": "a", "d": "", "e": ""}


def test_what_cannot_be_read_is_told_and_is_no_error(tmp_path: Path) -> None:
    lost = TensorProto(name="lost", dims=[4], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    lost.external_data.add(key="location", value="not_there.bin")
    path = model_with(lost, numpy_helper.from_array(np.ones(2, np.float32), "here"), folder=tmp_path)
    weights = onnxctl.inspect(path, values=True).weights
    assert weights is not None
    assert "not_there.bin" in weights[0].problem
    assert weights[0].statistics is None
    assert weights[1].statistics is not None
    listed = onnxctl.inspect(path, weights=True).weights
    assert listed is not None and [each.problem for each in listed] == ["", ""]


def test_progress_is_told_where_reading_takes_time(tmp_path: Path) -> None:
    big = [numpy_helper.from_array(np.full(400_000, index, np.float32), f"w{index}") for index in range(3)]
    told: list[str] = []
    onnxctl.inspect(model_with(*big, folder=tmp_path), values=True, progress=told.append)
    assert told == [f"reading weights: {megabytes} of 4 MB" for megabytes in (0, 1, 3)]


def test_values_without_an_order_say_so(tmp_path: Path) -> None:
    path = model_with(
        numpy_helper.from_array(np.array([1 + 2j], np.complex64), "a"),
        numpy_helper.from_array(np.array([1 + 2j], np.complex128), "b"),
        numpy_helper.from_array(np.array(["word"], object), "c"),
        folder=tmp_path,
    )
    weights = onnxctl.inspect(path, values=True).weights or ()
    assert [each.problem for each in weights] == [*["complex numbers have no range"] * 2, "text has no range"]
    assert [each.statistics for each in weights] == [None] * 3
