"""Constants computed in a child process: every type that has kernels, and no harm from what has none."""

from __future__ import annotations

import re
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import onnx.parser
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from onnxctl.child import Child
from onnxctl.model.arrays import Array
from onnxctl.runtime.children import child_for_constants
from onnxctl.runtime.evaluate import evaluate_in_child
from tests.runtime.models import HEADER


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with Child() as child:
        yield child


def parsed(text: str) -> ModelProto:
    return onnx.parser.parse_model(HEADER + text)


@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        (TensorProto.DOUBLE, np.float64),
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
        (TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2),
        (TensorProto.INT8, np.int8),
        (TensorProto.UINT64, np.uint64),
        (TensorProto.BOOL, np.bool_),
    ],
)
def test_every_type_comes_back_as_itself(number: int, dtype: type, child: Child) -> None:
    model = parsed(f"g () => (y) <float[3] x = {{0, 1, 2.5}}> {{ y = Cast<to={number}>(x) }}")
    (tensor,), reason = evaluate_in_child(child, model)
    assert reason == ""
    assert tensor is not None and tensor.data_type == number and tensor.name == "y"
    expected: Array = np.array([0, 1, 2.5], np.float32).astype(dtype)
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), expected)


def test_strings_and_scalars_come_back(child: Child) -> None:
    text = (
        'g () => (s, n) <string[2] w = {"käse", ""}, int64 a = {2}, int64 b = {3}> { s = Identity(w) \n n = Mul(a, b) }'
    )
    (words, number), reason = evaluate_in_child(child, parsed(text))
    assert reason == ""
    assert words is not None and [text.decode() for text in words.string_data] == ["käse", ""]
    assert number is not None and list(number.dims) == [] and numpy_helper.to_array(number) == 6


def test_what_fails_costs_only_itself(child: Child) -> None:
    nodes = "{ good = Sqrt(x) \n bad = Gather(x, far) \n list = SequenceConstruct(x) }"
    text = f"g () => (good, bad, list) <float[2] x = {{1, 4}}, int64[1] far = {{9}}> {nodes}"
    (good, bad, sequence), reason = evaluate_in_child(child, parsed(text))
    assert good is not None and numpy_helper.to_array(good).tolist() == [1, 2]
    assert bad is None and sequence is None
    assert "indices element out of data bounds" in reason


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "g () => (y) <int64[1] a = {-9223372036854775808}, int64[1] b = {-1}> { y = Div(a, b) }",
            r"crashed.*SIGFPE",
        ),
        ("g () => (y) <float[1] x = {1}> { y = ai.onnx.ml.Twist(x) }", r"Twist"),
        ("g () => (y) <float[2] a = {1, 2}, float[3] b = {1, 2, 3}> { y = Add(a, b) }", r"Incompatible|dimension"),
        (
            "g () => (y) <int64 n = {1000000000}, bool go = {1}, float x = {1}> { y = Loop(n, go, x) "
            "<body = b (int64 i, bool c, float v) => (bool d, float w) { d = Identity(c) \n w = Sin(v) }> }",
            r"time limit",
        ),
    ],
    ids=["crash", "unknown operator", "invalid", "hang"],
)
def test_crashes_hangs_and_refusals_are_reasons(text: str, why: str, child: Child) -> None:
    tensors, reason = evaluate_in_child(child, parsed(text), timeout_s=2)
    assert tensors == [None]
    assert re.search(why, reason), reason
    (after,), _ = evaluate_in_child(child, parsed("g () => (y) <float x = {4}> { y = Sqrt(x) }"))
    assert after is not None and numpy_helper.to_array(after) == 2


def test_the_child_does_without_onnx() -> None:
    """It would take longer to be ready."""
    with child_for_constants() as child:
        model = parsed("g () => (y) <float x = {4}> { y = Sqrt(x) }")
        assert evaluate_in_child(child, model)[1] == ""
        loaded, _ = child.call("tests.runtime.loaded:loaded_packages", {})
    assert "onnxruntime" in loaded and "google" not in loaded  # onnx is a name there, and nothing behind it
