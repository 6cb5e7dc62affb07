"""Recurrent operators start from zero by themselves."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _model(operator: str, states: str, body: str) -> ModelProto:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> agraph (float[seq, batch, 2] x, float[1, batch, 3] h) =>'
        " (float[seq, 1, batch, 3] y) <int64[1] one = {1}, int64[1] three = {3}, int64 i = {1}>"
        f" {{ {body}  y = {operator}<hidden_size = 3>(x, w, r, , , {states}) }}"
    )
    random = np.random.default_rng(1)
    for name, size in (("w", 2), ("r", 3)):
        weights = random.normal(size=(1, GATES[operator] * 3, size)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
    return model


ZEROS = "s = Shape(x)  b = Gather(s, one)  d = Concat<axis = 0>(one, b, three)  z = ConstantOfShape(d)"


@pytest.mark.parametrize("operator", list(GATES))
def test_zeros_go_with_all_that_made_them(optimize: Optimizer, operator: str) -> None:
    states = "z, z" if operator == "LSTM" else "z"
    optimized = optimize(_model(operator, states, ZEROS), "eliminate_zero_states", "remove_unused")
    assert set(optimized.operators) == {operator}
    assert_equal_outputs(optimized)


def test_one_zero_of_two(optimize: Optimizer) -> None:
    optimized = optimize(_model("LSTM", "z, h", ZEROS), "eliminate_zero_states", "remove_unused")
    assert set(optimized.operators) == {"LSTM"}
    assert optimized.reasons == ["its initial state is not known to be zero"]
    assert_equal_outputs(optimized)


@pytest.mark.parametrize("body", ["z = Identity(h)", ZEROS.replace("(d)", "<value = float[1] {1}>(d)")])
def test_other_states_stay(optimize: Optimizer, body: str) -> None:
    optimized = optimize(_model("GRU", "z", body), "eliminate_zero_states")
    assert optimized.result.passes[0].rewrite_count == 0
    assert_equal_outputs(optimized)
