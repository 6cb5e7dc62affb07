"""share_initializers: equal bytes are stored once; nothing a caller can override is touched."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxctl.model.arrays import Array
from tests.passes.optimizing import Optimizer, assert_equal_outputs


def _floats(values: list[float]) -> Array:
    return np.array(values, np.float32)


def _model(weights: dict[str, Array], overridable: tuple[str, ...] = ()) -> onnx.ModelProto:
    kind = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in weights.items()}
    nodes = [helper.make_node("Identity", [name], [f"y_{name}"]) for name in weights]
    outputs = [helper.make_tensor_value_info(f"y_{n}", kind[n], list(a.shape)) for n, a in weights.items()]
    inputs = [helper.make_tensor_value_info(n, kind[n], list(weights[n].shape)) for n in overridable]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_equal_bytes_are_kept_once_large_or_small(optimize: Optimizer) -> None:
    large = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    almost = large.copy()
    almost[20, 20] += 1
    weights = {
        "a": large,
        "b": large,
        "c": almost,
        "d": large.reshape(80, 20),
        "e": _floats([1]),
        "f": _floats([1]),
    }
    optimized = optimize(_model(weights), "share_initializers")
    assert [tensor.name for tensor in optimized.after.graph.initializer] == ["a", "c", "d", "e"]
    assert_equal_outputs(optimized)


def test_zero_and_negative_zero_differ_and_so_do_types(optimize: Optimizer) -> None:
    weights = {"a": _floats([0.0]), "b": _floats([-0.0]), "c": np.array([0], np.int32)}
    assert len(optimize(_model(weights), "share_initializers").after.graph.initializer) == 3


def test_encodings_of_the_same_values_are_equal(optimize: Optimizer) -> None:
    model = _model({"a": _floats([1, 2]), "b": _floats([1, 2])})
    model.graph.initializer[1].CopyFrom(helper.make_tensor("b", TensorProto.FLOAT, [2], [1.0, 2.0]))
    assert len(optimize(model, "share_initializers").after.graph.initializer) == 1


def test_an_overridable_initializer_is_left_alone(optimize: Optimizer) -> None:
    weights = {"a": _floats([1, 2]), "b": _floats([1, 2])}
    optimized = optimize(_model(weights, overridable=("a",)), "share_initializers")
    assert len(optimized.after.graph.initializer) == 2
    assert_equal_outputs(optimized, {"a": _floats([5, 6])})


def test_a_subgraph_reads_the_outer_copy(optimize: Optimizer) -> None:
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17]> agraph (bool c, float[2] x) => (float[2] y) <float[2] w = {1, 2}> {
            a = Add(x, w)
            y = If (c) <
                then_branch = one () => (float[2] t) <float[2] v = {1, 2}> { t = Mul(a, v) },
                else_branch = two () => (float[2] e) { e = Neg(a) }
            >
        }""",
        "share_initializers",
    )
    branch = optimized.after.graph.node[1].attribute[0].g
    assert not branch.initializer
    assert list(branch.node[0].input) == ["a", "w"]
    assert_equal_outputs(optimized, {"c": np.array(True), "x": _floats([3, 4])})


def test_strings_are_compared_by_their_bytes(optimize: Optimizer) -> None:
    model = _model(
        {"a": np.array(["x", "yz"], object), "b": np.array(["x", "yz"], object), "c": np.array(["xy", "z"], object)}
    )
    assert len(optimize(model, "share_initializers").after.graph.initializer) == 2
