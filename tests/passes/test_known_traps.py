"""What other optimizers get wrong on valid models, with the whole pipeline: each of these was a bug of one of them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs, run

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


def test_a_false_type_of_a_value_in_between_is_not_believed(optimize: Optimizer) -> None:
    """The batch size of the input was made dynamic, and the types of values in between were forgotten."""
    optimized = optimize(
        HEAD
        + """agraph (float[n, 4] x) => (int64[2] s, float[2, 4] y)
            <float[2, 4] a, float[2, 4] b, float[9] unused = {1, 2, 3, 4, 5, 6, 7, 8, 9}> {
            a = Abs(x)
            b = Neg(a)
            s = Shape(b)
            y = Reshape(b, s)
        }"""
    )
    assert_equal_outputs(optimized, {"x": np.ones((3, 4), np.float32)})


def test_a_sparse_initializer_stays(optimize: Optimizer) -> None:
    model = onnx.parser.parse_model(
        HEAD + "agraph (float[3] x) => (float[3] y) { a = Identity(sparse)  y = Add(x, a) }"
    )
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [5.0])
    indices = helper.make_tensor("", TensorProto.INT64, [1], [1])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))
    optimized = optimize(model)
    assert optimized.operators == {"Add": 1}
    assert_equal_outputs(optimized)


def test_unused_and_overridable_inputs_stay(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (float[2] x, float[k] unused, float[2] w, float[2] v) => (float[2] y)
            <float[2] w = {1, 2}, float[2] v = {1, 2}> { a = Mul(x, w)  b = Mul(v, v)  y = Add(a, b) }"""
    )
    assert len(optimized.after.graph.initializer) == 2
    feeds = {name: np.array([3, 4], np.float32) for name in ("x", "unused", "v")}
    assert_equal_outputs(optimized, feeds)


def test_two_outputs_that_compute_the_same_keep_both_names(optimize: Optimizer) -> None:
    optimized = optimize(HEAD + "agraph (float[2] x) => (float[2] y, float[2] z) { y = Exp(x)  z = Exp(x) }")
    assert [value.name for value in optimized.after.graph.output] == ["y", "z"]
    assert_equal_outputs(optimized)


def test_an_output_that_is_an_input_or_a_constant_stays_as_it_is(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD + "agraph (float[2] x) => (float[2] y, float[2] z) <float[2] c = {1, 2}> { y = Identity(x) z = Neg(c) }"
    )
    assert_equal_outputs(optimized)


def test_optional_inputs_that_are_left_out_stay_left_out(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (float[2] x) => (float[2] y) <float high = {1}> {
            a = Identity(x)  h = Identity(high)  y = Clip(a, , h) }"""
    )
    assert optimized.operators == {"Clip": 1}
    assert list(optimized.after.graph.node[0].input)[:2] == ["x", ""]
    assert_equal_outputs(optimized)


def test_numbers_in_constants_stay_float32(optimize: Optimizer) -> None:
    """They became double, which Add does not take beside float."""
    optimized = optimize(
        HEAD
        + """agraph (float[2] x) => (float[2] y) {
            a = Constant<value_float = 1.5>()  b = Constant<value_floats = [1.5, 2.5]>()
            c = Constant<value_int = 3>()  d = Constant<value_ints = [1, 2]>()
            e = Add(x, a)  f = Mul(e, b)  g = Add(d, c)  h = Cast<to = 1>(g)  y = Add(f, h) }"""
    )
    assert {tensor.data_type for tensor in optimized.after.graph.initializer} == {TensorProto.FLOAT}
    assert_equal_outputs(optimized)


def test_functions_of_the_model_stay_valid(optimize: Optimizer) -> None:
    """Their imports, attributes and nested calls were lost, and the model with them."""
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17, "my.own" : 1]> agraph (float[2] x) => (float[2] y, float[2] z) {
            y = my.own.outer<slope = 0.5>(x)  b = my.own.outer<slope = 0.25>(y)  z = Identity(b) }
        <domain: "my.own", opset_import: ["" : 17, "my.own" : 1]>
        outer <slope> (v) => (w) { i = Identity(v)  l = LeakyRelu<alpha: float = @slope>(i)  w = my.own.inner(l) }
        <domain: "my.own", opset_import: ["" : 17]> inner (v) => (w) { n = Neg(v)  m = Neg(n)  w = Exp(m) }"""
    )
    assert_equal_outputs(optimized, {"x": np.array([-1, 2], np.float32)})
    assert "Identity" not in optimized.operators


def test_an_optional_input_of_the_model_stays(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (optional(float[2]) o, float[2] x) => (float[2] y) {
            a = OptionalGetElement(o)  b = Identity(a)  y = Add(b, x) }"""
    )
    assert optimized.operators == {"OptionalGetElement": 1, "Add": 1}


def test_maps_that_zipmap_makes_stay_the_output(optimize: Optimizer) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]> agraph (float[2, 3] x) => (float[2, 3] y) {
            a = Identity(x)  y = ai.onnx.ml.ZipMap<classlabels_int64s = [4, 5, 6]>(a) }"""
    )
    kind = model.graph.output[0].type
    kind.sequence_type.elem_type.map_type.key_type = TensorProto.INT64
    kind.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    optimized = optimize(model)
    assert optimized.operators == {"ZipMap": 1}
    feeds = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
    assert run(optimized.before, feeds) == run(optimized.after, feeds)


def test_names_that_subgraphs_use_for_values_of_their_own(optimize: Optimizer) -> None:
    """A subgraph may use a name that an outer value gets only by a rewrite: then it has to keep meaning its own."""
    optimized = optimize(
        HEAD
        + """agraph (bool c, float[2] x) => (float[2] y) {
            a = Abs(x)
            b = Identity(a)
            y = If (c) <
                then_branch = one () => (float[2] t) { q = Neg(x)  t = Add(b, q) },
                else_branch = two () => (float[2] e) { q = Exp(x)  e = Mul(b, q) }
            >
        }"""
    )
    for condition in (True, False):
        assert_equal_outputs(optimized, {"c": np.array(condition), "x": np.array([3, 4], np.float32)})


def test_a_loop_body_keeps_its_variables(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (float[2] x, int64 n) => (float[2] y, float[k, 2] all) <bool yes = {1}> {
            y, all = Loop (n, yes, x) <
                body = one (int64 i, bool go, float[2] before) => (bool again, float[2] after, float[2] each) {
                    again = Identity(go)
                    one = Constant<value_float = 1.0>()
                    zero = Sub(one, one)
                    plus = Add(before, one)
                    after = Add(plus, zero)
                    each = Identity(before)
                }
            >
        }"""
    )
    assert_equal_outputs(optimized, {"x": np.array([3, 4], np.float32), "n": np.array(4)})


def test_a_tiny_model_does_not_grow(optimize: Optimizer) -> None:
    model = onnx.parser.parse_model(HEAD + "g (float[2] x) => (float[2] y) { y = Neg(x) }")
    assert optimize(model).after == model


def test_doc_strings_and_metadata_stay(optimize: Optimizer) -> None:
    model = onnx.parser.parse_model(HEAD + "g (float[2] x) => (float[2] y) { a = Abs(x)  y = Identity(a) }")
    model.doc_string, model.graph.doc_string, model.graph.input[0].doc_string = "model", "graph", "input"
    model.metadata_props.add(key="author", value="somebody")
    model.graph.node[0].metadata_props.add(key="layer", value="3")
    model.graph.node[0].doc_string = "kept"
    after = optimize(model).after
    assert after.graph.node[0].doc_string == "kept"
    assert after.graph.node[0].metadata_props == model.graph.node[0].metadata_props


def test_integer_division_by_a_constant_zero_ends_nothing(optimize: Optimizer) -> None:
    """Its evaluation kills the process it runs in; ours goes on without it."""
    optimized = optimize(
        HEAD
        + """agraph (int32 x) => (int32 y, float z) <int32 low = {-2147483648}, int32 one = {-1}, float f = {1},
            float[9] unused = {1, 2, 3, 4, 5, 6, 7, 8, 9}> {
            d = Div(low, one)  y = Add(x, d)  g = Add(f, f)  h = Exp(g)  z = Neg(h) }"""
    )
    assert optimized.operators["Div"] == 1
    assert optimized.operators["Exp"] == 0
    assert any("could not be evaluated" in reason for reason in optimized.reasons)


def test_the_same_input_gives_the_same_bytes(optimize: Optimizer) -> None:
    weights = [numpy_helper.from_array(np.full(600, i % 3 + 1, np.float32), f"w{i}") for i in range(9)]
    nodes = [helper.make_node("Add", ["x", f"w{i}"], [f"a{i}"]) for i in range(9)]
    nodes.append(helper.make_node("Sum", [f"a{i}" for i in range(9)], ["y"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [value("x", 1, [600])], [value("y", 1, [600])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    first, second = optimize(model), optimize(model)
    assert first.after.SerializeToString() == second.after.SerializeToString()
    assert first.operators == {"Add": 3, "Sum": 1}
    assert_equal_outputs(first)


@pytest.mark.parametrize("size", [1, 2])
def test_an_open_size_beside_a_number_may_be_one(optimize: Optimizer, size: int) -> None:
    """The Expand went, because the open size was taken for the number."""
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 18]> agraph (float[n, 3] x) => (float[a, b] y)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[2] sizes = {2, 3}> {
            s = Slice(x, zero, one, zero)  e = Expand(s, sizes)  y = Neg(e) }"""
    )
    assert_equal_outputs(optimized, {"x": np.ones((size, 3), np.float32)})


@pytest.mark.parametrize("sizes", [(3, 1), (1, 3), (3, 3)])
def test_of_two_open_sizes_that_meet_either_may_be_one(optimize: Optimizer, sizes: tuple[int, int]) -> None:
    optimized = optimize(
        HEAD
        + """agraph (bool[n] mask, float[2, m] x, float[n] c) => (float[2, k] y, float[i] z) <int64[1] all = {-1}> {
            a = Where(mask, x, x)  y = Neg(a)  b = Add(x, c)  s = Shape(b)  d = Reshape(b, all)  z = Abs(d) }"""
    )
    n, m = sizes
    feeds = {"mask": np.full(n, True), "x": np.ones((2, m), np.float32), "c": np.ones(n, np.float32)}
    assert_equal_outputs(optimized, feeds)


@pytest.mark.parametrize(
    "middle", ["INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "UINT64", "FLOAT", "FLOAT16"]
)
def test_what_a_few_integers_of_an_input_lose_in_a_narrower_type_is_lost(optimize: Optimizer, middle: str) -> None:
    """The contents of small inputs are followed as symbols, and a Cast there and back was taken for nothing."""
    to = TensorProto.DataType.Value(middle)
    optimized = optimize(
        HEAD
        + f"""agraph (int64[5] x) => (int64[5] y, int64[5] z) {{
            a = Cast<to = {to}>(x)  y = Cast<to = 7>(a)  b = Neg(x)  c = Cast<to = {to}>(b)  z = Cast<to = 7>(c) }}"""
    )
    assert_equal_outputs(optimized, {"x": np.array([1, 3001, -7, 2**24 + 1, -(2**31) - 5])})
