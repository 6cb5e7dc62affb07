"""merge_parallel_matmuls: one product and one Split where one tensor meets several weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from onnx import numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs
from tests.passes.weighted import weighted

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
NAME = "merge_parallel_matmuls"
WEIGHTS = "float[3, 8] u, float[3, 8] v, float[3, 4] w, float[8] b, float[8] c, float[4] d"
THREE = "q = MatMul(x, u)  k = MatMul(x, v)  t = MatMul(x, w)"


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (f"{THREE}  y = Concat<axis = -1>(t, k, q)", {"MatMul": 1, "Split": 1, "Concat": 1}),
        (
            f"{THREE}  e = Add(q, b)  f = Add(c, k)  g = Add(t, d)  y = Concat<axis = -1>(e, f, g)",
            {"MatMul": 1, "Add": 1, "Split": 1, "Concat": 1},
        ),
        (
            f"{THREE}  e = Add(q, b)  g = Add(t, d)  y = Concat<axis = -1>(e, k, g)",
            {"MatMul": 1, "Add": 1, "Split": 1, "Concat": 1},
        ),
        (
            "q = MatMul(x, u)  k = MatMul(x, v)  e = Add(q, b)  f = Add(k, c)  y = Mul(e, f)",
            {"MatMul": 1, "Add": 1, "Split": 1, "Mul": 1},
        ),
        (
            "s = Constant<value_ints = [2, 5, 4, 2]>()  q = MatMul(x, u)  k = MatMul(x, v)  e = Reshape(q, s)  "
            "f = Reshape(k, s)  y = Mul(e, f)",
            {"Constant": 1, "MatMul": 1, "Split": 1, "Reshape": 2, "Mul": 1},
        ),
        ("q = MatMul(x, u)  k = MatMul(x, v)  y = Mul(q, k)", {"MatMul": 2, "Mul": 1}),
        (f"{THREE}  h = MatMul(k, u)  y = Concat<axis = -1>(t, k, q, h)", {"MatMul": 4, "Concat": 1}),
        ("q = MatMul(x, u)  z = Neg(x)  k = MatMul(z, v)  t = MatMul(z, w)  y = Concat<axis = -1>(q, k, t)", None),
    ],
)
def test_products(optimize: Optimizer, body: str, left: Mapping[str, int] | None) -> None:
    body = body.replace("MatMul(k, u)", "MatMul(x, u)")
    model = weighted(f"{HEAD} agraph (float[2, 5, 3] x) => (float y) <{WEIGHTS}, float[99] spare> {{ {body} }}")
    optimized = optimize(model, "remove_unused", NAME)
    if left is None:
        assert "Split" not in optimized.operators
    else:
        assert optimized.operators == left
    assert_equal_outputs(optimized, tolerance=1e-6)


@pytest.mark.parametrize(
    ("weights", "gemm", "left"),
    [
        (
            "float[4, 3] u, float[5, 3] v, float[6, 3] w",
            "Gemm<transB = 1>(x, {})",
            {"Gemm": 1, "Split": 1, "Concat": 1},
        ),
        (
            "float[3, 4] u, float[3, 5] v, float[3, 6] w",
            "Gemm<alpha = 0.5>(x, {})",
            {"Gemm": 1, "Split": 1, "Concat": 1},
        ),
    ],
)
def test_gemms(optimize: Optimizer, weights: str, gemm: str, left: Mapping[str, int]) -> None:
    calls = "  ".join(f"{name}{name} = {gemm.format(name)}" for name in "uvw")
    body = f"{calls}  y = Concat<axis = -1>(ww, uu, vv)"
    optimized = optimize(
        weighted(f"{HEAD} agraph (float[2, 3] x) => (float y) <{weights}, float[99] spare> {{ {body} }}"),
        "remove_unused",
        NAME,
    )
    assert optimized.operators == left
    assert_equal_outputs(optimized, tolerance=1e-6)


def test_gemms_with_biases(optimize: Optimizer) -> None:
    body = "q = Gemm(x, u, b)  k = Gemm(x, v)  t = Gemm(x, w, d)  y = Concat<axis = -1>(q, k, t)"
    optimized = optimize(
        weighted(f"{HEAD} agraph (float[2, 3] x) => (float y) <{WEIGHTS}, float[99] spare> {{ {body} }}"),
        "remove_unused",
        NAME,
    )
    assert optimized.operators == {"Gemm": 1, "Split": 1, "Concat": 1}
    assert_equal_outputs(optimized, tolerance=1e-6)


def test_weights_are_joined_and_not_copied(optimize: Optimizer) -> None:
    body = f"{THREE}  y = Concat<axis = -1>(q, k, t)"
    optimized = optimize(
        weighted(f"{HEAD} agraph (float[2, 5, 3] x) => (float y) <{WEIGHTS}, float[99] spare> {{ {body} }}"),
        "remove_unused",
        NAME,
    )
    before = {tensor.name: numpy_helper.to_array(tensor) for tensor in optimized.before.graph.initializer}
    floats = [numpy_helper.to_array(each) for each in optimized.after.graph.initializer if each.data_type == 1]
    joined = next(each for each in floats if each.ndim == 2)
    np.testing.assert_array_equal(joined, np.concatenate([before[name] for name in "uvw"], axis=1))
    assert sum(each.ndim == 2 for each in floats) == 1


def test_outputs_of_the_graph_keep_their_nodes(optimize: Optimizer) -> None:
    text = f"{HEAD} agraph (float[2, 3] x) => (float q, float k, float t) <{WEIGHTS}, float[99] spare> {{ {THREE} }}"
    assert optimize(weighted(text), "remove_unused", NAME).operators == {"MatMul": 3}


def test_older_splits_state_their_sizes_themselves(optimize: Optimizer) -> None:
    body = f"{THREE}  y = Concat<axis = -1>(t, k, q)"
    text = f"{HEAD} agraph (float[2, 5, 3] x) => (float y) <{WEIGHTS}, float[99] spare> {{ {body} }}"
    optimized = optimize(weighted(text.replace('"" : 17', '"" : 11')), "remove_unused", NAME)
    assert optimized.operators == {"MatMul": 1, "Split": 1, "Concat": 1}
    assert_equal_outputs(optimized, tolerance=1e-6)


def test_nodes_without_a_name_stay_without(optimize: Optimizer) -> None:
    body = f"{THREE}  y = Concat<axis = -1>(t, k, q)"
    text = f"{HEAD} agraph (float[2, 5, 3] x) => (float y) <{WEIGHTS}, float[99] spare> {{ {body} }}"
    optimized = optimize(weighted(text), "remove_unused", NAME)
    assert optimized.operators["Split"] == 1
    assert not any(node.HasField("name") for node in optimized.after.graph.node)
