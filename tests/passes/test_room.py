"""No rewrite makes the model larger by shapes, bounds, sizes or axes that it writes down: `optimize` checks that."""

from __future__ import annotations

import onnx
import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs


def _model(opset: int, inputs: str, outputs: str, constants: str, body: str) -> str:
    return f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) <{constants}> {{ {body} }}'


SLICED = "int64[1] a = {1}, int64[1] b = {3}, int64[1] c = {0}"
"""Bounds that a second reader keeps in the model."""

WITHOUT_ROOM = {
    "merge_reshapes": _model(
        11,
        "float[1, 6, 4, 1] x",
        "float[a, b, c, d, e] y",
        "",
        "t = Transpose<perm = [1, 2, 3, 0]>(x)  y = Unsqueeze<axes = [0]>(t)",
    ),
    "merge_slices": _model(
        17,
        "float[8, 9, n] x",
        "float[p, q, r] y, int64[s] z",
        SLICED,
        "s = Slice(x, a, b, c)  y = Slice(s, a, b, a)  z = Concat<axis = 0>(a, b, c)",
    ),
    "merge_splits": _model(
        13,
        "float[8, 4] x",
        "float[a, b] u, float[c, d] v, float[e, f] w",
        "",
        "u, t = Split(x)  v, w = Split(t)",
    ),
    "merge_slices_into_split": _model(
        17,
        "float[4, 4] x",
        "float[p, q] u, float[r, s] v, int64[t] w",
        "int64[1] a = {0}, int64[1] b = {2}, int64[1] c = {4}",
        "u = Slice(x, a, b)  v = Slice(x, b, c)  w = Concat<axis = 0>(a, b, c)",
    ),
    "merge_pads": _model(
        17,
        "float[2, 3] x",
        "float[p, q] y, int64[r] z",
        "int64[4] a = {1, 0, 0, 0}, int64[4] b = {0, 1, 0, 0}",
        "s = Pad(x, a)  y = Pad(s, b)  z = Concat<axis = 0>(a, b)",
    ),
    "eliminate_reductions": _model(
        17, "float[n, 1, 1, 1, 1] x", "float[n] y", "", "y = ReduceMax<axes = [1, 2, 3, 4], keepdims = 0>(x)"
    ),
}


@pytest.mark.parametrize("name", WITHOUT_ROOM)
def test_what_would_grow_is_left_alone_and_said_to_be(optimize: Optimizer, name: str) -> None:
    optimized = optimize(WITHOUT_ROOM[name], name, "remove_unused")
    assert optimized.after.graph.node == optimized.before.graph.node
    assert any("larger" in reason for reason in optimized.reasons)


@pytest.mark.parametrize("name", WITHOUT_ROOM)
def test_the_same_is_done_where_there_is_room(optimize: Optimizer, name: str) -> None:
    model = onnx.parser.parse_model(WITHOUT_ROOM[name])
    model.graph.initializer.append(onnx.helper.make_tensor("unread", onnx.TensorProto.FLOAT, [50], [0.0] * 50))
    optimized = optimize(model, name, "remove_unused")
    assert optimized.result.passes[0].rewrite_count == 1
    assert_equal_outputs(optimized)


@pytest.mark.parametrize("axes", ["", ", l"])
def test_a_reduction_hands_its_axes_on(optimize: Optimizer, axes: str) -> None:
    """Shape(x) has one element: its sum over all axes, or over the stated one, is a Squeeze of it."""
    body = f"s = Shape(x)  y = ReduceSum<keepdims = 0>(s{axes})  z = Add(s, l)"
    text = _model(20, "float[n] x", "int64 y, int64[1] z", "int64[1] l = {0}", body)
    optimized = optimize(text, "eliminate_reductions", "remove_unused")
    assert optimized.operators == {"Shape": 1, "Squeeze": 1, "Add": 1}
    assert len(optimized.after.graph.initializer) == 1
    assert_equal_outputs(optimized)


def test_every_branch_takes_of_the_same_room(optimize: Optimizer) -> None:
    """There is room for one constant more, and four branches that would each become one."""
    branches = "then_branch = a () => (int64[n] o) { o = Neg(k) }, else_branch = b () => (int64[n] o) { o = Abs(k) }"
    body = f"y = If(c) <{branches}>  z = If(c) <{branches}>"
    constants = "int64[2] k = {1, -2}, float[12] unread = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}"
    text = _model(17, "bool c", "int64[n] y, int64[n] z", constants, body)
    optimized = optimize(text, "fold_constants", "remove_unused")
    assert any("may not grow" in reason for reason in optimized.reasons)
