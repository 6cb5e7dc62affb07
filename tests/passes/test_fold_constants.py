"""fold_constants: values are onnxruntime's own, nothing grows, nothing random or unbounded is computed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxctl.model.arrays import Array
from tests.passes.optimizing import Optimizer, assert_equal_outputs

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


def test_a_chain_of_constants_becomes_one_initializer(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (float[2, 3] x) => (float[2, 3] y) <float[3] a = {1, 2, 3}, float[3] b = {4, 5, 6}> {
            sum = Add(a, b)
            root = Sqrt(sum)
            negative = Neg(root)
            y = Mul(x, negative)
        }""",
        "fold_constants",
        "remove_unused",
    )
    assert optimized.operators == {"Mul": 1}
    assert [tensor.name for tensor in optimized.after.graph.initializer] == ["negative"]
    assert_equal_outputs(optimized)


def test_an_output_of_the_graph_is_made_by_a_constant_node(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (float[2] x) => (float[2] y, float[2] z)
            <float[2] a = {1, 2}, float[2] b = {4, 5}, float[8] unused = {1, 2, 3, 4, 5, 6, 7, 8}> {
            y = Add(a, b)
            z = Mul(x, y)
        }""",
        "fold_constants",
        "remove_unused",
    )
    assert optimized.operators == {"Constant": 1, "Mul": 1}
    assert_equal_outputs(optimized)


def test_subgraphs_fold_with_constants_of_the_outer_scope(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (bool c, float[2] x) => (float[2] y) <float[2] a = {1, 2}, float[8] b = {1, 2, 3, 4, 5, 6, 7, 8}> {
            y = If (c) <
                then_branch = one () => (float[2] t) { root = Sqrt(a)  t = Add(x, root) },
                else_branch = two () => (float[2] e) { e = Identity(x) }
            >
        }""",
        "fold_constants",
        "remove_unused",
    )
    assert optimized.operators == {"If": 1, "Add": 1, "Identity": 1}
    for condition in (True, False):
        assert_equal_outputs(optimized, {"c": np.array(condition), "x": np.array([3, 4], np.float32)})


def test_function_bodies_get_constant_nodes(optimize: Optimizer) -> None:
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        agraph (float[2] x) => (float[2] y) { y = local.shift(x) }
        <domain: "local", opset_import: ["" : 17]>
        shift (x) => (y) {
            one = Constant <value_float = 1.0> ()
            two = Add(one, one)
            three = Add(two, one)
            y = Add(x, three)
        }""",
        "fold_constants",
        "remove_unused",
    )
    assert optimized.operators == {"shift": 1, "Constant": 1, "Add": 1}
    assert_equal_outputs(optimized)


def test_attributes_that_come_from_the_caller_are_not_constant(optimize: Optimizer) -> None:
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        agraph (float[2] x) => (float[2] y) { y = local.shift <amount = 2.0> (x) }
        <domain: "local", opset_import: ["" : 17]>
        shift <amount> (x) => (y) {
            by = Constant <value_float: float = @amount> ()
            twice = Add(by, by)
            y = Add(x, twice)
        }""",
        "fold_constants",
    )
    assert optimized.operators == {"shift": 1, "Constant": 1, "Add": 2}
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(
    "making",
    [
        "y = RandomNormalLike(a)",
        "y = Bernoulli(a)",
        "q = QuantizeLinear(a, s)  y = DequantizeLinear(q, s)",
    ],
)
def test_random_and_quantizing_nodes_stay(optimize: Optimizer, making: str) -> None:
    optimized = optimize(
        HEAD + "agraph () => (float[2] y) <float[2] a = {0, 1}, float s = {0.5}> { " + making + " }", "fold_constants"
    )
    assert optimized.after.graph.node == optimized.before.graph.node


def test_an_initializer_that_a_caller_can_override_is_no_constant(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD + "agraph (float[2] a) => (float[2] y) <float[2] a = {0, 1}> { y = Neg(a) }", "fold_constants"
    )
    assert optimized.operators == {"Neg": 1}


@pytest.mark.parametrize(
    "making",
    [
        "y = ConstantOfShape(large)",
        "y = Expand(one, large)",
        "y = Tile(ones, large)",
        "y = Pad(ones, pads)",
        "y = OneHot(ids, depth, values)",
    ],
)
@pytest.mark.parametrize("size", [2000, 2**40])
def test_what_would_blow_the_file_up_is_refused_before_it_is_computed(
    optimize: Optimizer, making: str, size: int
) -> None:
    constants = (
        f"int64[2] large = {{{size}, {size}}}, float one = {{1}}, float[1, 1] ones = {{1}}, int64 depth = {{{size}}},"
        f"int64[4] pads = {{0, 0, {size}, {size}}}, int64[2] ids = {{0, 1}}, float[2] values = {{0, 1}}"
    )
    optimized = optimize(
        f"{HEAD} agraph (float x) => (float z) <{constants}> {{ {making}  s = Size(y)  c = Cast<to = 1>(s)"
        "  z = Add(x, c)  w = Add(x, y)  t = ReduceSum<keepdims = 0>(w) u = Add(z, t) }",
        "fold_constants",
    )
    assert optimized.operators[making.split("(")[0].split()[-1]] == 1


def test_a_large_expansion_that_is_summed_up_is_folded(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (float x) => (float z) <int64[1] shape = {5000}, float one = {1}> {
            many = Expand(one, shape)
            total = ReduceSum<keepdims = 0>(many)
            z = Add(x, total)
        }""",
        "fold_constants",
        "remove_unused",
    )
    assert optimized.operators == {"Add": 1}
    assert_equal_outputs(optimized)


def _transposed(*, shared: bool) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32), "w")
    nodes = [helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 64])]
    if shared:
        nodes.append(helper.make_node("Gather", ["w", "i"], ["z"]))
        outputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [3, 48]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 48])]
    inputs += [helper.make_tensor_value_info("i", TensorProto.INT64, [3])] * shared
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_transposed_weight_replaces_the_weight(optimize: Optimizer) -> None:
    optimized = optimize(_transposed(shared=False), "fold_constants", "remove_unused")
    assert optimized.operators == {"MatMul": 1}
    assert_equal_outputs(optimized)


def test_a_weight_that_is_used_elsewhere_is_not_stored_a_second_time(optimize: Optimizer) -> None:
    optimized = optimize(_transposed(shared=True), "fold_constants", "remove_unused")
    assert optimized.operators == {"Transpose": 1, "MatMul": 1, "Gather": 1}
    assert any("a second time" in reason for reason in optimized.reasons)


def test_what_cannot_be_evaluated_stays_and_the_rest_is_folded(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (float[2] x) => (float[2] y, float[3] z)
            <float[2] a = {1, 2}, float[3] b = {1, 2, 3}, float[8] unused = {1, 2, 3, 4, 5, 6, 7, 8}> {
            bad = Sub(a, b)
            worse = Neg(bad)
            z = Add(worse, b)
            good = Add(a, a)
            y = Add(x, good)
        }""",
        "fold_constants",
        "remove_unused",
    )
    assert optimized.operators == {"Sub": 1, "Neg": 1, "Add": 2}
    assert any("could not be evaluated" in reason for reason in optimized.reasons)


def test_every_element_type_survives(optimize: Optimizer) -> None:
    values: dict[str, Array] = {
        "float16": np.array([1.5, -2], np.float16),
        "double": np.array([1.5, -2], np.float64),
        "int8": np.array([1, -2], np.int8),
        "uint64": np.array([1, 2**63], np.uint64),
        "bool": np.array([True, False]),
    }
    for name, value in values.items():
        weight = numpy_helper.from_array(value, "w")
        kind = weight.data_type
        graph = helper.make_graph(
            [
                helper.make_node("Concat", ["w", "w"], ["t"], axis=0),
                helper.make_node("Concat", ["x", "t"], ["y"], axis=0),
            ],
            name,
            [helper.make_tensor_value_info("x", kind, [2])],
            [helper.make_tensor_value_info("y", kind, [6])],
            [weight, numpy_helper.from_array(np.zeros(32), "unused")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        optimized = optimize(model, "fold_constants", "remove_unused")
        assert optimized.operators == {"Concat": 1}, name
        assert_equal_outputs(optimized)
