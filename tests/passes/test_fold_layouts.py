"""fold_layouts: weights are stored as they are read; reshaping one moves no byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs

WEIGHT = np.random.default_rng(0).normal(size=(8, 6, 16)).astype(np.float32)


def _model(node: str, shape: list[int], attributes: Mapping[str, Any], *, shared: bool = False) -> ModelProto:
    constants = [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(np.array([48, 16]), "two")]
    constants.append(numpy_helper.from_array(np.array([0]), "zero"))
    operand = {"Reshape": ["two"], "Unsqueeze": ["zero"]}.get(node, [])
    nodes = [helper.make_node(node, ["w", *operand], ["v"], **attributes), helper.make_node("Add", ["x", "v"], ["y"])]
    value = helper.make_tensor_value_info
    outputs = [value("y", TensorProto.FLOAT, shape)]
    if shared:
        nodes.append(helper.make_node("Neg", ["w"], ["z"]))
        outputs.append(value("z", TensorProto.FLOAT, WEIGHT.shape))
    graph = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, shape)], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


CASES: list[tuple[str, list[int], Mapping[str, Any]]] = [
    ("Transpose", [16, 6, 8], {}),
    ("Transpose", [6, 8, 16], {"perm": [1, 0, 2]}),
    ("Reshape", [48, 16], {}),
    ("Flatten", [48, 16], {"axis": 2}),
    ("Unsqueeze", [1, 8, 6, 16], {}),
]


@pytest.mark.parametrize(("node", "shape", "attributes"), CASES)
def test_the_only_reader_decides(
    optimize: Optimizer, node: str, shape: list[int], attributes: Mapping[str, Any]
) -> None:
    optimized = optimize(_model(node, shape, attributes), "fold_layouts", "remove_unused")
    assert optimized.operators == {"Add": 1}
    assert [(tensor.name, list(tensor.dims)) for tensor in optimized.after.graph.initializer] == [("v", shape)]
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(("node", "shape", "attributes"), CASES)
def test_a_weight_that_is_read_elsewhere_stays(
    optimize: Optimizer, node: str, shape: list[int], attributes: Mapping[str, Any]
) -> None:
    optimized = optimize(_model(node, shape, attributes, shared=True), "fold_layouts")
    assert optimized.after.graph.node == optimized.before.graph.node
    assert optimized.reasons == ["its weight is read elsewhere as it is"]


def test_typed_fields_are_read_and_do_not_grow(optimize: Optimizer) -> None:
    for kind, left in ((TensorProto.DOUBLE, 1), (TensorProto.FLOAT16, 1), (TensorProto.INT64, 2)):
        model = _model("Transpose", [16, 6, 8], {})
        values = (WEIGHT * 100).astype(helper.tensor_dtype_to_np_dtype(kind))
        model.graph.initializer[0].CopyFrom(helper.make_tensor("w", kind, WEIGHT.shape, values.reshape(-1).tolist()))
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = kind
        optimized = optimize(model, "fold_layouts", "remove_unused")
        assert len(optimized.after.graph.node) == left, kind
        assert_equal_outputs(optimized)
