"""What the lists hold: by operator, by name, sorted, cut off."""

from __future__ import annotations

from typing import Any

import pytest

import onnxctl
from onnxctl.errors import UsageError
from onnxctl.reports import ModelSummary
from tests.conftest import SAMPLES

CNN = str(SAMPLES / "digits_cnn.onnx")


def inspect(**options: Any) -> ModelSummary:
    return onnxctl.inspect(CNN, **options)


def test_operators_are_chosen_by_type_and_domain() -> None:
    for operators in ([(None, "Conv")], [("ai.onnx", "Conv")]):
        nodes = inspect(nodes=True, operators=operators).nodes
        assert nodes is not None
        assert [node.op_type for node in nodes] == ["Conv", "Conv"]
    both = inspect(nodes=True, operators=[(None, "Conv"), (None, "Gemm")]).nodes
    assert both is not None and len(both) == 3


@pytest.mark.parametrize("operator", [(None, "Conf"), ("com.microsoft", "Conv")])
def test_an_operator_that_is_not_there_is_refused(operator: tuple[str | None, str]) -> None:
    for options in ({"nodes": True}, {"cost": True}):
        with pytest.raises(UsageError) as caught:
            inspect(operators=[operator], **options)
        assert operator[1] in caught.value.message
        assert "Conv" in caught.value.hint


def test_names_match_anywhere_in_nodes_and_values() -> None:
    nodes = inspect(nodes=True, match="^conv[12]$").nodes
    assert nodes is not None
    assert {node.name for node in nodes} >= {"conv1", "conv2"}
    assert all({"conv1", "conv2"} & {node.name, *node.inputs, *node.outputs} for node in nodes)
    assert inspect(nodes=True, match="no such").nodes == ()
    with pytest.raises(UsageError, match=r"\(\["):
        inspect(nodes=True, match="([")


def test_weights_are_chosen_by_the_operators_that_read_them() -> None:
    weights = inspect(weights=True, operators=[(None, "Conv")]).weights
    assert weights is not None
    assert [weight.name for weight in weights] == ["conv1_weight", "conv2_weight"]
    quantized = onnxctl.inspect(str(SAMPLES / "int8_qdq.onnx"), weights=True, operators=[(None, "Conv")]).weights
    assert quantized is not None
    assert {"conv1_weight_int8", "conv2_weight_int8"} <= {weight.name for weight in quantized}
    with pytest.raises(UsageError, match="Conf"):
        inspect(weights=True, operators=[(None, "Conf")])


def test_weights_are_sorted_and_cut() -> None:
    weights = inspect(weights=True, sort="bytes", top=3).weights
    assert weights is not None
    assert [weight.name for weight in weights] == ["conv2_weight", "output_weight", "conv1_weight"]
    by_name = inspect(weights=True, sort="name").weights
    assert by_name is not None
    assert [weight.name for weight in by_name] == sorted(weight.name for weight in by_name)


def test_nodes_are_sorted_by_their_cost_and_their_parameters() -> None:
    cost = inspect(nodes=True, cost=True, sort="macs", dims={"batch": 1}).cost
    assert cost is not None and cost.nodes is not None
    macs = [node.macs.value or 0 for node in cost.nodes if node.macs is not None]
    assert macs == sorted(macs, reverse=True)
    assert cost.nodes[0].name == "conv2"
    nodes = inspect(nodes=True, sort="params", top=1).nodes
    assert nodes is not None and nodes[0].name == "conv2"


def test_a_choice_leaves_the_totals_alone() -> None:
    whole, part = inspect(cost=True).cost, inspect(cost=True, operators=[(None, "Gemm")], top=1).cost
    assert whole is not None and part is not None
    assert part.macs == whole.macs
    assert [each.op_type for each in part.operators] == ["Gemm"]
