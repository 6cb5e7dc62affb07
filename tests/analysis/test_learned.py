"""What the nodes of ai.onnx.ml hold in their attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

import onnxctl
from onnxctl.reports import LearnedNode
from tests.analysis.test_summary import summary_of
from tests.conftest import SAMPLES


def learned(folder: Path, op_type: str, **attributes: object) -> LearnedNode:
    node = helper.make_node(op_type, ["x"], ["y"], domain="ai.onnx.ml", **attributes)  # type: ignore[arg-type]
    inputs, outputs = ([helper.make_empty_tensor_value_info(name)] for name in "xy")
    opsets = [helper.make_opsetid("ai.onnx.ml", 5), helper.make_opsetid("", 21)]
    summary = summary_of(
        folder, helper.make_model(helper.make_graph([node], "g", inputs, outputs), opset_imports=opsets)
    )
    (found,) = summary.learned
    return found


def test_trees_are_counted_as_they_are_written_down() -> None:
    path = str(SAMPLES / "tree_ensemble.onnx")
    ensemble = next(node for node in onnx.load(path).graph.node if node.op_type.startswith("TreeEnsemble"))
    values = {each.name: helper.get_attribute_value(each) for each in ensemble.attribute}
    found = next(each for each in onnxctl.inspect(path).learned if each.tree_count)
    assert found.tree_count == len(set(values["nodes_treeids"])) > 1
    assert found.leaf_count == values["nodes_modes"].count(b"LEAF") > found.tree_count
    assert found.inner_node_count == len(values["nodes_modes"]) - found.leaf_count
    numbers = [each for name, each in values.items() if isinstance(each, list) and not isinstance(each[0], bytes)]
    assert found.number_count == sum(map(len, numbers))


def test_the_newer_form_of_trees_keeps_nodes_and_leaves_apart(tmp_path: Path) -> None:
    splits = numpy_helper.from_array(np.zeros(3, np.float32))
    lists = {"tree_roots": [0, 2], "nodes_featureids": [0, 0, 0], "leaf_targetids": [0] * 5}
    found = learned(tmp_path, "TreeEnsemble", nodes_splits=splits, **lists)
    assert (found.tree_count, found.inner_node_count, found.leaf_count, found.number_count) == (2, 3, 5, 13)


def test_coefficients_and_tables_are_numbers_and_strings(tmp_path: Path) -> None:
    linear = learned(tmp_path, "LinearRegressor", coefficients=[1.0, 2.0], intercepts=[3.0], targets=1)
    assert (linear.number_count, linear.string_count, linear.tree_count) == (3, 0, 0)
    words = numpy_helper.from_array(np.array(["a", "b", "c"], object))
    encoder = learned(tmp_path, "LabelEncoder", keys_tensor=words, values_int64s=[1, 2, 3])
    assert (encoder.number_count, encoder.string_count) == (3, 3)


def test_a_broken_ensemble_is_counted_as_it_is(tmp_path: Path) -> None:
    found = learned(tmp_path, "TreeEnsembleRegressor", nodes_treeids=[0, 0, 1], n_targets=1)
    assert (found.tree_count, found.inner_node_count, found.leaf_count) == (2, 0, 0)


def test_standard_operators_learn_in_tensors() -> None:
    assert onnxctl.inspect(str(SAMPLES / "digits_cnn.onnx")).learned == ()
