"""Inputs made from the graph: every model runs, sizes and indices fit, and the same seed gives the same values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxctl.errors import ModelError, ResourceLimit, UsageError
from onnxctl.runtime.feeds import check_memory, planned_bytes
from onnxctl.runtime.values import summarize_value
from tests.conftest import sample_paths, shared_paths
from tests.runtime.models import (
    HEADER,
    feeds_for,
    find_feeds_for,
    node_tests,
    not_of_an_older_onnxruntime,
    open_test_session,
    run_with_feeds,
    shapes_of,
    write_model,
)

NOT_FOR_ONNXRUNTIME = {"test_regex_split_with_offsets.onnx", "super_resolution.onnx"}
"""A custom operator, and a model of IR version 1."""

OPEN_NODE_TESTS = {
    "test_convinteger_with_padding": "onnxruntime has no per-channel zero points",
    "test_attention_4d_diff_heads_mask4d_padded_kv": "onnxruntime wants a mask of the padded length",
    **dict.fromkeys(
        [f"test_affine_grid_{rank}d{kind}_expanded" for rank in (2, 3) for kind in ("", "_align_corners")],
        "a shape read through a dozen operators",
    ),
}
"""Backend tests that onnxruntime loads, but does not run on the inputs made for them."""


@pytest.mark.parametrize("path", [*sample_paths(), *shared_paths()], ids=lambda path: path.stem)
def test_every_model_runs_on_the_inputs_made_for_it(path: Path) -> None:
    if path.name in NOT_FOR_ONNXRUNTIME:
        pytest.skip("onnxruntime can't load it")
    feeds, _ = run_with_feeds(str(path))
    assert set(feeds.sources) == set(feeds.values)
    assert all(feeds.sources.values())


def _failing_node_tests(folder: Path, names: list[str]) -> set[str]:
    failing, loaded = set(), 0
    for name in names:
        path = write_model(folder, node_tests()[name])
        try:
            session = open_test_session(path)
        except ModelError:
            continue
        loaded += 1
        try:
            find_feeds_for(session)
        except ModelError:
            failing.add(name)
    assert loaded > 0.8 * len(names)
    return failing


@not_of_an_older_onnxruntime
def test_a_sample_of_the_operators_runs(tmp_path: Path) -> None:
    names = sorted(node_tests())[::16]
    assert _failing_node_tests(tmp_path, names) <= set(OPEN_NODE_TESTS)


@pytest.mark.slow
def test_every_operator_runs(tmp_path: Path) -> None:
    assert _failing_node_tests(tmp_path, sorted(node_tests())) == set(OPEN_NODE_TESTS)


SIZES = {
    "a symbol is one size": (
        "g (float[batch, n] x, float[n, batch] y) => (float[n] z) { t = MatMul(y, x) \n z = ReduceSum<keepdims=0>(t) }",
        {"x": (1, 8), "y": (8, 1)},
    ),
    "a Conv's weight fixes the channels": (
        "g (float[?, ?, ?, ?] x) => (y) <float[2, 5, 1, 1] w = {1,1,1,1,1,1,1,1,1,1}> { y = Conv(x, w) }",
        {"x": (1, 5, 32, 32)},
    ),
    "a MatMul's weight, through a Transpose": (
        "g (float[?, ?] x) => (y) <float[3, 1] w = {1, 2, 3}> { t = Transpose(x) \n y = MatMul(t, w) }",
        {"x": (3, 8)},
    ),
    "a Gemm's transposed weight": (
        "g (float[n, ?] x) => (y) <float[1, 4] w = {1, 2, 3, 4}> { y = Gemm<transB=1>(x, w) }",
        {"x": (1, 4)},
    ),
    "a Reshape to fixed sizes": (
        "g (float[batch, ?] x) => (y) <int64[3] s = {0, 2, 3}> { y = Reshape(x, s) }",
        {"x": (1, 6)},
    ),
    "a Reshape that leaves the batch free": (
        "g (float[batch, ?] x) => (y) <int64[3] s = {-1, 2, 3}> { y = Reshape(x, s) }",
        {"x": (1, 6)},
    ),
    "an Add with a fixed size": (
        "g (float[1, ?] x) => (y) <float[5] b = {1, 2, 3, 4, 5}> { y = Add(x, b) }",
        {"x": (1, 5)},
    ),
    "two inputs that are concatenated": (
        "g (float[n, a] x, float[m, b] y) => (z) { z = Concat<axis=1>(x, y) }",
        {"x": (1, 8), "y": (1, 8)},
    ),
    "a Split in known parts": (
        "g (float[1, ?] x) => (y, z) <int64[2] s = {2, 5}> { y, z = Split<axis=1>(x, s) }",
        {"x": (1, 7)},
    ),
    "the letters of an Einsum": (
        'g (float[2, ?] x) => (y) <float[3, 1] w = {1, 2, 3}> { y = Einsum<equation="ij,jk->ik">(x, w) }',
        {"x": (2, 3)},
    ),
    "an LSTM's weight and its states": (
        "g (float[?, ?, ?] x, float[?, ?, ?] h, float[?, ?, ?] c) => (y)"
        "<float[1, 4, 2] w = {1,1,1,1,1,1,1,1}, float[1, 4, 1] r = {1,1,1,1}> "
        '{ y = LSTM<hidden_size=1>(x, w, r, "", "", h, c) }',
        {"x": (1, 16, 2), "h": (1, 16, 1), "c": (1, 16, 1)},
    ),
    "the features a linear model reads": (
        "g (float[?, ?] x) => (y) { y = ai.onnx.ml.LinearRegressor<coefficients=[1.0, 2.0, 3.0]>(x) }",
        {"x": (1, 3)},
    ),
    "sums of symbols": (
        'g (float[batch, "past_length"] x, float[batch, "past_length + 1"] y) => (z) { z = Concat<axis=1>(x, y) }',
        {"x": (1, 8), "y": (1, 9)},
    ),
    "what old exporters write for unknown": (
        'g (float["?", "?"] x) => (y) <float[3, 1] w = {1, 2, 3}> { y = MatMul(x, w) }',
        {"x": (1, 3)},
    ),
    "within a function": (
        '<ir_version: 10, opset_import: ["": 21, "own": 1]> g (float[?, ?] x) => (y) <float[3, 1] w = {1, 2, 3}> '
        '{ y = own.Product(x, w) } <domain: "own", opset_import: ["": 21]> Product (a, b) => (c) { c = MatMul(a, b) }',
        {"x": (1, 3)},
    ),
    "within a branch": (
        "g (float[?, ?] x, bool c) => (float[?, ?] y) <float[3, 1] w = {1, 2, 3}> { y = If(c) <"
        "then_branch = t () => (float[?, ?] p) { p = MatMul(x, w) }, else_branch = e () => (float[?, ?] q) "
        "{ q = Identity(x) }> }",
        {"x": (1, 3), "c": ()},
    ),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes_fit_what_reads_them(case: str, tmp_path: Path) -> None:
    text, expected = SIZES[case]
    feeds, _ = run_with_feeds(write_model(tmp_path, text))
    assert shapes_of(feeds) == expected


def test_an_input_without_a_shape_gets_the_rank_its_reader_wants(tmp_path: Path) -> None:
    text = "g (float[1] x) => (y) <float[2, 3, 1, 1] w = {1, 1, 1, 1, 1, 1}> { y = Conv(x, w) }"
    model = onnx.parser.parse_model(HEADER + text)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert shapes_of(feeds_for(write_model(tmp_path, model)))["x"] == (1, 3, 224, 224)


INDICES = {
    "rows of a table": ("{ y = Gather(table, i) }", 0, 2),
    "through Cast, Reshape and Unsqueeze": (
        "{ a = Cast<to=7>(i) \n b = Reshape(a, flat) \n y = Gather(table, b) }",
        0,
        2,
    ),
    "after an offset": ("{ a = Add(i, one) \n y = Gather(table, a) }", -1, 1),
    "after a factor": ("{ a = Mul(i, two) \n y = Gather(table, a) }", 0, 1),
    "subtracted from a number": ("{ a = Sub(two, i) \n y = Gather(table, a) }", 0, 2),
    "the narrowest of two tables": ("{ a = Gather(table, i) \n b = Gather(short, i) \n y = Add(a, b) }", 0, 1),
    "along another axis": ("{ y = Gather<axis=1>(table, i) }", 0, 1),
}


@pytest.mark.parametrize("case", INDICES)
def test_indices_stay_within_what_they_index(case: str, tmp_path: Path) -> None:
    nodes, low, high = INDICES[case]
    weights = "float[3, 2] table = {1,2,3,4,5,6}, float[2, 2] short = {1,2,3,4}, int64 one = {1}, int64 two = {2}"
    path = write_model(tmp_path, f"g (int64[1, 50] i) => (y) <{weights}, int64[1] flat = {{-1}}> {nodes}")
    feeds, _ = run_with_feeds(path)
    values = feeds.values["i"]
    assert (values.min(), values.max()) == (low, high)
    assert "index for Gather" in feeds.sources["i"]


VALUES = {
    "masks are ones": ("g (int64[1, 4] attention_mask) => (y) { y = Identity(attention_mask) }", [1, 1, 1, 1]),
    "positions count": ("g (int64[1, 4] position_ids) => (y) { y = Identity(position_ids) }", [0, 1, 2, 3]),
    "token types are zeros": ("g (int64[1, 4] token_type_ids) => (y) { y = Identity(token_type_ids) }", [0, 0, 0, 0]),
    "a sample rate": ("g (int64 sr) => (y) { y = Identity(sr) }", [16000]),
    "a trip count is small": (
        "g (int64 m) => (y) <bool go = {1}, float[1] x = {1}> { y = Loop(m, go, x) <"
        "body = b (int64 i, bool c, float[1] v) => (bool d, float[1] w) { d = Identity(c) \n w = Add(v, v) }> }",
        [3],
    ),
    "a shape to reshape to": (
        "g (int64[2] s) => (float[3, 2] y) <float[6] x = {1,2,3,4,5,6}> { y = Reshape(x, s) }",
        [3, 2],
    ),
    "equal parts": ("g (int64[2] s) => (y, z) <float[5] x = {1,2,3,4,5}> { y, z = Split(x, s) }", [2, 3]),
    "targets of a scatter differ": (
        "g (int64[4] i) => (y) <float[5] x = {1,2,3,4,5}, float[4] u = {1,2,3,4}> { y = ScatterElements(x, i, u) }",
        [0, 1, 2, 3],
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_fit_what_reads_them(case: str, tmp_path: Path) -> None:
    text, expected = VALUES[case]
    feeds, _ = run_with_feeds(write_model(tmp_path, text))
    (value,) = feeds.values.values()
    assert value.reshape(-1).tolist() == expected


def test_pictures_have_the_range_the_model_scales_down_from(tmp_path: Path) -> None:
    for nodes in ("y = Div(x, top)", "y = Mul(x, small)"):
        weights = "float top = {255}, float small = {0.003921569}"
        feeds, _ = run_with_feeds(write_model(tmp_path, f"g (float[1, 3, 32, 32] x) => (y) <{weights}> {{ {nodes} }}"))
        assert 240 < feeds.values["x"].max() <= 255.001


def test_seeds_in_a_row_visit_every_branch(tmp_path: Path) -> None:
    path = write_model(tmp_path, "g (bool a, bool b) => (y) { y = And(a, b) }")
    seen = {(bool(f["a"]), bool(f["b"])) for f in (feeds_for(path, seed=seed).values for seed in range(5, 9))}
    assert len(seen) == 4


def test_no_integer_is_divided_by_zero(tmp_path: Path) -> None:
    text = "g (int64[99] a, int64[99] b, int8[99] c, int8[99] d) => (x, y) { x = Div(a, b) \n y = Mod(c, d) }"
    feeds, _ = run_with_feeds(write_model(tmp_path, text))
    assert feeds.values["b"].min() >= 1 and feeds.values["d"].min() >= 1


def test_strings_are_those_an_encoder_knows(tmp_path: Path) -> None:
    encoder = 'ai.onnx.ml.LabelEncoder<keys_strings=["Ulm","Bonn"], values_int64s=[1,2]>'
    text = f"g (string[20] city) => (y) {{ y = {encoder}(city) }}"
    feeds, _ = run_with_feeds(write_model(tmp_path, text))
    assert set(feeds.values["city"].tolist()) == {"Ulm", "Bonn"}


NUMBER_TYPES = (
    "float16 bfloat16 double float8e4m3fn float8e5m2 uint4 int4 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool"
)


@pytest.mark.parametrize("dtype", NUMBER_TYPES.split())
def test_every_number_type_reaches_the_model_whole(dtype: str, tmp_path: Path) -> None:
    path = write_model(tmp_path, f"g ({dtype}[3, 5] x) => (float[3, 5] y) {{ y = Cast<to=1>(x) }}")
    feeds, session = run_with_feeds(path)
    (output,) = session.run(feeds.values)
    given, seen = summarize_value("x", "", feeds.values["x"]), summarize_value("y", "", output)
    assert given.shape == seen.shape == (3, 5)
    assert (given.minimum, given.maximum) == pytest.approx((seen.minimum, seen.maximum))
    assert given.minimum != given.maximum


def test_sequences_optionals_and_maps_follow_their_types(tmp_path: Path) -> None:
    nodes = "{ y = ConcatFromSequence<axis=0>(s) \n z = OptionalHasElement(o) }"
    text = f"g (seq(float[n, 3]) s, optional(float[n]) o) => (y, z) {nodes}"
    feeds, _ = run_with_feeds(write_model(tmp_path, text))
    assert [item.shape for item in feeds.values["s"]] == [(1, 3), (1, 3)]
    assert feeds.values["o"].shape == (1,)
    words = 'g (map(string, float) m) => (y) { y = ai.onnx.ml.DictVectorizer<string_vocabulary=["a","b"]>(m) }'
    feeds, _ = run_with_feeds(write_model(tmp_path, words))
    assert set(feeds.values["m"]) == {"a", "b"}


def test_inputs_with_a_default_keep_it(tmp_path: Path) -> None:
    path = write_model(tmp_path, "g (float[2] x, float[2] b) => (y) <float[2] b = {1, 2}> { y = Add(x, b) }")
    assert {value.name for value in onnx.load(path).graph.input} == {"x", "b"}
    assert set(feeds_for(path).values) == {"x"}


def test_the_same_seed_gives_the_same_inputs_and_another_one_others(tmp_path: Path) -> None:
    path = write_model(tmp_path, "g (float[4] x, float[4] y) => (z) { z = Add(x, y) }")
    first, same, other = (feeds_for(path, seed=seed).values for seed in (1, 1, 2))
    assert first["x"].tolist() == same["x"].tolist() != other["x"].tolist()
    assert first["x"].tolist() != first["y"].tolist()


def test_an_input_more_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    one = feeds_for(write_model(tmp_path, "g (float[4] x) => (z) { z = Identity(x) }"))
    two = feeds_for(write_model(tmp_path, "g (float[4] a, float[4] x) => (z) { z = Add(a, x) }"))
    assert one.values["x"].tolist() == two.values["x"].tolist()


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(0, 5), length=st.integers(0, 40))
def test_sizes_given_are_the_sizes_made(batch: int, length: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write_model(tmp_path_factory.mktemp("sizes"), "g (float[batch, length, 2] x) => (y) { y = Identity(x) }")
    feeds = feeds_for(path, dims={"batch": batch, "length": length})
    assert feeds.values["x"].shape == (batch, length, 2)
    assert feeds.dims == {"batch": batch, "length": length}
    assert feeds.open_size_count == 0


def test_other_sizes_are_tried_where_the_first_do_not_fit(tmp_path: Path) -> None:
    ones = ", ".join("1" * 50)
    text = f"g (float[1, 1, frames] x) => (y) <float[1, 1, 50] w = {{{ones}}}> {{ y = Conv(x, w) }}"
    path = write_model(tmp_path, text)
    feeds, _ = run_with_feeds(path)
    assert feeds.attempt > 0
    assert feeds.dims["frames"] >= 50


def test_a_symbol_nobody_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    path = write_model(tmp_path, "g (float[batch, n] x) => (y) { y = Identity(x) }")
    with pytest.raises(UsageError, match="no symbolic dimension 'bacth'") as caught:
        feeds_for(path, dims={"bacth": 1})
    assert caught.value.hint == "did you mean batch? it has: batch, n"
    with pytest.raises(UsageError, match="can't be -1"):
        feeds_for(path, dims={"batch": -1})


def test_a_dimension_without_a_name_goes_by_that_of_its_input(tmp_path: Path) -> None:
    path = write_model(tmp_path, "g (float[?, 3] x) => (y) { y = Identity(x) }")
    feeds = feeds_for(path, dims={"x.0": 5})
    assert feeds.values["x"].shape == (5, 3)
    assert feeds.dims == {"x.0": 5}
    with pytest.raises(UsageError, match=r"no symbolic dimension 'x\.1'") as caught:
        feeds_for(path, dims={"x.1": 5})
    assert caught.value.hint == "did you mean x.0? it has: x.0"


def test_inputs_beyond_memory_are_refused_before_they_are_made(tmp_path: Path) -> None:
    path = write_model(tmp_path, "g (float[n, 1000000] wide, float[3] small) => (y) { y = Identity(wide) }")
    with pytest.raises(ResourceLimit, match=r"input 'wide'.*limit"):
        feeds_for(path, dims={"n": 10**9})
    check_memory({"a": 5, "b": 5}, limit_bytes=10)
    with pytest.raises(ResourceLimit, match="11 bytes of memory, 6 of them input 'b'"):
        check_memory({"a": 5, "b": 6}, limit_bytes=10)


@pytest.mark.parametrize(("number", "dtype"), [(1, np.float32), (10, np.float16), (9, np.bool_), (7, np.int64)])
def test_planned_bytes_are_those_of_the_array(number: int, dtype: type[np.generic]) -> None:
    assert planned_bytes(number, (3, 5)) == np.zeros((3, 5), dtype).nbytes
