"""fuse_attention, fuse_grouped_heads, fuse_attention_heads: what is one Attention, and what would be something else."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

NAMES = ("fuse_attention", "remove_unused")
TURNED = "t = Transpose<perm = [0, 1, 3, 2]>(k)  m = MatMul(q, t)"
BEHIND = "p = Softmax<axis = -1>(n)  y = MatMul(p, v)"


def model_of(body: str, *, opset: int = 23, mask: str = "float[1, 1, 3, 5] mask", batch: str = "b") -> str:
    """A model of queries, keys and values, and a mask."""
    return f"""<ir_version: 10, opset_import: ["" : {opset}]> agraph (float[b, 2, 3, 4] q, float[{batch}, 2, 5, 4] k,
        float[b, 2, 5, 4] v, float[b, 5, 2, 4] flat, {mask}) => (float[w, x1, x2, x3] y)
        <float half = {{0.5}}, float two = {{2}}> {{ {body} }}"""


@pytest.mark.parametrize("opset", [23, 24])
@pytest.mark.parametrize(
    ("body", "left"),
    [
        (f"{TURNED}  n = Mul(m, half)  {BEHIND}", {"Attention": 1}),
        (f"{TURNED}  n = Div(m, two)  {BEHIND}", {"Attention": 1}),
        (f"{TURNED}  s = Mul(half, m)  n = Add(mask, s)  {BEHIND}", {"Attention": 1}),
        (f"{TURNED}  n = Add(m, mask)  p = Softmax<axis = 3>(n)  y = MatMul(p, v)", {"Attention": 1}),
        (
            f"t = Transpose<perm = [0, 2, 3, 1]>(flat)  m = MatMul(q, t)  n = Mul(m, half)  {BEHIND}",
            {"Attention": 1, "Transpose": 1},
        ),
    ],
)
def test_attention(optimize: Optimizer, body: str, left: dict[str, int], opset: int) -> None:
    optimized = optimize(model_of(body, opset=opset), *NAMES)
    assert optimized.operators == left
    assert_equal_outputs(optimized, tolerance=1e-5)


def test_a_mask_of_rank_two(optimize: Optimizer) -> None:
    body = f"{TURNED}  n = Add(m, mask)  {BEHIND}"
    optimized = optimize(model_of(body, mask="float[3, 5] mask"), *NAMES)
    assert optimized.operators == {"Attention": 1}
    assert_equal_outputs(optimized, tolerance=1e-5)


@pytest.mark.parametrize(
    ("body", "opset", "mask", "batch"),
    [
        (f"{TURNED}  n = Mul(m, half)  {BEHIND}", 22, "float[3, 5] mask", "b"),
        (f"{TURNED}  n = Mul(m, half)  {BEHIND}", 23, "float[3, 5] mask", "1"),
        (f"{TURNED}  n = Add(m, mask)  {BEHIND}", 23, "float[1, 1, 3, 1] mask", "b"),
        (f"{TURNED}  n = Add(m, mask)  {BEHIND}", 23, "float[5] mask", "b"),
        (f"{TURNED}  n = Mul(m, mask)  {BEHIND}", 23, "float[3, 5] mask", "b"),
        (f"{TURNED}  n = Mul(m, half)  p = Softmax<axis = 1>(n)  y = MatMul(p, v)", 23, "float[3, 5] mask", "b"),
        (
            f"{TURNED}  n = Mul(m, half)  p = Softmax(n)  o = MatMul(p, v)  y = Concat<axis = 3>(o, p)",
            23,
            "float z",
            "b",
        ),
    ],
)
def test_no_attention(optimize: Optimizer, body: str, opset: int, mask: str, batch: str) -> None:
    assert "Attention" not in optimize(model_of(body, opset=opset, mask=mask, batch=batch), *NAMES).operators


HEADS = ("fuse_attention", "fuse_attention_heads", "remove_unused")
SPLIT = (
    "q3 = Reshape(q, to_q)  q4 = Transpose<perm = [0, 2, 1, 3]>(q3)  k3 = Reshape(k, to_k)"
    "  k4 = Transpose<perm = [0, 2, 3, 1]>(k3)  v3 = Reshape(v, to_k)  v4 = Transpose<perm = [0, 2, 1, 3]>(v3)"
)
ATTENDED = "s = MatMul(q4, k4)  n = Mul(s, half)  p = Softmax<axis = -1>(n)  o = MatMul(p, v4)"
JOINED = "t = Transpose<perm = [0, 2, 1, 3]>(o)  y = Reshape(t, back)"


def heads_of(body: str, *, batch: str = "b", back: str = "0, 3, 8") -> str:
    """A model of queries, keys and values in two heads of four."""
    return f"""<ir_version: 10, opset_import: ["" : 23]> agraph (float[{batch}, 3, 8] q, float[{batch}, 5, 8] k,
        float[{batch}, 5, 8] v, float[1, 1, 3, 5] mask) => (float[w, x, z] y)
        <float half = {{0.5}}, int64[4] to_q = {{0, 3, 2, 4}}, int64[4] to_k = {{0, 5, 2, 4}},
        int64[3] back = {{{back}}}>
        {{ {body} }}"""


@pytest.mark.parametrize("batch", ["2", "b"])
@pytest.mark.parametrize("attended", [ATTENDED, ATTENDED.replace("Softmax<axis = -1>(n)", "Softmax(n)")])
def test_attention_splits_and_joins_heads(optimize: Optimizer, attended: str, batch: str) -> None:
    optimized = optimize(heads_of(f"{SPLIT}  {attended}  {JOINED}", batch=batch), *HEADS)
    assert optimized.operators == {"Attention": 1}
    assert_equal_outputs(optimized, tolerance=1e-5)


def test_a_mask_beside_heads(optimize: Optimizer) -> None:
    attended = ATTENDED.replace("p = Softmax<axis = -1>(n)", "a = Add(n, mask)  p = Softmax<axis = -1>(a)")
    optimized = optimize(heads_of(f"{SPLIT}  {attended}  {JOINED}"), *HEADS)
    assert optimized.operators == {"Attention": 1}
    assert_equal_outputs(optimized, tolerance=1e-5)


@pytest.mark.parametrize(
    ("body", "back"),
    [
        (f"{SPLIT}  {ATTENDED}  t = Transpose<perm = [0, 2, 1, 3]>(o)  y = Reshape(t, back)", "0, 6, 4"),
        (f"{SPLIT}  {ATTENDED}  t = Transpose<perm = [0, 1, 3, 2]>(o)  y = Reshape(t, back)", "0, 8, 3"),
        (f"{SPLIT}  {ATTENDED}  {JOINED.replace('y =', 'j =')}  f = Reshape(q4, back)  y = Add(j, f)", "0, 3, 8"),
    ],
)
def test_heads_that_stay(optimize: Optimizer, body: str, back: str) -> None:
    optimized = optimize(heads_of(body, back=back), *HEADS)
    assert optimized.operators["Attention"] == 1
    assert optimized.operators["Transpose"] >= 3
    assert_equal_outputs(optimized, tolerance=1e-5)


# ---------------------------------------------------------------- grouped queries

GROUPED = ("fuse_grouped_heads", "merge_reshapes", "remove_unused")
REPEATED_KEY = "k1 = Unsqueeze(k, two)  k2 = Expand(k1, times)  k3 = Reshape(k2, all)"
REPEATED_VALUE = "v1 = Unsqueeze(v, two)  v2 = Expand(v1, times)  v3 = Reshape(v2, all)"


def grouped(body: str, *, opset: int = 23, result: str = "float[b, 4, 3, 8] y") -> str:
    """A model of four heads of queries and two of keys and values, in an open batch."""
    return f"""<ir_version: 10, opset_import: ["" : {opset}]> agraph (float[b, 4, 3, 8] q, float[b, 2, 5, 8] k,
        float[b, 2, 5, 8] v, float[3, 5] mask) => ({result})
        <int64[1] one = {{1}}, int64[1] two = {{2}}, int64[5] times = {{1, 1, 2, 1, 1}},
        int64[5] rows = {{1, 2, 1, 1, 1}}, int64[4] all = {{0, 4, 5, 8}}, int64[5] five = {{0, 2, 1, 5, 8}}>
        {{ {body} }}"""


@pytest.mark.parametrize("opset", [23, 24])
@pytest.mark.parametrize(
    ("body", "left"),
    [
        (f"{REPEATED_KEY}  {REPEATED_VALUE}  y = Attention(q, k3, v3)", {"Attention": 1}),
        (f"{REPEATED_KEY}  {REPEATED_VALUE}  y = Attention<scale = 0.5>(q, k3, v3, mask)", {"Attention": 1}),
        (
            f"{REPEATED_KEY}  a = Abs(v)  v1 = Reshape(a, five)  v2 = Expand(v1, times)  v3 = Reshape(v2, all)"
            "  y = Attention(q, k3, v3)",
            {"Abs": 1, "Attention": 1},
        ),
    ],
)
def test_attention_repeats_heads(optimize: Optimizer, body: str, left: dict[str, int], opset: int) -> None:
    optimized = optimize(grouped(body, opset=opset), *GROUPED)
    assert optimized.operators == left
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(
    "body",
    [
        f"{REPEATED_KEY}  v1 = Unsqueeze(v, one)  v2 = Expand(v1, rows)  v3 = Reshape(v2, all)"
        "  y = Attention(q, k3, v3)",
        f"{REPEATED_KEY}  v3 = Concat<axis = 1>(v, v)  y = Attention(q, k3, v3)",
        f"{REPEATED_KEY}  {REPEATED_VALUE}  a = Attention(q, k3, v3)  f = ReduceSum(k3)  y = Add(a, f)",
    ],
    ids=["in another order", "keys only", "read by others"],
)
def test_heads_that_are_repeated_otherwise_stay(optimize: Optimizer, body: str) -> None:
    optimized = optimize(grouped(body), *GROUPED)
    assert optimized.operators["Expand"] >= 1
    assert_equal_outputs(optimized)


def test_heads_are_not_squeezed_where_that_makes_the_model_larger(optimize: Optimizer) -> None:
    single = "single_heads" * 40
    body = f"{REPEATED_KEY}  a = Abs(v)  {single} = Reshape(a, five)  v2 = Expand({single}, times)"
    optimized = optimize(grouped(f"{body}  v3 = Reshape(v2, all)  y = Attention(q, k3, v3)"), "fuse_grouped_heads")
    assert optimized.operators["Expand"] == 2
    assert any("larger" in reason for reason in optimized.reasons)


def test_heads_repeated_for_an_attention_with_a_cache_stay(optimize: Optimizer) -> None:
    body = f"{REPEATED_KEY}  {REPEATED_VALUE}  y, past = Attention(q, k3, v3)"
    optimized = optimize(grouped(body, result="float[b, 4, 3, 8] y, float[b, 4, 5, 8] past"), *GROUPED)
    assert optimized.operators["Expand"] == 2


# ---------------------------------------------------------------- turned heads

TURNED_HEADS = "qr = RotaryEmbedding(q4, cos, sin)  kr = RotaryEmbedding<interleaved = 1>(k4, cos, sin)"
SPLIT_HEADS = (
    "q3 = Reshape(q, to_q)  q4 = Transpose<perm = [0, 2, 1, 3]>(q3)  k3 = Reshape(k, to_k)"
    "  k4 = Transpose<perm = [0, 2, 1, 3]>(k3)  v3 = Reshape(v, to_k)  v4 = Transpose<perm = [0, 2, 1, 3]>(v3)"
)
BACK = "t = Transpose<perm = [0, 2, 1, 3]>(a)  y = Reshape(t, back)"


def turned(body: str) -> str:
    """A model whose queries have four heads of four, its keys and values two, and what turns them."""
    return f"""<ir_version: 10, opset_import: ["" : 23]> agraph (float[b, 5, 16] q, float[b, 5, 8] k, float[b, 5, 8] v,
        float[b, 5, 2] cos, float[b, 5, 2] sin) => (float[b, 5, 16] y)
        <int64[4] to_q = {{0, 5, 4, 4}}, int64[4] to_k = {{0, 5, 2, 4}}, int64[3] back = {{0, 5, 16}}> {{ {body} }}"""


def test_turned_heads_are_split_by_what_turns_them(optimize: Optimizer) -> None:
    body = f"{SPLIT_HEADS}  {TURNED_HEADS}  a = Attention(qr, kr, v4)  {BACK}"
    optimized = optimize(turned(body), "fuse_attention_heads", "remove_unused")
    assert optimized.operators == {"RotaryEmbedding": 2, "Attention": 1}
    assert_equal_outputs(optimized)


def test_turned_heads_that_others_read_stay(optimize: Optimizer) -> None:
    body = f"{SPLIT_HEADS}  {TURNED_HEADS}  a = Attention(qr, kr, v4)  s = ReduceSum(kr)  c = Add(a, s)"
    optimized = optimize(turned(f"{body}  {BACK.replace('(a)', '(c)')}"), "fuse_attention_heads", "remove_unused")
    assert optimized.operators["Transpose"] == 4
    assert_equal_outputs(optimized)
