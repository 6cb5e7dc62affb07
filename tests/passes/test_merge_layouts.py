"""Chains of Reshape and Transpose become as short as they can be; random chains still give the same."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper

from onnxctl.model.dimensions import symbol
from onnxctl.passes.layout import Layout, Step
from tests.passes.optimizing import Optimizer, assert_equal_outputs

PASSES = ("merge_layouts", "merge_reshapes", "merge_transposes", "remove_unused")


def _chain(shape: list[int | str], steps: list[tuple[str, list[int]]]) -> ModelProto:
    """A model of Reshapes ("r", target) and Transposes ("t", permutation) in a row, with Exp behind."""
    nodes, constants = [], []
    for index, (kind, values) in enumerate(steps):
        if kind == "t":
            nodes.append(helper.make_node("Transpose", [f"v{index}"], [f"v{index + 1}"], perm=values))
        else:
            constants.append(numpy_helper.from_array(np.array(values, np.int64), f"target_{index}"))
            nodes.append(helper.make_node("Reshape", [f"v{index}", f"target_{index}"], [f"v{index + 1}"]))
    nodes.append(helper.make_node("Exp", [f"v{len(steps)}"], ["y"]))
    x = helper.make_tensor_value_info("v0", onnx.TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * len(steps[-1][1]))
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("shape", "steps", "left"),
    [
        ([1, 6, 10, 64], [("r", [-1, 10, 64]), ("t", [0, 2, 1]), ("r", [1, 6, 64, 10])], ["Transpose"]),
        (["b", 6, 10, 64], [("r", [-1, 10, 64]), ("t", [0, 2, 1]), ("r", [-1, 6, 64, 10])], ["Transpose"]),
        (["s", 2, "b", 8], [("t", [0, 2, 1, 3]), ("r", [0, 0, 16]), ("t", [1, 0, 2])], ["Transpose", "Reshape"]),
        (["b", 56, 8], [("r", [0, 8, 7, 8]), ("t", [0, 1, 2, 3]), ("r", [0, 56, 8])], []),
        (["b", 12, 8], [("t", [0, 2, 1]), ("r", [0, 8, 3, 4]), ("t", [0, 2, 3, 1]), ("r", [0, 12, 8])], []),
        (["b", 64], [("r", [0, 8, 8]), ("t", [0, 2, 1]), ("r", [0, 4, 16])], ["Reshape", "Transpose", "Reshape"]),
        (["b", 4, 1, 3], [("t", [0, 2, 3, 1]), ("r", [0, 3, 4])], ["Transpose", "Reshape"]),
        (["b", 4, 3], [("r", [0, 4, 3, 1]), ("t", [0, 3, 1, 2]), ("r", [0, 12])], ["Reshape"]),
        ([2, 3, 4], [("r", [6, 4]), ("r", [24]), ("r", [4, 6]), ("t", [1, 0])], ["Reshape", "Transpose"]),
    ],
)
def test_chains(
    optimize: Optimizer, shape: list[int | str], steps: list[tuple[str, list[int]]], left: list[str]
) -> None:
    optimized = optimize(_chain(shape, steps), *PASSES)
    assert sorted(optimized.operators.elements()) == sorted([*left, "Exp"])
    for size in (2, 5):
        known = [dim if isinstance(dim, int) else size + ord(dim) % 2 for dim in shape]
        assert_equal_outputs(optimized, {"v0": np.arange(math.prod(known), dtype=np.float32).reshape(known) / 100})


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[int], list[tuple[str, list[int]]]]:
    shape = draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4))
    current, steps = list(shape), []
    for _ in range(draw(st.integers(2, 6))):
        if draw(st.booleans()):
            order = draw(st.permutations(range(len(current))))
            steps.append(("t", list(order)))
            current = [current[axis] for axis in order]
        else:
            target: list[int] = []
            left = math.prod(current)
            while left > 1 and len(target) < 4:
                size = draw(st.sampled_from([each for each in (1, 2, 3, 4, 6) if left % each == 0]))
                target.append(size)
                left //= size
            target.append(left)
            steps.append(("r", target))
            current = target
    return shape, steps


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chain=chains())
def test_random_chains(optimize: Optimizer, chain: tuple[list[int], list[tuple[str, list[int]]]]) -> None:
    shape, steps = chain
    model = _chain(list(shape), steps)
    optimized = optimize(model, *PASSES)
    assert optimized.result.settled
    assert len(optimized.after.graph.node) <= len(model.graph.node)
    assert_equal_outputs(optimized, {"v0": np.arange(math.prod(shape), dtype=np.float32).reshape(shape) / 100})


def test_a_node_that_others_read_stays_but_the_chain_behind_it_may_go(optimize: Optimizer) -> None:
    model = _chain(["b", 16, 8], [("r", [0, 4, 4, 8]), ("t", [0, 3, 1, 2]), ("r", [0, 8, 16]), ("t", [0, 2, 1])])
    model.graph.node.append(helper.make_node("Neg", ["v2"], ["z"]))
    model.graph.output.append(helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [None] * 4))
    optimized = optimize(model, *PASSES)
    assert optimized.operators == {"Reshape": 1, "Transpose": 1, "Exp": 1, "Neg": 1}
    assert_equal_outputs(optimized)


def test_outputs_in_between_stay(optimize: Optimizer) -> None:
    model = _chain([2, 3, 4], [("r", [6, 4]), ("t", [1, 0]), ("r", [4, 2, 3])])
    model.graph.output.append(helper.make_tensor_value_info("v2", onnx.TensorProto.FLOAT, [None] * 2))
    optimized = optimize(model, *PASSES)
    assert optimized.operators == {"Reshape": 2, "Transpose": 1, "Exp": 1}
    assert_equal_outputs(optimized)


def test_factors_that_do_not_match_are_no_use() -> None:
    layout = Layout((6, 4))
    assert not layout.reshape((9, 2))
    assert not Layout((symbol("n"), 4)).reshape((symbol("m"), 4))


def test_symbols_are_cut_out_of_products() -> None:
    batch = symbol("batch")
    layout = Layout((batch * 64, 49, 96))
    assert layout.reshape((batch, 8, 8, 7, 7, 96))
    layout.transpose((0, 1, 3, 2, 4, 5))
    assert layout.reshape((batch, 56, 56, 96))
    steps = layout.steps()
    assert steps is not None
    assert [step.permutation for step in steps] == [None, (0, 2, 1, 3), None]
    assert steps[2] == Step(target=(0, 56, 56, 96)) or steps[2].target is not None
