"""Operators that do nothing go; those that look like it and do something stay. One table for all such passes."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

GONE = [
    ("eliminate_identity", 17, "b = Identity(a)"),
    ("eliminate_identity", 17, "b = Concat<axis = 0>(a)"),
    ("eliminate_identity", 17, "b = Sum(a)"),
    ("eliminate_dropout", 17, "b = Dropout(a)"),
    (
        "eliminate_dropout",
        17,
        "r = Constant<value_float = 0.5>()  t = Constant<value = bool {0}>()  b = Dropout(a, r, t)",
    ),
    ("eliminate_dropout", 10, "b = Dropout<ratio = 0.5>(a)"),
    ("eliminate_cast", 17, "b = Cast<to = 1>(a)"),
    ("eliminate_reshape", 17, "s = Constant<value_ints = [0, 4, -1]>()  b = Reshape(a, s)"),
    ("eliminate_reshape", 17, "s = Constant<value_ints = [-1, 4, 5]>()  b = Reshape(a, s)"),
    ("eliminate_reshape", 17, "s = Constant<value_ints = [1, 1]>()  b = Expand(a, s)"),
    ("eliminate_reshape", 17, "s = Shape(a)  b = Reshape(a, s)"),
    (
        "eliminate_slice",
        17,
        "s = Constant<value_ints = [0]>()  e = Constant<value_ints = [9]>()  b = Slice(a, s, e, i)",
    ),
    ("eliminate_slice", 9, "b = Slice<starts = [0], ends = [2147483647]>(a)"),
    ("eliminate_pad", 17, "p = Constant<value_ints = [0, 0, 0, 0, 0, 0]>()  b = Pad(a, p)"),
    ("eliminate_pad", 10, "b = Pad<pads = [0, 0, 0, 0, 0, 0]>(a)"),
    ("eliminate_pad", 17, "p = Constant<value_ints = [1, 1, 1]>()  b = Tile(a, p)"),
    ("eliminate_transpose", 17, "b = Transpose<perm = [0, 1, 2]>(a)"),
    ("eliminate_arithmetic", 17, "c = Constant<value_float = 1.0>()  b = Mul(c, a)"),
    ("eliminate_arithmetic", 17, "c = Constant<value_floats = [1.0]>()  b = Div(a, c)"),
    ("eliminate_arithmetic", 17, "c = Constant<value_float = 0.0>()  b = Sub(a, c)"),
    ("eliminate_arithmetic", 17, "c = Constant<value_float = 1.0>()  b = Pow(a, c)"),
    ("eliminate_arithmetic", 17, "c = Constant<value_float = -0.0>()  b = Add(a, c)"),
    ("eliminate_add_zero", 17, "c = Constant<value_float = 0.0>()  b = Add(a, c)"),
    ("eliminate_add_zero", 17, "c = Constant<value = float[5] {0, 0, 0, 0, 0}>()  b = Add(c, a)"),
]

STAY = [
    ("eliminate_identity", 17, "b = Concat<axis = 0>(a, x)"),
    ("eliminate_dropout", 17, "r = Constant<value_float = 0.0>()  b, m = Dropout(a)  n = Cast<to = 1>(m)"),
    ("eliminate_cast", 17, "c = Cast<to = 10>(a)  b = Cast<to = 1>(c)"),
    ("eliminate_reshape", 17, "s = Constant<value_ints = [0, 5, 4]>()  b = Reshape(a, s)"),
    ("eliminate_reshape", 17, "s = Constant<value_ints = [2, 1, 1, 1]>()  b = Expand(a, s)"),
    (
        "eliminate_slice",
        17,
        "s = Constant<value_ints = [1]>()  e = Constant<value_ints = [9]>()  b = Slice(a, s, e, i)",
    ),
    ("eliminate_slice", 9, "b = Slice<starts = [0], ends = [3]>(a)"),
    (
        "eliminate_slice",
        17,
        "s = Constant<value_ints = [9]>()  e = Constant<value_ints = [-9]>()  t = Constant<value_ints = [-1]>()"
        "  b = Slice(a, s, e, i, t)",
    ),
    ("eliminate_pad", 17, "p = Constant<value_ints = [0, 0, 0, 0, 0, 1]>()  b = Pad(a, p)"),
    ("eliminate_pad", 17, "p = Constant<value_ints = [1, 1, 2]>()  b = Tile(a, p)"),
    ("eliminate_transpose", 17, "b = Transpose<perm = [0, 2, 1]>(a)"),
    ("eliminate_transpose", 17, "b = Transpose(a)"),
    ("eliminate_arithmetic", 17, "c = Constant<value_float = 1.0>()  b = Div(c, a)"),
    ("eliminate_arithmetic", 17, "c = Constant<value_float = 0.0>()  b = Mul(a, c)"),
    ("eliminate_arithmetic", 17, "c = Constant<value_float = 0.0>()  b = Add(a, c)"),
    ("eliminate_arithmetic", 17, "c = Constant<value = float[2, 1, 1, 1] {1, 1}>()  b = Mul(a, c)"),
    ("eliminate_add_zero", 17, "c = Constant<value = float[1, 1, 1, 1] {0}>()  b = Add(a, c)"),
]


def _model(opset: int, body: str) -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[n, 4, 5] x) => (float y)'
        f" <int64[1] i = {{1}}> {{ a = Abs(x)  {body}  y = Neg(b) }}"
    ).replace("(float y)", "(float[%s] y)")


def _ranks(body: str) -> str:
    return "p, q, r, s" if "1, 1, 1]" in body and "Tile" not in body else "p, q, r"


@pytest.mark.parametrize(("name", "opset", "body"), GONE)
def test_goes(optimize: Optimizer, name: str, opset: int, body: str) -> None:
    optimized = optimize(_model(opset, body) % "n, 4, 5", name, "remove_unused")
    assert optimized.operators == {"Abs": 1, "Neg": 1}
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(("name", "opset", "body"), STAY)
def test_stays(optimize: Optimizer, name: str, opset: int, body: str) -> None:
    optimized = optimize(_model(opset, body) % _ranks(body), name)
    assert optimized.after.graph.node == optimized.before.graph.node


def test_dropout_that_may_train_stays(optimize: Optimizer) -> None:
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17]>
        agraph (float[4] x, bool t) => (float[4] y) <float r = {0.5}> { y = Dropout(x, r, t) }""",
        "eliminate_dropout",
    )
    assert optimized.operators == {"Dropout": 1}
    assert optimized.reasons == ["may be in training mode"]


OUTPUTS = [
    ("b = Abs(x)  y = Identity(b)", {"Abs": 1}),
    ("b = Abs(x)  y = Identity(b)  z = Neg(b)", {"Abs": 1, "Neg": 1}),
    ("y = Identity(x)", {"Identity": 1}),
    ("y = Identity(w)", {"Identity": 1}),
    ("z = Abs(x)  y = Identity(z)", {"Abs": 1, "Identity": 1}),
    ("b = Abs(x)  y = Identity(b)  z = Identity(b)", {"Abs": 1, "Identity": 1}),
]


@pytest.mark.parametrize(("body", "left"), OUTPUTS)
def test_outputs_of_the_graph_keep_their_names(optimize: Optimizer, body: str, left: dict[str, int]) -> None:
    more = ", float[2] z" if "z = " in body else ""
    optimized = optimize(
        f'<ir_version: 8, opset_import: ["" : 17]> agraph (float[2] x) => (float[2] y{more})'
        f" <float[2] w = {{1, 2}}> {{ {body} }}",
        "eliminate_identity",
    )
    assert optimized.operators == left
    assert_equal_outputs(optimized)


def test_a_subgraph_reads_the_replacement(optimize: Optimizer) -> None:
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17]> agraph (bool c, float[2] x) => (float[2] y) {
            a = Identity(x)
            y = If (c) <
                then_branch = one () => (float[2] t) { b = Identity(a)  t = Neg(b) },
                else_branch = two () => (float[2] e) { e = Identity(a) }
            >
        }""",
        "eliminate_identity",
    )
    assert optimized.operators == {"If": 1, "Neg": 1, "Identity": 1}
    import numpy as np

    for condition in (True, False):
        assert_equal_outputs(optimized, {"c": np.array(condition), "x": np.array([3, 4], np.float32)})


def test_a_value_with_a_quantization_annotation_stays(optimize: Optimizer) -> None:
    import onnx

    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> agraph (float[2] x) => (float[2] y) {
            a = Abs(x)  b = Identity(a)  y = Neg(b) }"""
    )
    model.graph.quantization_annotation.add(tensor_name="b")
    assert optimize(model).operators == {"Abs": 1, "Identity": 1, "Neg": 1}


def test_a_squeeze_of_every_one_stays_where_a_symbol_may_be_one(optimize: Optimizer) -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]> agraph (float[n, 3] x) => (float y) {'
    optimized = optimize(text + " a = Squeeze(x)  y = Exp(a) }", "eliminate_reshape")
    assert optimized.operators["Squeeze"] == 1


@pytest.mark.parametrize(
    ("opset", "split"), [(11, "Split(x)"), (17, "Split(x, two)"), (18, "Split<num_outputs = 1>(x)")]
)
def test_a_split_in_one_piece_goes(optimize: Optimizer, opset: int, split: str) -> None:
    head = f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[2, 3] x) => (float[a, b] y)'
    text = f"{head} <int64[1] two = {{2}}> {{ a = {split}  y = Exp(a) }}"
    optimized = optimize(text, "eliminate_slice", "remove_unused")
    assert optimized.operators == {"Exp": 1}
    assert_equal_outputs(optimized)


def test_a_part_without_elements_is_not_joined(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (float[2, n] x, float[0, n] none) => (float[a, b] y)
        { j = Concat<axis = 0>(none, x)  y = Exp(j) }"""
    optimized = optimize(text, "merge_concats", "eliminate_identity", "remove_unused")
    assert optimized.operators == {"Exp": 1}


@pytest.mark.parametrize("opset", [15, 19, 23])
def test_cast_like_names_its_type(optimize: Optimizer, opset: int) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]> agraph (int64[n] x, float[n] z) => (float[n] y) {{
        t = Exp(z)  a = CastLike(x, t)  b = Relu(a)  u = Neg(z)  c = CastLike(b, u)  y = Abs(c)
    }}"""
    optimized = optimize(text, "eliminate_cast", "remove_unused")
    assert optimized.operators == {"Cast": 1, "Relu": 1, "Abs": 1}
    assert_equal_outputs(optimized)
