"""fuse_hard_sigmoid, fuse_self_gate and fuse_leaky_relu: activations from their parts, and what only looks like one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs

NAMES = ("fuse_hard_sigmoid", "fuse_self_gate", "fuse_leaky_relu")
SCALARS = {"zero": 0, "three": 3, "six": 6, "sixth": 1 / 6, "slope": 0.125, "steep": 1.5}
CLAMP = "a = Add(x, three)  c = Clip(a, zero, six)"


def model_of(body: str, opset: int, kind: str = "float") -> ModelProto:
    """A model of x, another input w, and the constants that the body may name."""
    outputs = ", ".join(f"{kind}[3, 4] {name}" for name in "yz" if f"{name} = " in body)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> '
        f"agraph ({kind}[3, 4] x, {kind}[3, 4] w) => ({outputs}) {{ {body} }}"
    )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
    arrays = {name: np.array(value, dtype) for name, value in SCALARS.items()}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return model


@pytest.mark.parametrize("kind", ["float", "float16"])
@pytest.mark.parametrize(
    ("body", "opset", "left"),
    [
        (f"{CLAMP}  y = Div(c, six)", 17, {"HardSigmoid": 1}),
        (f"{CLAMP}  y = Mul(sixth, c)", 17, {"HardSigmoid": 1}),
        (f"{CLAMP}  d = Mul(x, c)  y = Div(d, six)", 17, {"HardSwish": 1}),
        (f"{CLAMP}  d = Div(c, six)  y = Mul(x, d)", 17, {"HardSwish": 1}),
        (f"{CLAMP}  d = Mul(x, sixth)  y = Mul(c, d)", 17, {"HardSwish": 1}),
        (f"{CLAMP}  d = Mul(x, c)  y = Div(d, six)", 13, {"HardSigmoid": 1, "Mul": 1}),
        (f"{CLAMP}  d = Mul(w, c)  y = Div(d, six)", 17, {"HardSigmoid": 1, "Mul": 1}),
        (f"{CLAMP}  y = Div(c, three)", 17, {"Add": 1, "Clip": 1, "Div": 1}),
        (f"{CLAMP}  y = Div(six, c)", 17, {"Add": 1, "Clip": 1, "Div": 1}),
        (f"{CLAMP}  y = Div(c, six)  z = Neg(c)", 17, {"Add": 1, "Clip": 1, "Div": 1, "Neg": 1}),
        ("a = Add(x, three)  c = Clip(a, slope, six)  y = Div(c, six)", 17, {"Add": 1, "Clip": 1, "Div": 1}),
        ("a = HardSigmoid(x)  y = Mul(x, a)", 17, {"HardSigmoid": 1, "Mul": 1}),
        ("a = Softplus(x)  b = Tanh(a)  y = Mul(b, x)", 18, {"Mish": 1}),
        ("a = Softplus(x)  b = Tanh(a)  y = Mul(x, b)", 17, {"Softplus": 1, "Tanh": 1, "Mul": 1}),
        ("a = Softplus(x)  b = Tanh(a)  y = Mul(w, b)", 18, {"Softplus": 1, "Tanh": 1, "Mul": 1}),
        ("a = Mul(x, slope)  y = Max(x, a)", 17, {"LeakyRelu": 1}),
        ("a = Mul(slope, x)  y = Max(a, x)", 17, {"LeakyRelu": 1}),
        ("a = Mul(x, steep)  y = Max(x, a)", 17, {"Mul": 1, "Max": 1}),
        ("a = Mul(x, slope)  c = Greater(x, zero)  y = Where(c, x, a)", 17, {"LeakyRelu": 1}),
        ("a = Mul(x, steep)  c = Less(x, zero)  y = Where(c, a, x)", 17, {"LeakyRelu": 1}),
        ("a = Mul(x, slope)  c = Less(x, zero)  y = Where(c, x, a)", 17, {"Mul": 1, "Less": 1, "Where": 1}),
        ("a = Mul(x, slope)  c = Greater(x, six)  y = Where(c, x, a)", 17, {"Mul": 1, "Greater": 1, "Where": 1}),
        ("a = Mul(x, slope)  c = Greater(w, zero)  y = Where(c, x, a)", 17, {"Mul": 1, "Greater": 1, "Where": 1}),
        ("a = Mul(x, slope)  y = Max(x, a)  z = Neg(a)", 17, {"Mul": 1, "Max": 1, "Neg": 1}),
    ],
)
def test_forms(optimize: Optimizer, body: str, opset: int, left: Mapping[str, int], kind: str) -> None:
    if kind == "float16" and "Softplus" in body:
        pytest.skip("onnxruntime has no float16 kernel for Softplus of these operator sets")
    optimized = optimize(model_of(body, opset, kind), *NAMES)
    assert optimized.operators == left
    assert_equal_outputs(optimized, tolerance=1e-6 if kind == "float" else 4e-3)


def test_double_has_no_kernels(optimize: Optimizer) -> None:
    assert optimize(model_of(f"{CLAMP}  y = Div(c, six)", 17, "double"), *NAMES).operators["Clip"] == 1
