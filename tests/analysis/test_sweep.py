"""Cost and memory for series of sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

import onnxctl
from onnxctl.errors import UsageError
from tests.analysis.cost.counted import model_of
from tests.conftest import SAMPLES

BLOCK = str(SAMPLES / "transformer_block.onnx")


def test_each_point_is_what_these_sizes_alone_give() -> None:
    points = onnxctl.inspect(BLOCK, dims={"batch": 2}, sweep={"sequence": [1, 5, 32]}).sweep
    assert points is not None
    assert [point.dims for point in points] == [(("sequence", 1),), (("sequence", 5),), (("sequence", 32),)]
    for point in points:
        alone = onnxctl.inspect(BLOCK, cost=True, memory=True, dims={"batch": 2, **dict(point.dims)})
        assert alone.cost is not None and alone.memory is not None
        assert (point.macs, point.flops) == (alone.cost.macs.value, alone.cost.flops.value)
        assert point.peak_bytes == alone.memory.peak_bytes
        assert point.symbols == ()


def test_two_series_make_every_combination() -> None:
    points = onnxctl.inspect(BLOCK, sweep={"batch": [1, 2], "sequence": [3, 4]}).sweep
    assert points is not None
    assert [tuple(size for _, size in point.dims) for point in points] == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_what_is_left_open_is_named() -> None:
    points = onnxctl.inspect(BLOCK, sweep={"sequence": [8]}).sweep
    assert points is not None
    assert points[0].macs is points[0].peak_bytes is None
    assert points[0].symbols == ("batch",)


def test_a_symbol_must_be_the_models() -> None:
    with pytest.raises(UsageError, match="sequense"):
        onnxctl.inspect(BLOCK, sweep={"sequense": [1]})


def test_contradictions_belong_to_their_point(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    text = "g (float[a, 4] x, float[b, 4] y) => (float[?, 4] z) { z = Add (x, y) }"
    path.write_bytes(model_of(text).SerializeToString())
    points = onnxctl.inspect(str(path), dims={"a": 3}, sweep={"b": [3, 5]}).sweep
    assert points is not None
    assert [len(point.contradictions) for point in points] == [0, 1]
