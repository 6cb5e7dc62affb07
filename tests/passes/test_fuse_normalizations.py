"""fuse_layer_normalization and fuse_rms_normalization: their parts, in the ways that exporters write them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs

NAMES = ("fuse_division", "fuse_layer_normalization", "fuse_rms_normalization")
SCALARS = {"two": 2, "epsilon": 1e-5, "one": 1, "large": 3, "negative": -1}
CENTRED = "m = MEAN(x)  d = Sub(x, m)"
ROOT = "s = Add(v, epsilon)  r = Sqrt(s)"
SCALE = "n = Div(d, r)  g = Mul(n, w)"


def model_of(body: str, opset: int, kind: str = "float", axes: str = "-1") -> ModelProto:
    """A model of x [2, 3, 8]; MEAN is a ReduceMean over the axes, as the operator set writes it."""
    mean = "ReduceMean<keepdims = 1>" if opset >= 18 else f"ReduceMean<axes = [{axes}]>"
    text = body.replace("MEAN", mean)
    if opset >= 18:
        for name in "xpdq":
            text = text.replace(f"{mean}({name})", f"{mean}({name}, axes)")
    outputs = ", ".join(f"{kind}[2, 3, {'8' if name == 'y' else 'Q'}] {name}" for name in "yz" if f"{name} = " in body)
    model = onnx.parser.parse_model(
        f'<ir_version: {11 if opset > 22 else 8}, opset_import: ["" : {opset}]> '
        f"agraph ({kind}[2, 3, 8] x) => ({outputs}) {{ {text} }}"
    )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
    random = np.random.default_rng(0)
    arrays = {name: np.array(value, dtype) for name, value in SCALARS.items()}
    arrays |= {name: random.uniform(0.5, 1.5, 8).astype(dtype) for name in "wb"}
    arrays |= {"wide": random.uniform(0.5, 1.5, (3, 8)).astype(dtype), "spare": random.uniform(size=99).astype(dtype)}
    arrays["axes"] = np.array([int(axis) for axis in axes.split(",")], np.int64)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return model


LAYER_NORMALIZATIONS = [
    f"{CENTRED}  p = Pow(d, two)  v = MEAN(p)  {ROOT}  {SCALE}  y = Add(g, b)",
    f"{CENTRED}  p = Mul(d, d)  v = MEAN(p)  {ROOT}  n = Div(d, r)  g = Mul(w, n)  y = Add(b, g)",
    f"{CENTRED}  p = Pow(d, two)  v = MEAN(p)  s = Add(epsilon, v)  r = Sqrt(s)  n = Div(d, r)  y = Mul(n, w)",
    f"{CENTRED}  p = Pow(d, two)  v = MEAN(p)  {ROOT}  y = Div(d, r)",
    f"{CENTRED}  p = Mul(d, d)  v = MEAN(p)  {ROOT}  i = Reciprocal(r)  n = Mul(d, i)  g = Mul(n, w)  y = Add(g, b)",
]


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("body", LAYER_NORMALIZATIONS)
def test_layer_normalization(optimize: Optimizer, body: str, opset: int) -> None:
    optimized = optimize(model_of(body, opset), "remove_unused", *NAMES)
    assert optimized.operators == {"LayerNormalization": 1}
    assert_equal_outputs(optimized, tolerance=1e-5)


def test_over_two_axes_in_half_precision(optimize: Optimizer) -> None:
    body = f"{CENTRED}  p = Mul(d, d)  v = MEAN(p)  {ROOT}  n = Div(d, r)  y = Mul(n, wide)"
    optimized = optimize(model_of(body, 17, "float16", "-2, -1"), "remove_unused", *NAMES)
    assert optimized.operators == {"LayerNormalization": 1}
    assert_equal_outputs(optimized, tolerance=5e-3)


def test_other_shapes_of_scale_stay_behind(optimize: Optimizer) -> None:
    body = f"{CENTRED}  p = Mul(d, d)  v = MEAN(p)  {ROOT}  n = Div(d, r)  y = Mul(n, wide)"
    optimized = optimize(model_of(body, 17), "remove_unused", *NAMES)
    assert optimized.operators == {"LayerNormalization": 1, "Mul": 1}
    assert_equal_outputs(optimized, tolerance=1e-5)


@pytest.mark.parametrize(
    ("body", "kind", "axes", "opset"),
    [
        (f"{LAYER_NORMALIZATIONS[0]}  z = Relu(d)", "float", "-1", 17),
        (f"{LAYER_NORMALIZATIONS[0]}  z = Relu(v)", "float", "-1", 17),
        (LAYER_NORMALIZATIONS[0], "float", "1", 17),
        (LAYER_NORMALIZATIONS[0], "double", "-1", 17),
        (LAYER_NORMALIZATIONS[0], "float", "-1", 16),
        (LAYER_NORMALIZATIONS[0].replace("epsilon", "negative"), "float", "-1", 17),
        (LAYER_NORMALIZATIONS[0].replace("Pow(d, two)", "Pow(d, large)"), "float", "-1", 17),
        (LAYER_NORMALIZATIONS[0].replace("Pow(d, two)", "Pow(x, two)"), "float", "-1", 17),
        (
            f"{CENTRED}  p = Pow(d, two)  v = MEAN(p)  r = Sqrt(v)  s = Add(r, epsilon)  y = Div(d, s)",
            "float",
            "-1",
            17,
        ),
        (f"{CENTRED}  p = Pow(d, two)  v = MEAN(p)  {ROOT}  y = Div(x, r)", "float", "-1", 17),
    ],
)
def test_no_layer_normalization(optimize: Optimizer, body: str, kind: str, axes: str, opset: int) -> None:
    optimized = optimize(model_of(body, opset, kind, axes), "remove_unused", *NAMES)
    assert "LayerNormalization" not in optimized.operators
    assert_equal_outputs(optimized, tolerance=1e-6)


@pytest.mark.parametrize(
    ("body", "opset", "left"),
    [
        ("p = Pow(x, two)  v = MEAN(p)  s = Add(v, epsilon)  r = Sqrt(s)  n = Div(x, r)  y = Mul(n, w)", 23, None),
        ("p = Mul(x, x)  v = MEAN(p)  s = Add(v, epsilon)  r = Sqrt(s)  n = Div(x, r)  y = Mul(w, n)", 23, None),
        (
            "p = Pow(x, two)  v = MEAN(p)  s = Add(v, epsilon)  r = Sqrt(s)  i = Reciprocal(r)  n = Mul(x, i)  "
            "y = Mul(n, w)",
            23,
            None,
        ),
        ("p = Pow(x, two)  v = MEAN(p)  s = Add(v, epsilon)  r = Sqrt(s)  y = Div(x, r)", 23, None),
        (
            "p = Pow(x, two)  v = MEAN(p)  s = Add(v, epsilon)  r = Sqrt(s)  n = Div(x, r)  y = Mul(n, w)",
            20,
            {"Pow": 1, "ReduceMean": 1, "Add": 1, "Sqrt": 1, "Div": 1, "Mul": 1},
        ),
    ],
)
def test_rms_normalization(optimize: Optimizer, body: str, opset: int, left: Mapping[str, int] | None) -> None:
    optimized = optimize(model_of(body, opset), "remove_unused", *NAMES)
    assert optimized.operators == (left or {"RMSNormalization": 1})
    assert_equal_outputs(optimized, tolerance=1e-5)
