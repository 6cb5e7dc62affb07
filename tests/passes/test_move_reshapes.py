"""Between Reshapes, rows are enough: regions on rows where that saves nodes, and nowhere else."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs

PASSES = ("move_reshapes", "remove_unused")
TARGETS = (
    "int64[2] rows = {-1, 4}, int64[2] wide = {-1, 8}, int64[3] whole = {2, 3, 4}, int64[3] bwhole = {-1, 3, 4},"
    " int64[3] hidden = {2, 3, 8}, int64[4] heads = {2, 3, 2, 2}, float two = {2}"
)


def _model(body: str, shape: str = "2, 3, 4", opset: int = 17, result: str = "p, q, r") -> ModelProto:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[{shape}] x) => (float[{result}] y)'
        f" <{TARGETS}> {{ {body} }}"
    )
    random = np.random.default_rng(0)
    for name, dims in (("u", (4, 8)), ("v", (8, 4)), ("c", (8,)), ("d", (4,)), ("s", (4,)), ("t", (4,))):
        model.graph.initializer.append(numpy_helper.from_array(random.normal(size=dims).astype(np.float32), name))
    return model


LAYER = (
    "n = LayerNormalization(x, s, t)  a = Reshape(n, rows)  g = Gemm(a, u, c)  h = Reshape(g, hidden)  r = Relu(h)"
    "  k = Reshape(r, wide)  e = Gemm(k, v, d)  f = Reshape(e, whole)  z = Add(f, x)"
)


def test_reshapes_around_gemms_go(optimize: Optimizer) -> None:
    optimized = optimize(_model(f"{LAYER}  y = Exp(z)"), *PASSES)
    assert optimized.operators == {
        "LayerNormalization": 1, "Reshape": 2, "Gemm": 2, "Relu": 1, "Add": 1, "Exp": 1
    }  # fmt: skip
    assert_equal_outputs(optimized)


def test_reshapes_to_other_shapes_are_given_rows(optimize: Optimizer) -> None:
    body = f"{LAYER}  w = Reshape(z, heads)  y = Transpose<perm = [0, 2, 1, 3]>(w)"
    optimized = optimize(_model(body, result="p, q, r, o"), *PASSES)
    assert optimized.operators["Reshape"] == 2
    assert_equal_outputs(optimized)


def test_products_that_become_gemms_pay_for_reshapes(optimize: Optimizer) -> None:
    body = (
        "a = MatMul(x, u)  b = Add(a, c)  g = Relu(b)  e = MatMul(g, v)  f = Add(e, d)  z = Add(f, x)"
        "  h = MatMul(z, u)  i = Add(h, c)  j = MatMul(i, v)  k = Add(d, j)  o = Reshape(k, rows)  y = Exp(o)"
    )
    optimized = optimize(_model(body, result="p, q"), *PASSES, "fuse_matmul_add")
    assert optimized.operators["Gemm"] == 4
    assert optimized.operators["Reshape"] == 1
    assert_equal_outputs(optimized, tolerance=1e-5)


def test_one_unknown_size_can_be_written_two_can_not(optimize: Optimizer) -> None:
    body = LAYER.replace("hidden", "bhidden").replace("whole", "bwhole")
    body = "bhidden = Constant<value_ints = [-1, 3, 8]>()  " + body + "  y = Exp(z)"
    optimized = optimize(_model(body, "b, 3, 4"), *PASSES)
    assert optimized.operators["Reshape"] == 2
    for size in (1, 5):
        assert_equal_outputs(optimized, {"x": np.random.default_rng(1).normal(size=(size, 3, 4)).astype(np.float32)})
    assert optimize(_two_unknown(), *PASSES).operators["Reshape"] == 2


def _two_unknown() -> ModelProto:
    body = "k = Shape(x)  n = Neg(x)  a = Reshape(n, rows)  g = Gemm(a, m, d)  f = Reshape(g, k)  y = Add(f, x)"
    model = _model(body, "b, w, 4")
    model.graph.initializer.append(numpy_helper.from_array(np.eye(4, dtype=np.float32), "m"))
    return model


@pytest.mark.parametrize(
    "body",
    [
        "n = Neg(x)  a = Reshape(n, rows)  g = Gemm(a, u, c)  y = Reshape(g, hidden)",
        "n = Softmax<axis = 1>(x)  a = Reshape(n, rows)  g = Gemm(a, u, c)  y = Reshape(g, hidden)",
        "r = ReduceSum(x, i)  n = Add(x, r)  a = Reshape(n, rows)  g = Gemm(a, u, c)  y = Reshape(g, hidden)",
    ],
)
def test_where_nothing_is_saved_all_stays(optimize: Optimizer, body: str) -> None:
    model = _model(body)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "i"))
    optimized = optimize(model, *PASSES)
    counts = {each.name: each.rewrite_count for each in optimized.result.passes}
    assert counts["move_reshapes"] == 0
    assert_equal_outputs(optimized)


def test_an_output_of_the_region_is_given_back(optimize: Optimizer) -> None:
    model = _model(f"{LAYER}  y = Exp(z)")
    model.graph.output.append(onnx.helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, [2, 3, 8]))
    optimized = optimize(model, *PASSES)
    assert_equal_outputs(optimized)
    assert optimized.operators["Reshape"] <= 4
