"""Transposes move through what can be computed in another order of axes, where that saves some."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs

PASSES = ("move_transposes", "merge_transposes", "eliminate_transpose", "remove_unused")
CONSTANTS = "float two = {2}, float[3] bias = {1, 2, 3}, float[1, 4, 1] other = {1, 2, 3, 4}, int64[1] l1 = {1}"


def _model(body: str, opset: int = 18, outputs: str = "float[p, q, r] y") -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[n, 4, 3] x, float[n, 3, 4] w) => ({outputs})'
        f" <{CONSTANTS}> {{ {body} }}"
    )


IN, OUT = "Transpose<perm = [0, 2, 1]>", "Transpose<perm = [0, 2, 1]>"


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (f"a = {IN}(w)  b = Relu(a)  c = Mul(b, two)  y = {OUT}(c)", 0),
        (f"a = {IN}(w)  b = Add(a, bias)  y = {OUT}(b)", 0),
        (f"a = {IN}(w)  b = Add(a, bias)  c = Mul(b, other)  y = {OUT}(c)", 0),
        (f"a = {IN}(w)  b = Softmax<axis = -1>(a)  y = {OUT}(b)", 0),
        (f"a = {IN}(w)  b = ReduceSum(a, l1)  y = {OUT}(b)", 0),
        (f"a = {IN}(w)  s, t = Split<axis = 2, num_outputs = 2>(a)  u = Concat<axis = -1>(t, s)  y = {OUT}(u)", 0),
        (f"a = {IN}(w)  b = {IN}(w)  c = Exp(b)  d = Add(a, c)  y = Neg(d)", 1),
        (f"a = {IN}(w)  b = Add(a, x)  y = {OUT}(b)", 1),
        (f"a = {IN}(w)  b = Add(a, x)  c = Relu(b)  y = {OUT}(c)", 1),
        (f"a = {IN}(w)  y = Relu(a)", 1),
        ("a = Transpose<perm = [1, 0, 2]>(w)  b = Relu(a)  y = Transpose<perm = [2, 1, 0]>(b)", 1),
    ],
)
def test_pairs_meet(optimize: Optimizer, body: str, left: int) -> None:
    optimized = optimize(_model(body), *PASSES)
    assert optimized.operators["Transpose"] == left
    assert_equal_outputs(optimized, tolerance=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        f"a = {IN}(w)  b = ReduceSum<keepdims = 0>(a, l1)  c = Unsqueeze(b, l1)  y = {OUT}(c)",
        f"a = {IN}(w)  b = CumSum(a, i)  y = {OUT}(b)",
        f"a = {IN}(w)  b = Add(a, bias)  z = Mul(bias, bias)  y = {OUT}(b)",
    ],
)
def test_what_can_not_be_turned_stays(optimize: Optimizer, body: str) -> None:
    outputs = "float[p, q, r] y, float[s] z" if "z =" in body else "float[p, q, r] y"
    text = _model(body, outputs=outputs).replace("int64[1] l1", "int64 i = {1}, int64[1] l1")
    optimized = optimize(text, *PASSES)
    assert optimized.operators["Transpose"] == 2
    assert_equal_outputs(optimized)


def test_softmax_of_old_opsets_stays(optimize: Optimizer) -> None:
    body = f"a = {IN}(w)  b = Softmax<axis = 1>(a)  y = {OUT}(b)"
    assert optimize(_model(body, 11), *PASSES).operators["Transpose"] == 2


def test_outputs_keep_their_order(optimize: Optimizer) -> None:
    body = f"a = {IN}(w)  z = Relu(a)  c = Exp(z)  y = {OUT}(c)"
    optimized = optimize(_model(body, outputs="float[p, q, r] y, float[s, t, u] z"), *PASSES)
    assert optimized.operators["Transpose"] <= 2
    assert_equal_outputs(optimized)


@st.composite
def graphs(draw: st.DrawFn) -> ModelProto:
    """Random graphs of Transposes, sums, activations, Concat and reductions over tensors of rank 3."""
    shapes: dict[str, tuple[int, ...]] = {"x": (2, 3, 4)}
    nodes, constants = [], [numpy_helper.from_array(np.array([1], np.int64), "axis")]
    for index in range(draw(st.integers(3, 9))):
        name, source = f"v{index}", draw(st.sampled_from(sorted(shapes)))
        shape = shapes[source]
        kind = draw(
            st.sampled_from(["turn", "turn", "turn", "unary", "binary", "constant", "concat", "reduce", "soft"])
        )
        if kind == "turn":
            order = draw(st.permutations(range(3)))
            nodes.append(helper.make_node("Transpose", [source], [name], perm=order))
            shape = tuple(shape[axis] for axis in order)
        elif kind == "unary":
            nodes.append(helper.make_node(draw(st.sampled_from(["Neg", "Relu", "Tanh"])), [source], [name]))
        elif kind == "constant":
            size = draw(st.sampled_from([1, shape[-1]]))
            constants.append(numpy_helper.from_array(np.arange(size, dtype=np.float32) / 4, f"c{index}"))
            nodes.append(helper.make_node("Add", [source, f"c{index}"], [name]))
        elif kind == "soft":
            nodes.append(helper.make_node("Softmax", [source], [name], axis=draw(st.integers(-3, 2))))
        elif kind == "reduce":
            nodes.append(helper.make_node("ReduceMax", [source, "axis"], [name]))
            shape = (shape[0], 1, shape[2])
        else:
            other = draw(st.sampled_from([each for each in sorted(shapes) if shapes[each] == shape]))
            if kind == "binary":
                nodes.append(helper.make_node("Add", [source, other], [name]))
            elif max(shape) < 20:
                axis = draw(st.integers(0, 2))
                nodes.append(helper.make_node("Concat", [source, other], [name], axis=axis))
                shape = tuple(size * 2 if place == axis else size for place, size in enumerate(shape))
            else:
                continue
        shapes[name] = shape
    ends = [name for name in shapes if name != "x"]
    kept = [ends[-1], *draw(st.lists(st.sampled_from(ends[:-1]), max_size=2, unique=True))]
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shapes[name]) for name in kept]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shapes["x"])
    graph = helper.make_graph(nodes, "g", [x], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(model=graphs())
def test_random_graphs(optimize: Optimizer, model: ModelProto) -> None:
    optimized = optimize(model, *PASSES)
    assert optimized.result.settled
    assert len(optimized.after.graph.node) <= len(model.graph.node)
    assert_equal_outputs(optimized, tolerance=1e-6)
