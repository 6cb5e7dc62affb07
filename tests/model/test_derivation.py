"""Derived weights: described, computed when they are read, and the same bytes as if they had been computed at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxctl.model.arrays import Array
from onnxctl.model.derivation import Derivation, Stretch, join, scale, transpose
from onnxctl.model.loading import Model, open_model
from onnxctl.model.saving import save
from onnxctl.model.tensors import Tensor

Make = Callable[[Tensor, Tensor], tuple[Derivation, Callable[[Array, Array], Array]]]

WAYS: dict[str, Make] = {
    "transposed": lambda a, b: (transpose(a, (1, 0)), lambda x, y: x.T),
    "transposed in three": lambda a, b: (transpose(_as(a, 10, 14, 70), (2, 0, 1)), _in_three),
    "scaled": lambda a, b: (scale(a, 0.3), lambda x, y: (x.astype("f8") * 0.3).astype(x.dtype)),
    "a stretch scaled": lambda a, b: (scale(a, 0.5, Stretch(1, 3, 50)), _half_of_a_stretch),
    "scaled by rows": lambda a, b: (scale(a, _row_factors()), lambda x, y: (x * _row_factors()).astype(x.dtype)),
    "joined": lambda a, b: (join([a, b, a], 1), lambda x, y: np.concatenate([x, y, x], 1)),
    "joined rows": lambda a, b: (join([a, b], 0), lambda x, y: np.concatenate([x, y], 0)),
}


def _as(tensor: Tensor, *shape: int) -> Tensor:
    proto = TensorProto()
    proto.CopyFrom(tensor.proto)
    proto.dims[:] = shape
    return Tensor(proto, tensor.payload)


def _row_factors() -> Array:
    return np.linspace(-1, 1, 140).reshape(140, 1)


def _in_three(x: Array, y: Array) -> Array:
    return x.reshape(10, 14, 70).transpose(2, 0, 1)


def _half_of_a_stretch(x: Array, y: Array) -> Array:
    result = x.copy()
    result[:, 3:50] = (result[:, 3:50].astype("f8") * 0.5).astype(x.dtype)
    return result


def _two_weights(path: Path, dtype: str) -> tuple[Model, Array, Array]:
    random = np.random.default_rng(0)
    first, second = (random.normal(size=(140, 70)).astype(dtype) for _ in range(2))
    tensors = [numpy_helper.from_array(first, "a"), numpy_helper.from_array(second, "b")]
    output = helper.make_tensor_value_info("y", tensors[0].data_type, None)
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", [], [output], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return open_model(str(path)), first, second


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["float32", "float16", ml_dtypes.bfloat16])
def test_a_derived_weight_has_the_values_that_numpy_computes(tmp_path: Path, way: str, dtype: str) -> None:
    model, first, second = _two_weights(tmp_path / "m.onnx", dtype)
    a, b = map(model.tensor, model.proto.graph.initializer)
    derivation, compute = WAYS[way](a, b)
    expected = np.ascontiguousarray(compute(first, second))
    tensor = model.tensor(model.derived_tensor("d", derivation))
    assert tensor.payload is not None and tensor.payload.derivation is derivation
    assert tensor.shape == expected.shape
    raw = expected.tobytes()
    assert tensor.numpy().tobytes() == raw
    assert tensor.payload.read() == raw == b"".join(tensor.payload.chunks(1000))
    for start, length in ((0, 64), (1, 3), (len(raw) // 3, 77), (len(raw) - 64, 64)):
        assert tensor.payload.read_part(start, length) == raw[start : start + length]
    positions = np.random.default_rng(1).integers(0, math.prod(expected.shape), 40)
    assert tensor.elements(positions).tobytes() == expected.reshape(-1)[positions].tobytes()


def test_a_number_without_axes_is_scaled(tmp_path: Path) -> None:
    model, _, _ = _two_weights(tmp_path / "m.onnx", "float32")
    number = model.tensor(model.new_tensor("n", np.array(3.0, np.float32)))
    scaled = model.tensor(model.derived_tensor("n", scale(number, 0.5)))
    assert scaled.shape == ()
    assert scaled.numpy() == np.float32(1.5)


def test_a_derivation_keeps_what_it_is_made_of(tmp_path: Path) -> None:
    """The initializer that it reads takes on the derived values itself, as passes do: no circle comes of that."""
    model, first, _ = _two_weights(tmp_path / "m.onnx", "float32")
    stored = model.proto.graph.initializer[0]
    for axes in ((1, 0), (1, 0), (1, 0)):
        stored.CopyFrom(model.derived_tensor("a", transpose(model.tensor(stored), axes)))
    assert np.array_equal(model.tensor(stored).numpy(), first.T)


def test_a_long_way_is_computed_before_it_gets_longer(tmp_path: Path) -> None:
    model, first, _ = _two_weights(tmp_path / "m.onnx", "float32")
    stored = model.proto.graph.initializer[0]
    for _ in range(2000):  # deeper than Python's stack
        stored.CopyFrom(model.derived_tensor("a", scale(model.tensor(stored), -1.0)))
    assert np.array_equal(model.tensor(stored).numpy(), first)


@pytest.mark.parametrize("external", [False, True])
def test_saving_computes_it(tmp_path: Path, external: bool) -> None:
    model, first, second = _two_weights(tmp_path / "m.onnx", "float32")
    a, b = model.proto.graph.initializer
    joined = model.derived_tensor("a", join([model.tensor(a), model.tensor(b)], 1))
    a.CopyFrom(model.derived_tensor("a", transpose(model.tensor(joined), (1, 0))))
    save(model, str(tmp_path / "out.onnx"), external=external)
    saved = onnx.load(tmp_path / "out.onnx")
    assert np.array_equal(numpy_helper.to_array(saved.graph.initializer[0]), np.concatenate([first, second], 1).T)
    assert np.array_equal(numpy_helper.to_array(saved.graph.initializer[1]), second)
