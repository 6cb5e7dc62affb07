"""fuse_channel_arithmetic: constants along channels go into the weights before or behind them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs
from tests.passes.weighted import weighted

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
NAME = "fuse_channel_arithmetic"


@pytest.mark.parametrize(
    ("weights", "body", "left"),
    [
        ("float[4, 1, 1] c", "a = Conv(x, w, k)  y = Mul(a, c)", {"Conv": 1}),
        ("float[1, 4, 1, 1] c", "a = Conv(x, w, k)  y = Mul(c, a)", {"Conv": 1}),
        ("float c", "a = Conv(x, w, k)  y = Div(a, c)", {"Conv": 1}),
        ("float[4, 1, 1] c", "a = Conv(x, w, k)  y = Add(a, c)", {"Conv": 1}),
        ("float[4, 1, 1] c", "a = Conv(x, w)  y = Add(c, a)", {"Conv": 1}),
        ("float[4, 1, 1] c", "a = Conv(x, w, k)  y = Sub(a, c)", {"Conv": 1}),
        ("float[4, 1, 1] c", "a = Conv(x, w, k)  y = Sub(c, a)", {"Conv": 1}),
        ("float[4, 1, 1] c, float d", "a = Conv(x, w, k)  b = Mul(a, c)  y = Add(b, d)", {"Conv": 1}),
        ("float[3, 1, 1] c", "a = Mul(x, c)  y = Conv<pads = [1, 1, 1, 1]>(a, w, k)", {"Conv": 1}),
        ("float[1, 3, 1, 1] c", "a = Div(x, c)  y = Conv<pads = [1, 1, 1, 1]>(a, w, k)", {"Conv": 1}),
        ("float[4, 1, 1] c", "a = Conv(x, w, k)  y = Div(c, a)", {"Conv": 1, "Div": 1}),
        ("float[3] c", "a = Conv(x, w, k)  y = Mul(a, c)", {"Conv": 1, "Mul": 1}),
        ("float[1, 1, 1, 1, 1] c", "a = Conv(x, w, k)  y = Mul(a, c)", {"Conv": 1, "Mul": 1}),
        ("float[3, 1, 1] c", "a = Add(x, c)  y = Conv<pads = [1, 1, 1, 1]>(a, w, k)", {"Conv": 1, "Add": 1}),
        ("float[3, 1, 1] c", "a = Div(c, x)  y = Conv(a, w, k)", {"Conv": 1, "Div": 1}),
        ("float c", "a = Conv(x, w, k)  b = Mul(a, c)  y = Add(a, b)", {"Conv": 1, "Mul": 1, "Add": 1}),
        ("float c", "a = Conv(x, w, k)  b = Mul(a, c)  d = Conv(x, w)  y = Add(d, b)", {"Conv": 2, "Mul": 1, "Add": 1}),
    ],
)
def test_around_a_conv(optimize: Optimizer, weights: str, body: str, left: dict[str, int]) -> None:
    model = weighted(
        f"{HEAD} agraph (float[2, 3, 5, 5] x) => (float y) <float[4, 3, 3, 3] w, float[4] k, {weights}> {{ {body} }}"
    )
    optimized = optimize(model, NAME, "remove_unused")
    assert optimized.operators == left
    assert_equal_outputs(optimized, tolerance=1e-5)


@pytest.mark.parametrize(
    ("inputs", "weights", "body", "left"),
    [
        (
            "float[2, 6, 5] x",
            "float[4, 3, 2] w, float[6, 1] c",
            "a = Mul(x, c)  y = Conv<group = 2>(a, w)",
            {"Conv": 1},
        ),
        ("float[2, 5, 3] x", "float[3, 4] w, float[4] c", "a = MatMul(x, w)  y = Mul(a, c)", {"MatMul": 1}),
        ("float[2, 5, 3] x", "float[3, 4] w, float c", "a = Div(x, c)  y = MatMul(a, w)", {"MatMul": 1}),
        ("float[5, 3] x", "float[4, 3] w, float c", "a = Mul(c, x)  y = Gemm<transB = 1>(a, w)", {"Gemm": 1}),
        ("float[5, 3] x", "float[4, 3] w, float[4] c", "a = Gemm<transB = 1>(x, w)  y = Mul(a, c)", {"Gemm": 1}),
        (
            "float[5, 3] x",
            "float[3, 4] w, float[4] c",
            "product_of_a_long_name = Gemm<beta = 2.0>(x, w)  y = Add(product_of_a_long_name, c)",
            {"Gemm": 1},
        ),
        ("float[2, 5, 3] x", "float[3, 4] w, float[3] c", "a = Mul(x, c)  y = MatMul(a, w)", {"MatMul": 1}),
        ("float[2, 5, 3] x", "float[3, 4] w, float[1, 3] c", "a = Div(x, c)  y = MatMul(a, w)", {"MatMul": 1}),
        ("float[5, 3] x", "float[4, 3] w, float[3] c", "a = Mul(x, c)  y = Gemm<transB = 1>(a, w)", {"Gemm": 1}),
        (
            "float[5, 3] x",
            "float[3, 4] w, float[3] c, float[4] k",
            "a = Sub(c, x)  b = Sub(x, c)  d = Gemm<alpha = 0.5>(b, w, k)  e = ReduceSum(a)  y = Add(d, e)",
            {"Gemm": 1, "Sub": 1, "ReduceSum": 1, "Add": 1},
        ),
        (
            "float[2, 3, 5] x",
            "float[4, 3, 2] w, float[4] k, float[3, 1] c",
            "a = Add(x, c)  y = Conv(a, w, k)",
            {"Conv": 1},
        ),
        (
            "float[2, 3, 5] x",
            "float[3, 4, 2] w, float[3, 1] c",
            "a = Mul(x, c)  y = ConvTranspose(a, w)",
            {"ConvTranspose": 1},
        ),
        ("float[2, 5, 3] x", "float[3, 4] w, float[3] c", "a = Add(x, c)  y = MatMul(a, w)", {"MatMul": 1, "Add": 1}),
        ("float[3] x", "float[3, 4] w, float[1, 3] c", "a = Mul(x, c)  y = MatMul(a, w)", {"MatMul": 1, "Mul": 1}),
        ("float[3, 3] x", "float[3, 4] w, float[3, 1] c", "a = Mul(x, c)  y = MatMul(a, w)", {"MatMul": 1, "Mul": 1}),
        (
            "float[3, 5] x",
            "float[3, 4] w, float[5] c",
            "a = Mul(x, c)  y = Gemm<transA = 1>(a, w)",
            {"Gemm": 1, "Mul": 1},
        ),
        (
            "float[5, 3] x",
            "float[3, 4] w, float[3] c",
            "e = Exp(x)  n = Div(x, e)  a = Mul(n, c)  y = MatMul(a, w)",
            {"MatMul": 1, "Mul": 1, "Div": 1, "Exp": 1},
        ),
        (
            "float[2, 5, 3] x",
            "float[3, 4] w, float[5, 1] c",
            "a = MatMul(x, w)  y = Mul(a, c)",
            {"MatMul": 1, "Mul": 1},
        ),
        ("float[2, 5, 3] x", "float[3, 4] w, float[4] c", "a = MatMul(x, w)  y = Add(a, c)", {"MatMul": 1, "Add": 1}),
        ("float[4] x", "float[4, 4] w, float[1, 1] c", "a = Mul(x, c)  y = MatMul(a, w)", {"MatMul": 1, "Mul": 1}),
        (
            "float[2, 3] x",
            "float[3, 4] w, float c",
            "g = Sigmoid(x)  h = Mul(g, x)  a = Mul(h, c)  y = MatMul(a, w)",
            {"MatMul": 1, "Mul": 2, "Sigmoid": 1},
        ),
    ],
)
def test_around_others(optimize: Optimizer, inputs: str, weights: str, body: str, left: dict[str, int]) -> None:
    model = weighted(f"{HEAD} agraph ({inputs}) => (float y) <{weights}> {{ {body} }}")
    optimized = optimize(model, NAME, "remove_unused")
    assert optimized.operators == left
    assert_equal_outputs(optimized, tolerance=1e-5)


@pytest.mark.parametrize("body", ["a = Mul(x, c)  y = other.MatMul(a, w)", "a = other.MatMul(x, w)  y = Mul(a, c)"])
def test_operators_of_other_domains_are_unknown(optimize: Optimizer, body: str) -> None:
    model = weighted(
        '<ir_version: 8, opset_import: ["" : 17, "other" : 1]> agraph (float[2, 3] x) => (float[2, 4] y) '
        f"<float[3, 4] w, float c> {{ {body} }}"
    )
    model.graph.output[0].type.CopyFrom(onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [2, 4]))
    optimized = optimize(model, NAME, "fold_scalars_into_weights")
    assert optimized.after.graph.node == optimized.before.graph.node


def test_half_weights_that_would_overflow_stay(optimize: Optimizer) -> None:
    model = weighted(
        f"{HEAD} agraph (float16[2, 3] x) => (float16[2, 4] y) <float16[3, 4] w, float16 c> "
        "{ a = MatMul(x, w)  y = Div(a, c) }"
    )
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.array(1e-6, np.float16), "c"))
    optimized = optimize(model, NAME)
    assert optimized.operators == {"MatMul": 1, "Div": 1}
    assert any("overflow" in reason for reason in optimized.reasons)
