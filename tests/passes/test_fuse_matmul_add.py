"""fuse_matmul_add: biases and transposes become parts of a Gemm where the shapes are those of one."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs
from tests.passes.weighted import weighted

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
NAME = "fuse_matmul_add"


@pytest.mark.parametrize(
    ("inputs", "weights", "body", "left"),
    [
        ("float[2, 3] x", "float[3, 4] w, float[4] c", "a = MatMul(x, w)  y = Add(a, c)", {"Gemm": 1}),
        ("float[2, 3] x", "float[3, 4] w, float[4] c", "a = MatMul(x, w)  y = Add(c, a)", {"Gemm": 1}),
        ("float[N, 3] x, float[N, 4] c", "float[3, 4] w", "a = MatMul(x, w)  y = Add(a, c)", {"Gemm": 1}),
        ("double[2, 3] x", "double[3, 4] w, double[2, 1] c", "a = MatMul(x, w)  y = Add(a, c)", {"Gemm": 1}),
        ("float[3, 2] x", "float[3, 4] w", "a = Transpose<perm = [1, 0]>(x)  y = Gemm(a, w)", {"Gemm": 1}),
        ("float[2, 3] x", "float[4, 3] w", "a = Transpose(w)  y = Gemm(x, a)", {"Gemm": 1}),
        ("float[2, 3] x", "float[3, 4] w", "a = Transpose(w)  y = Gemm<transB = 1>(x, a)", {"Gemm": 1}),
        ("float[5, 2, 3] x", "float[3, 4] w, float[4] c", "a = MatMul(x, w)  y = Add(a, c)", {"MatMul": 1, "Add": 1}),
        (
            "float[2, 3] x",
            "float[3, 4] w, float[5, 1, 1] c",
            "a = MatMul(x, w)  y = Add(a, c)",
            {"MatMul": 1, "Add": 1},
        ),
        ("float[1, 3] x, float[2, 4] c", "float[3, 4] w", "a = MatMul(x, w)  y = Add(a, c)", {"MatMul": 1, "Add": 1}),
        ("float[N, 3] x, float[M, 4] c", "float[3, 4] w", "a = MatMul(x, w)  y = Add(a, c)", {"MatMul": 1, "Add": 1}),
        ("int32[2, 3] x", "int32[3, 4] w, int32[4] c", "a = MatMul(x, w)  y = Add(a, c)", {"MatMul": 1, "Add": 1}),
        (
            "float[2, 3] x",
            "float[3, 4] w, float[4] c",
            "a = MatMul(x, w)  b = Add(a, c)  y = Mul(a, b)",
            {"MatMul": 1, "Add": 1, "Mul": 1},
        ),
        (
            "float[3, 3] x",
            "float[3, 4] w",
            "a = Transpose(x)  b = Gemm(a, w)  c = Gemm(a, b)  y = Relu(c)",
            {"Transpose": 1, "Gemm": 2, "Relu": 1},
        ),
    ],
)
def test_gemm(optimize: Optimizer, inputs: str, weights: str, body: str, left: dict[str, int]) -> None:
    kind = inputs.split("[")[0]
    model = weighted(f"{HEAD} agraph ({inputs}) => ({kind} y) <{weights}> {{ {body} }}")
    optimized = optimize(model, NAME)
    assert optimized.operators == left
    if "M, 4" not in inputs:
        assert_equal_outputs(optimized, tolerance=1e-5)
