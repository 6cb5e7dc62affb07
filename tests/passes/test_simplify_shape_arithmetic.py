"""Computed shapes become constants where the symbols prove it, and each size is computed once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

PASSES = ("lift_constants", "simplify_shape_arithmetic", "remove_unused")
CONSTANTS = (
    "int64 i0 = {0}, int64 i1 = {1}, int64[1] l0 = {0}, int64[1] l1 = {1}, int64[1] l2 = {2}, int64[1] minus = {-1},"
    " int64[1] heads = {4}, int64[1] width = {3}, int64[1] far = {9223372036854775807}"
)
SIZES = "s = Shape(x)  b = Gather(s, i0)  t = Gather(s, i1)  bl = Unsqueeze(b, l0)  tl = Unsqueeze(t, l0)"


def _model(body: str, opset: int = 17) -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[batch, seq, 12] x) => (float[one, m] y)'
        f" <{CONSTANTS}> {{ {body}  z = Exp(r)  y = Flatten<axis = 0>(z) }}"
    )


def _feeds() -> list[dict[str, np.ndarray]]:
    return [{"x": np.arange(b * t * 12, dtype=np.float32).reshape(b, t, 12)} for b, t in ((1, 1), (2, 5), (3, 1))]


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize(
    ("body", "left"),
    [
        (f"{SIZES}  d = Concat<axis = 0>(bl, tl, heads, width)  r = Reshape(x, d)", ["Reshape"]),
        (f"{SIZES}  d = Concat<axis = 0>(bl, tl, minus, width)  r = Reshape(x, d)", ["Reshape"]),
        (f"{SIZES}  p = Mul(bl, tl)  d = Concat<axis = 0>(p, heads, width)  r = Reshape(x, d)", ["Reshape"]),
        (f"{SIZES}  d = Concat<axis = 0>(bl, minus)  r = Reshape(x, d)", ["Reshape"]),
        (f"{SIZES}  r = Slice(x, l0, tl, l1)", []),
        (f"{SIZES}  d = Concat<axis = 0>(bl, tl, l1)  r = Expand(x, d)", []),
        (f"{SIZES}  q = Div(t, t)  f = Cast<to = 1>(q)  r = Add(x, f)", None),
        ("s = Shape(x)  b = Slice(s, l2, far)  f = Cast<to = 1>(b)  r = Mul(x, f)", ["Cast", "Mul"]),
    ],
)
def test_chains_become_constants(optimize: Optimizer, opset: int, body: str, left: list[str] | None) -> None:
    optimized = optimize(_model(body, opset), *PASSES)
    if left is not None:
        assert sorted(optimized.operators.elements()) == sorted([*left, "Exp", "Flatten"])
    for feeds in _feeds():
        assert_equal_outputs(optimized, feeds)


@pytest.mark.parametrize(
    "body",
    [
        f"{SIZES}  d = Concat<axis = 0>(tl, bl, heads, width)  r = Reshape(x, d)",
        f"{SIZES}  d = Concat<axis = 0>(heads, bl, tl, width)  r = Reshape(x, d)",
    ],
)
def test_two_sizes_out_of_place_stay(optimize: Optimizer, body: str) -> None:
    optimized = optimize(_model(body), *PASSES)
    assert optimized.operators["Concat"] == 1
    assert optimized.reasons == ["its shape is computed, and more than one size of the result is not known"]
    for feeds in _feeds():
        assert_equal_outputs(optimized, feeds)


def test_slices_and_expansions_that_do_something_stay(optimize: Optimizer) -> None:
    body = f"{SIZES}  u = Sub(tl, l1)  c = Slice(x, l0, u, l1)  e = Unsqueeze(c, l0)"
    body += "  d = Concat<axis = 0>(bl, l1, l1, l1)  r = Expand(e, d)"
    optimized = optimize(_model(body), *PASSES)
    assert optimized.operators["Slice"] == 1
    assert optimized.operators["Expand"] == 1
    for feeds in _feeds():
        assert_equal_outputs(optimized, feeds)


def test_a_backward_slice_of_everything_stays(optimize: Optimizer) -> None:
    optimized = optimize(_model(f"{SIZES}  far_back = Neg(far)  r = Slice(x, minus, far_back, l1, minus)"), *PASSES)
    assert optimized.operators["Slice"] == 1
    for feeds in _feeds():
        assert_equal_outputs(optimized, feeds)


def test_in_subgraphs_with_sizes_from_outside(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (bool c, float[n, 6] x) => (float[p, q, r] y)
        <int64[1] l0 = {0}, int64[1] two = {2}, int64[1] three = {3}> {
        s = Shape(x)  size_of_the_batch = Gather(s, l0)
        y = If (c) <
            then_branch = one () => (float[p, q, r] o) { where_to = Concat<axis = 0>(size_of_the_batch, two, three)  o
            = Reshape(x, where_to) }, else_branch = two () => (float[p, q, r] o) { where_to = Concat<axis =
            0>(size_of_the_batch, three, two)  o = Reshape(x, where_to) }
        >
    }"""
    optimized = optimize(text, *PASSES)
    assert set(optimized.operators) <= {"If", "Reshape", "Constant"}
    for taken in (True, False):
        assert_equal_outputs(optimized, {"c": np.array(taken), "x": np.arange(12, dtype=np.float32).reshape(2, 6)})


def test_each_size_is_computed_once(optimize: Optimizer) -> None:
    body = (
        f"{SIZES}  e = Exp(x)  s2 = Shape(e)  t2 = Gather(s2, i1)  r1 = Range(i0, t, i1)  r2 = Range(i0, t2, i1)"
        "  a = Add(r1, r2)  f = Cast<to = 1>(a)  g = Unsqueeze(f, l1)  r = Add(e, g)"
    )
    optimized = optimize(_model(body), "share_sizes", "eliminate_common_subexpressions", "remove_unused")
    assert optimized.operators["Shape"] == 1
    assert optimized.operators["Gather"] == 1
    assert optimized.operators["Range"] == 1
    for feeds in _feeds():
        assert_equal_outputs(optimized, feeds)


@pytest.mark.parametrize(("opset", "left"), [(13, {"Shape", "Gather", "Unsqueeze"}), (17, {"Shape"})])
def test_a_stretch_of_an_inputs_shape(optimize: Optimizer, opset: int, left: set[str]) -> None:
    body = f"e = Exp(x)  {SIZES.replace('Shape(x)', 'Shape(e)')}  f = Cast<to = 1>(tl)  r = Mul(e, f)"
    optimized = optimize(_model(body, opset), "share_sizes", "remove_unused")
    assert set(optimized.operators) - {"Exp", "Cast", "Mul", "Flatten"} == left
    for feeds in _feeds():
        assert_equal_outputs(optimized, feeds)


def test_sizes_that_are_outputs_stay(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (float[n] x) => (int64[1] a, int64[1] b, float[n] y)
        { a = Shape(x)  y = Exp(x)  b = Shape(y) }"""
    optimized = optimize(text, "share_sizes", "remove_unused")
    assert optimized.operators["Shape"] == 2
    assert_equal_outputs(optimized)


def test_an_output_among_equal_sizes_keeps_its_name_and_its_readers(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 11]> agraph (float[n, k] x) => (int64[2] a, int64[2] b, float[n, k] y)
        <int64[2] two = {2, 2}> { y = Exp(x)  s = Shape(y)  t = Neg(s)  a = Shape(y)  u = Shape(y)  w = Sub(t, two)
        b = Mul(w, u) }"""
    optimized = optimize(text, "share_sizes", "remove_unused")
    assert optimized.operators["Shape"] == 1
    assert_equal_outputs(optimized)


def test_sizes_in_a_tensor_of_another_rank_stay(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (float[n] x) => (int64[1, 1] r)
        <int64[2] ones = {1, 1}> { y = Exp(x)  s = Shape(y)  r = Reshape(s, ones) }"""
    optimized = optimize(text, "share_sizes", "remove_unused")
    assert_equal_outputs(optimized)


def test_what_is_freed_is_counted_once(optimize: Optimizer) -> None:
    rank = 12
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        agraph (float[{", ".join("2" * rank)}] x, float[4096] v) => (float[{", ".join("2" * rank)}] y) {{
        s = Shape(x)  first, second = Split<axis = 0>(s)  d = Concat<axis = 0>(first, second)  y = Reshape(v, d) }}"""
    optimized = optimize(text, "simplify_shape_arithmetic", "remove_unused")
    assert "a constant would be larger than what computes it" in optimized.reasons


def test_what_may_have_effects_is_not_freed(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "vendor" : 1]>
        agraph (float[4, 4] x, float[16] v) => (float[4, 4] y) <float[4, 4] c> {
        c = vendor.Log<to = "a file whose name takes more bytes than the shape that follows from it">(x)
        s = Shape(c)  y = Reshape(v, s) }"""
    optimized = optimize(text, "simplify_shape_arithmetic", "remove_unused")
    assert optimized.operators["Log"] == 1


def test_what_is_pinned_is_not_freed(optimize: Optimizer) -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        agraph (float[4, 4] x, float[16] v) => (float[4, 4] y) {
        a = Neg(x)  s = Shape(a)  y = Reshape(v, s) }""")
    model.graph.node[0].doc_string = "more bytes than the shape that follows from it"
    model.graph.quantization_annotation.add(tensor_name="a")
    assert optimize(model, "simplify_shape_arithmetic", "remove_unused").operators["Neg"] == 1


def test_what_computed_a_shape_goes_at_once(optimize: Optimizer) -> None:
    body = "v = Abs(x)  s = Shape(v)  w = Gather(s, l2)  d = Concat<axis = 0>(minus, w)  r = Reshape(x, d)"
    optimized = optimize(_model(body), "simplify_shape_arithmetic")
    assert optimized.operators == {"Reshape": 1, "Exp": 1, "Flatten": 1}
    for feeds in _feeds():
        assert_equal_outputs(optimized, feeds)
