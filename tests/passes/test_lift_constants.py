"""lift_constants: every form of Constant, with the element type that it stands for."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("value = float[2] {1, 2}", "float[2]"),
        ("value_float = 1.5", "float"),
        ("value_floats = [1.5, 2.5]", "float[2]"),
        ("value_int = 3", "int64"),
        ("value_ints = [3, 4]", "int64[2]"),
    ],
)
def test_each_form_keeps_its_type(optimize: Optimizer, value: str, kind: str) -> None:
    optimized = optimize(
        f'<ir_version: 8, opset_import: ["" : 17]> agraph ({kind} x) => ({kind} y)'
        f" {{ c = Constant<{value}>()  y = Add(x, c) }}",
        "lift_constants",
    )
    assert optimized.operators == {"Add": 1}
    assert_equal_outputs(optimized)


def test_outputs_and_old_models_keep_their_nodes(optimize: Optimizer) -> None:
    text = """<ir_version: %d, opset_import: ["" : 8]> agraph (float x) => (float y, float c) {
        c = Constant<value = float {1}>()  d = Constant<value = float {2}>()  y = Add(x, d) }"""
    assert optimize(text % 4, "lift_constants").operators == {"Constant": 1, "Add": 1}
    assert optimize(text % 3, "lift_constants").operators == {"Constant": 2, "Add": 1}


def test_a_sparse_constant_stays(optimize: Optimizer) -> None:
    import onnx
    from onnx import TensorProto, helper

    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [5.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [1], [1]), [3])
    model: onnx.ModelProto = helper.make_model(
        helper.make_graph(
            [helper.make_node("Constant", [], ["c"], sparse_value=sparse), helper.make_node("Add", ["x", "c"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    assert optimize(model).operators == {"Constant": 1, "Add": 1}
