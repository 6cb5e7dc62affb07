"""Gathering what breaks the specification: all of it, and the same first problem that is raised otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from onnx import ModelProto, TensorProto, helper, parser

from onnxctl.analysis import structure
from onnxctl.analysis.structure import check_structure, find_problems
from onnxctl.errors import InvalidModel
from onnxctl.model.loading import open_model
from tests.analysis.test_structure import CHAIN, DAMAGES, damaged
from tests.analysis.test_summary import NESTED, opened


def test_every_problem_is_gathered(tmp_path: Path) -> None:
    model = parser.parse_model(CHAIN)
    model.graph.node[0].input[1] = "ghost"
    model.graph.node[1].attribute.append(helper.make_attribute("bogus", 1))
    model.graph.node[2].ClearField("attribute")
    model.graph.node[2].domain = "elsewhere"
    model.graph.initializer[0].dims.append(2)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    problems, _ = find_problems(opened(tmp_path, model))
    found = {(each.code, each.where, each.field) for each in problems}
    assert found == {
        ("undefined-value", "n1", "input"),
        ("unknown-attribute", "n2", "bogus"),
        ("domain-not-imported", "n3", "domain"),
        ("invalid-tensor", "w", ""),
    }


def test_several_troubles_of_one_node_are_all_told(tmp_path: Path) -> None:
    model = parser.parse_model(CHAIN)
    node = model.graph.node[1]
    node.attribute[0].CopyFrom(helper.make_attribute("alpha", 1))
    node.attribute.append(helper.make_attribute("beta", 1.0))
    node.input.append("x")
    problems, _ = find_problems(opened(tmp_path, model))
    assert [each.code for each in problems] == ["wrong-arity", "attribute-type", "unknown-attribute"]
    assert {each.where for each in problems} == {"n2"}


def test_cycles_and_recursion_are_gathered_as_well(tmp_path: Path) -> None:
    model = parser.parse_model(NESTED)
    model.functions[0].opset_import.add(domain="local", version=1)
    model.functions[0].node.append(helper.make_node("Twice", ["p"], ["r"], domain="local"))
    model.graph.node.append(helper.make_node("Neg", ["v"], ["u"], "n4"))
    model.graph.node.append(helper.make_node("Neg", ["u"], ["v"], "n5"))
    problems, _ = find_problems(opened(tmp_path, model))
    assert [each.code for each in problems] == ["recursive-function", "cycle"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_first_that_is_gathered_is_the_one_that_is_raised(tmp_path: Path, damage: str) -> None:
    model = parser.parse_model(CHAIN)
    DAMAGES[damage][0](model)
    (tmp_path / "model.onnx").write_bytes(model.SerializePartialToString())
    with pytest.raises(InvalidModel) as caught:
        check_structure(open_model(str(tmp_path / "model.onnx")))
    first = find_problems(open_model(str(tmp_path / "model.onnx")))[0][0]
    said = f"{first.subject}: {first.message}" if first.subject else first.message
    assert (said, first.hint) == (caught.value.message, caught.value.hint)


@given(damaged())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_gathering_never_fails_and_finds_nothing_in_what_is_valid(tmp_path: Path, model: ModelProto) -> None:
    (tmp_path / "model.onnx").write_bytes(model.SerializePartialToString())
    problems, findings = find_problems(open_model(str(tmp_path / "model.onnx")))
    try:
        assert check_structure(open_model(str(tmp_path / "model.onnx"))) == findings
        assert problems == []
    except InvalidModel:
        assert problems


def test_there_is_an_end_to_gathering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "MAXIMUM_PROBLEMS", 5)
    model = parser.parse_model(CHAIN)
    for _ in range(9):
        model.graph.node.append(helper.make_node("Neg", ["ghost"], [""]))
    assert len(find_problems(opened(tmp_path, model))[0]) == 5
