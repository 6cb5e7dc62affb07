"""Sizes told beforehand against what onnxruntime then computes: never too small, and exact where the rule is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from onnxctl.model.arrays import Array
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.passes.sizes import Extent, byte_bound, of_shape, result_extent
from tests.passes.optimizing import run

CONSTANTS = (
    "float[2, 1, 3] a = {1, 2, 3, 4, 5, 6}, float[4, 1] b = {1, 2, 3, 4}, int64[3] shape = {2, 3, 3},"
    "int64[3] ones = {1, 2, 2}, int64[6] pads = {1, 0, 2, 0, 1, 0}, int64[2] axes = {0, 4}, int64[1] minus = {-1},"
    "int64 low = {2}, int64 high = {11}, int64 step = {4}, int64 depth = {5}, float[2] values = {0, 1},"
    "int64[2, 2] ids = {0, 1, 1, 0}, int64[1] k = {2}, int64[1] first = {1}, int64[1] last = {9}, int64[1] where = {2},"
    "int64[2] two = {3, 2}"
)

EXACT = [
    "y = Add(a, b)",
    "y = Sqrt(a)",
    "y = ConstantOfShape(shape)",
    "y = Expand(a, shape)",
    "y = Tile(a, ones)",
    "y = Range(low, high, step)",
    "y = Pad(a, pads)",
    "y = Reshape(a, two)",
    "y = Gather<axis = 0>(a, ids)",
    "y = Gather<axis = -1>(a, ids)",
    "y = Concat<axis = 1>(a, a, a)",
    "y = Unsqueeze(a, axes)",
]

BOUNDED = [
    "y = Reshape(a, minus)",
    "y = OneHot(ids, depth, values)",
    "y = Slice(a, first, last, where)",
    "y = Transpose(a)",
    "y = ReduceSum(a)",
    "y = Squeeze(a)",
    "y, z = Split<axis = 0>(a)",
    "y, z = TopK(a, k)",
    "y = CumSum(a, low)",
    "y = Shape(a)",
]


def _extents(tmp_path: Path, body: str) -> tuple[Extent | None, Sequence[Array]]:
    """What the rules say of the node, without shape inference, and what it gives."""
    outputs = body.split("=")[0].strip().split(", ")
    text = f'<ir_version: 8, opset_import: ["" : 17]> agraph () => ({", ".join(f"float[] {o}" for o in outputs)})'
    model = onnx.parser.parse_model(f"{text} <{CONSTANTS}> {{ {body} }}")
    for value in model.graph.output:
        value.ClearField("type")
    source = tmp_path / "model.onnx"
    source.write_bytes(model.SerializeToString())
    graph = ModelGraphs(open_model(str(source))).top
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    [node] = graph.nodes
    operands = [of_shape(arrays[name].shape) for name in node.input]
    extent = result_extent(graph, node, operands, lambda name: arrays[name].reshape(-1).tolist())
    return extent, run(model, {})


@pytest.mark.parametrize("body", EXACT)
def test_exact(tmp_path: Path, body: str) -> None:
    extent, [result] = _extents(tmp_path, body)
    assert extent == of_shape(result.shape)


@pytest.mark.parametrize("body", BOUNDED)
def test_bounded(tmp_path: Path, body: str) -> None:
    extent, results = _extents(tmp_path, body)
    assert extent is not None
    assert extent.element_count >= max(each.size for each in results)
    assert extent.element_count <= 20


def test_what_has_no_rule_is_left_to_shape_inference(tmp_path: Path) -> None:
    assert _extents(tmp_path, "y = NonZero(a)")[0] is None


def test_bytes_of_packed_and_unknown_types() -> None:
    assert byte_bound(of_shape([3, 3]), onnx.TensorProto.INT4) == 5
    assert byte_bound(of_shape([3]), onnx.TensorProto.FLOAT) == 12
    assert byte_bound(of_shape([3]), None) == 48
