"""Cast of Cast: exact ones become one, or none; all others stay. All are tried at the edges of their types."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs

MERGED = [
    ("float16", "float", "float16", 0),
    ("float16", "float", "double", 1),
    ("float", "double", "float", 0),
    ("float", "double", "float16", 1),
    ("int32", "int64", "int32", 0),
    ("int64", "int32", "int8", 1),
    ("int64", "int32", "uint8", 1),
    ("uint8", "float16", "float", 1),
    ("int8", "int32", "uint8", 1),
    ("int32", "double", "float", 1),
    ("int8", "int64", "bool", 1),
    ("bool", "float", "int64", 1),
    ("bool", "int8", "bool", 0),
]
KEPT = [
    ("float", "float16", "float"),
    ("int64", "float", "int64"),
    ("int32", "float", "double"),
    ("int64", "int32", "int64"),
    ("float", "int32", "float"),
    ("float16", "float", "int8"),
    ("int8", "uint32", "int64"),
    ("uint16", "float16", "float"),
    ("float", "bool", "float"),
]


def _model(source: str, middle: str, target: str) -> str:
    to = {name: helper.np_dtype_to_tensor_dtype(np.dtype(_numpy(name))) for name in (source, middle, target)}
    return (
        f'<ir_version: 8, opset_import: ["" : 19]> agraph ({source}[n] x) => ({target}[n] y)'
        f" {{ a = Cast<to = {to[middle]}>(x)  b = Cast<to = {to[target]}>(a)  y = Identity(b) }}"
    )


def _numpy(name: str) -> str:
    return {"float": "float32", "double": "float64"}.get(name, name)


def _edges(name: str) -> np.ndarray:
    dtype = np.dtype(_numpy(name))
    if dtype.kind == "b":
        return np.array([True, False])
    if dtype.kind == "f":
        return np.array([0, -0.0, 1.5, -2.75, 65504, 1e-7, np.inf, -np.inf, np.nan], dtype)
    limits = np.iinfo(dtype)
    return np.array([0, 1, 2, 127, limits.min, limits.max, limits.max - 1, limits.max // 2 + 1], dtype)


@pytest.mark.parametrize(("source", "middle", "target", "left"), MERGED)
def test_exact_chains_become_one_cast_or_none(
    optimize: Optimizer, source: str, middle: str, target: str, left: int
) -> None:
    optimized = optimize(_model(source, middle, target), "merge_casts", "remove_unused")
    assert optimized.operators["Cast"] == left
    assert_equal_outputs(optimized, {"x": _edges(source)})


@pytest.mark.parametrize(("source", "middle", "target"), KEPT)
def test_chains_that_lose_values_stay(optimize: Optimizer, source: str, middle: str, target: str) -> None:
    optimized = optimize(_model(source, middle, target), "merge_casts", "remove_unused")
    assert optimized.operators["Cast"] == 2
    assert optimized.reasons == ["the first Cast loses values that the second would keep"]


def test_numbers_of_types_are_those_of_onnx() -> None:
    assert helper.np_dtype_to_tensor_dtype(np.dtype("float32")) == TensorProto.FLOAT
