"""fuse_batch_normalization: the weights before take it in, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs
from tests.passes.weighted import weighted

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
NAME = "fuse_batch_normalization"
STATISTICS = "float[4] s, float[4] b, float[4] m, float[4] v"


@pytest.mark.parametrize(
    ("inputs", "weights", "body", "left"),
    [
        ("float[2, 3, 5, 5] x", "float[4, 3, 3, 3] w", "Conv(x, w)", {"Conv": 1}),
        ("float[2, 3, 5, 5] x", "float[4, 3, 3, 3] w, float[4] c", "Conv<pads = [1, 1, 1, 1]>(x, w, c)", {"Conv": 1}),
        ("float[2, 4, 5] x", "float[4, 2, 3] w", "Conv<group = 2>(x, w)", {"Conv": 1}),
        ("float[2, 3, 5, 5] x", "float[3, 4, 3, 3] w, float[4] c", "ConvTranspose(x, w, c)", {"ConvTranspose": 1}),
        ("float[2, 6, 5, 5] x", "float[6, 2, 3, 3] w", "ConvTranspose<group = 2>(x, w)", {"ConvTranspose": 1}),
        ("float[2, 3] x", "float[3, 4] w, float[4] c", "Gemm(x, w, c)", {"Gemm": 1}),
        ("float[2, 3] x", "float[4, 3] w", "Gemm<transB = 1, alpha = 0.5>(x, w)", {"Gemm": 1}),
        ("float[2, 3] x", "float[3, 4] w, float[1, 4] c", "Gemm<beta = 2.0>(x, w, c)", {"Gemm": 1}),
        ("float[2, 3] x", "float[3, 4] w", "MatMul(x, w)", {"Gemm": 1}),
    ],
)
def test_weights_take_it_in(optimize: Optimizer, inputs: str, weights: str, body: str, left: dict[str, int]) -> None:
    text = f"a = {body}  y = BatchNormalization<epsilon = 0.01>(a, s, b, m, v)"
    model = weighted(f"{HEAD} agraph ({inputs}) => (float y) <{weights}, {STATISTICS}> {{ {text} }}")
    optimized = optimize(model, NAME, "remove_unused")
    assert optimized.operators == left
    assert_equal_outputs(optimized, tolerance=1e-5)


@pytest.mark.parametrize(
    ("inputs", "weights", "body", "left"),
    [
        ("float[2, 4, 5, 5] x", "float[3, 4, 3, 3] w", "Conv<strides = [2, 2]>(a, w)", {"Conv": 1}),
        ("float[2, 4, 5, 5] x", "float[6, 2, 3, 3] w, float[6] c", "Conv<group = 2>(a, w, c)", {"Conv": 1}),
        ("float[2, 4] x", "float[4, 3] w, float[3] c", "Gemm<alpha = 0.5, beta = 2.0>(a, w, c)", {"Gemm": 1}),
        ("float[2, 4] x", "float[3, 4] w", "Gemm<transB = 1>(a, w)", {"Gemm": 1}),
        ("float[2, 4] x", "float[4, 3] w", "MatMul(a, w)", {"Gemm": 1}),
        ("float[2, 4, 5] x", "float[3, 4, 2] w", "Conv<pads = [1, 0]>(a, w)", {"BatchNormalization": 1, "Conv": 1}),
        (
            "float[2, 4, 5] x",
            "float[3, 4, 2] w",
            'Conv<auto_pad = "SAME_LOWER">(a, w)',
            {"BatchNormalization": 1, "Conv": 1},
        ),
        (
            "float[2, 4, 5] x",
            "float[4, 3, 2] w",
            "ConvTranspose(a, w)",
            {"BatchNormalization": 1, "ConvTranspose": 1},
        ),
        ("float[4, 4] x", "float[4, 3] w", "Gemm<transA = 1>(a, w)", {"BatchNormalization": 1, "Gemm": 1}),
        ("float[2, 4, 4] x", "float[4, 3] w", "MatMul(a, w)", {"BatchNormalization": 1, "MatMul": 1}),
        ("float[2, 4, 3] x", "float[3, 4] w", "MatMul(a, w)", {"BatchNormalization": 1, "MatMul": 1}),
        ("float[3, 4] x", "float[4, 3] w", "MatMul(w, a)", {"BatchNormalization": 1, "MatMul": 1}),
    ],
)
def test_weights_behind_take_it_in(
    optimize: Optimizer, inputs: str, weights: str, body: str, left: dict[str, int]
) -> None:
    text = f"a = BatchNormalization<epsilon = 0.01>(x, s, b, m, v)  y = {body}"
    model = weighted(f"{HEAD} agraph ({inputs}) => (float y) <{weights}, {STATISTICS}> {{ {text} }}")
    optimized = optimize(model, NAME, "remove_unused")
    assert optimized.operators == left
    assert_equal_outputs(optimized, tolerance=1e-5)


def test_without_a_shift_a_conv_may_pad(optimize: Optimizer) -> None:
    body = "a = BatchNormalization(x, s, b, b, v)  y = Conv<pads = [1, 1]>(a, w)"
    model = weighted(f"{HEAD} agraph (float[2, 4, 5] x) => (float y) <float[3, 4, 2] w, {STATISTICS}> {{ {body} }}")
    zeros = next(tensor for tensor in model.graph.initializer if tensor.name == "b")
    zeros.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), "b"))
    optimized = optimize(model, NAME, "remove_unused")
    assert optimized.operators == {"Conv": 1}
    assert_equal_outputs(optimized, tolerance=1e-5)


def test_a_result_keeps_its_name_and_what_was_between_loses_it(optimize: Optimizer) -> None:
    body = "a = Conv(x, w)  c = BatchNormalization(a, s, b, m, v)  y = Relu(c)"
    model = weighted(f"{HEAD} agraph (float[2, 4, 5] x) => (float y) <float[4, 4, 2] w, {STATISTICS}> {{ {body} }}")
    model.graph.quantization_annotation.add(tensor_name="c")
    optimized = optimize(model, NAME)
    assert [list(node.output) for node in optimized.after.graph.node] == [["c"], ["y"]]
    assert_equal_outputs(optimized, tolerance=1e-5)


def test_half_precision_is_rounded_once(optimize: Optimizer) -> None:
    model = weighted(
        f"{HEAD} agraph (float16[2, 3, 5, 5] x) => (float16[2, 4, 3, 3] y) <float16[4, 3, 3, 3] w, float16[4] s, "
        "float16[4] b, float16[4] m, float16[4] v> { a = Conv(x, w)  y = BatchNormalization(a, s, b, m, v) }"
    )
    before = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in model.graph.initializer}
    optimized = optimize(model, NAME, "remove_unused")
    after = {tensor.name: numpy_helper.to_array(tensor) for tensor in optimized.after.graph.initializer}
    factor = before["s"] / np.sqrt(before["v"] + np.float64(np.float32(1e-5)))
    np.testing.assert_array_equal(after["w"], (before["w"] * factor.reshape(-1, 1, 1, 1)).astype(np.float16))
    assert optimized.operators == {"Conv": 1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a = Conv(x, w)  y = BatchNormalization(a, s, b, m, v)  z = Relu(a)", "is read elsewhere"),
        ("a = Conv(x, w)  y = BatchNormalization(a, s, b, m, v)  z = Conv(x, w)", "its weight is read elsewhere"),
        ("a = Conv(x, w)  y, z, q = BatchNormalization<training_mode = 1>(a, s, b, m, v)", "training mode"),
        ("z = Abs(s)  a = Conv(x, w)  y = BatchNormalization(a, z, b, m, v)", "not constant"),
    ],
)
def test_left_alone(optimize: Optimizer, body: str, reason: str) -> None:
    model = weighted(
        f"{HEAD} agraph (float[2, 3, 5, 5] x) => (float[2, 4, 3, 3] y, float z) <float[4, 3, 3, 3] w, {STATISTICS}> "
        f"{{ {body} }}"
    )
    optimized = optimize(model, NAME)
    assert optimized.after.graph.node == optimized.before.graph.node
    assert any(reason in each for each in optimized.reasons)


def test_a_matmul_of_rank_3_has_no_bias(optimize: Optimizer) -> None:
    model = weighted(
        f"{HEAD} agraph (float[2, 4, 3] x) => (float[2, 4, 3] y) <float[3, 3] w, {STATISTICS}> "
        "{ a = MatMul(x, w)  y = BatchNormalization(a, s, b, m, v) }"
    )
    assert optimize(model, NAME).operators == {"MatMul": 1, "BatchNormalization": 1}


def test_before_ir_version_4_weights_stay_inputs(optimize: Optimizer) -> None:
    model = weighted(
        '<ir_version: 8, opset_import: ["" : 9]> agraph (float[2, 3, 5, 5] x) => (float y) <float[4, 3, 3, 3] w, '
        f"float[4] c, {STATISTICS}> {{ a = Conv(x, w, c)  y = BatchNormalization(a, s, b, m, v) }}"
    )
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    optimized = optimize(model, NAME)
    assert optimized.operators == {"Conv": 1}
    assert_equal_outputs(optimized, tolerance=1e-5)


def test_a_real_network(optimize: Optimizer, shared: Path) -> None:
    path = next((shared / "models").rglob("cls-model.onnx"))
    optimized = optimize(onnx.load(path), "lift_constants", NAME, "remove_unused")
    assert sum(node.op_type == "BatchNormalization" for node in optimized.before.graph.node) == 35
    assert "BatchNormalization" not in optimized.operators
    image = np.random.default_rng(0).normal(size=(1, 3, 48, 192)).astype(np.float32)
    assert_equal_outputs(optimized, {optimized.before.graph.input[0].name: image}, tolerance=1e-4)


@pytest.mark.parametrize(
    ("other", "left"),
    [
        ("e = Neg(x)", {"If": 2, "Conv": 1, "Neg": 2}),
        ("e = Conv<pads = [1, 1, 1, 1]>(x, w)", {"If": 2, "Conv": 2, "BatchNormalization": 1, "Neg": 1}),
    ],
)
def test_weights_of_a_scope_around_take_it_in_where_one_branch_alone_reads_them(
    optimize: Optimizer, other: str, left: dict[str, int]
) -> None:
    inner = f"""If (c) <
        then_branch = third () => (float[2, 4, 5, 5] t) {{
            a = Conv<pads = [1, 1, 1, 1]>(x, w)  t = BatchNormalization(a, s, b, m, v) }},
        else_branch = fourth () => (float[2, 4, 5, 5] e) {{ {other} }}>"""
    model = weighted(
        f"""{HEAD} agraph (float[2, 4, 5, 5] x, bool c) => (float[2, 4, 5, 5] y)
        <float[4, 4, 3, 3] w, {STATISTICS}> {{ y = If (c) <
            then_branch = first () => (float[2, 4, 5, 5] u) {{ u = {inner} }},
            else_branch = second () => (float[2, 4, 5, 5] n) {{ n = Neg(x) }}> }}"""
    )
    optimized = optimize(model, NAME, "remove_unused")
    assert optimized.operators == left
    feeds = {"x": np.random.default_rng(0).normal(size=(2, 4, 5, 5)).astype(np.float32), "c": np.array(True)}
    assert_equal_outputs(optimized, feeds, tolerance=1e-5)
