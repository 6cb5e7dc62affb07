"""All phases of strided Slices, put side by side, are a rearrangement; anything less stays."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs

PASSES = ("merge_strided_slices", "remove_unused")


def _model(
    phases: list[tuple[int, int]],
    steps: tuple[int, int] = (2, 2),
    shape: tuple[int | str, ...] = ("b", 4, 6, 3),
    end: int = 2**63 - 1,
) -> ModelProto:
    nodes, constants = (
        [],
        [numpy_helper.from_array(np.array([1, 2]), "axes"), numpy_helper.from_array(np.array(steps), "steps")],
    )
    constants.append(numpy_helper.from_array(np.array([end, end]), "ends"))
    for index, phase in enumerate(phases):
        constants.append(numpy_helper.from_array(np.array(phase), f"starts_{index}"))
        nodes.append(helper.make_node("Slice", ["x", f"starts_{index}", "ends", "axes", "steps"], [f"phase_{index}"]))
    nodes.append(helper.make_node("Concat", [f"phase_{index}" for index in range(len(phases))], ["z"], axis=-1))
    nodes.append(helper.make_node("Exp", ["z"], ["y"]))
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * 4)
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _feeds(batch: int, *sizes: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).normal(size=(batch, *sizes)).astype(np.float32)}


ALL = list(product(range(2), range(2)))


@pytest.mark.parametrize(
    ("phases", "steps"),
    [
        (ALL, (2, 2)),
        ([(i, j) for j, i in ALL], (2, 2)),
        (list(product(range(2), range(3))), (2, 3)),
        ([(i, j) for j in range(3) for i in range(4)], (4, 3)),
    ],
)
def test_all_phases(optimize: Optimizer, phases: list[tuple[int, int]], steps: tuple[int, int]) -> None:
    optimized = optimize(_model(phases, steps), *PASSES)
    assert optimized.operators == {"Reshape": 2, "Transpose": 1, "Exp": 1}
    for batch in (1, 3):
        assert_equal_outputs(optimized, _feeds(batch, 4, 6, 3))


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (_model([*ALL[:3], ALL[0]]), (4, 6, 3)),
        (_model([ALL[0], ALL[3], ALL[1], ALL[2]]), (4, 6, 3)),
        (_model(ALL[:3]), (4, 6, 3)),
        (_model(ALL, end=4), (4, 6, 3)),
        (_model(ALL, shape=("b", 4, "w", 3)), (4, 6, 3)),
    ],
)
def test_anything_less_stays(optimize: Optimizer, model: ModelProto, sizes: tuple[int, ...]) -> None:
    optimized = optimize(model, *PASSES)
    assert optimized.operators["Concat"] == 1
    assert_equal_outputs(optimized, _feeds(2, *sizes))


def test_slices_that_others_read_stay(optimize: Optimizer) -> None:
    model = _model(ALL)
    model.graph.node.append(helper.make_node("Neg", ["phase_1"], ["w"]))
    model.graph.output.append(helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [None] * 4))
    optimized = optimize(model, *PASSES)
    assert optimized.operators["Slice"] == 4
    assert optimized.reasons == ["others read the strided Slices that it joins"]
