"""`onnxctl check`, the real command on real and damaged files: every problem, with its place and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto, TensorProto, helper, parser

import onnxctl
from onnxctl.errors import NotOnnx
from onnxctl.reports import CheckReport
from tests.analysis.test_structure import CHAIN
from tests.analysis.test_summary import two_tensors_in_one_file
from tests.command_line import onnxctl as command
from tests.command_line import strict_json
from tests.conftest import SAMPLES, sample_paths

HEAD = '<ir_version: 10, opset_import: ["": 20]>'


def saved(folder: Path, model: ModelProto | str, name: str = "model.onnx") -> str:
    proto = parser.parse_model(model) if isinstance(model, str) else model
    (folder / name).write_bytes(proto.SerializePartialToString())
    return str(folder / name)


def found(report: CheckReport) -> list[tuple[str, str, str]]:
    return [(each.check, each.code, each.where) for file in report.files for each in file.problems]


def test_all_samples_pass_in_one_report() -> None:
    report = onnxctl.check(*map(str, sample_paths()))
    assert report.passed
    assert [each.path for each in report.files] == list(map(str, sample_paths()))
    assert {step.status for each in report.files for step in each.steps} == {"passed"}
    assert {len(each.steps) for each in report.files} == {6}


def test_every_kind_of_problem_in_one_file(tmp_path: Path) -> None:
    model = two_tensors_in_one_file(tmp_path)
    (tmp_path / "weights.bin").write_bytes(bytes(3))
    model.graph.node[0].attribute.append(helper.make_attribute("bogus", 1))
    model.graph.node[0].input[0] = "ghost"
    model.opset_import.add(domain="", version=7)
    report = onnxctl.check(saved(tmp_path, model))
    assert not report.passed
    codes = {code for _, code, _ in found(report)}
    assert {"unknown-attribute", "undefined-value", "invalid-opset-import", "external-data-invalid"} <= codes
    steps = {each.name: each.status for each in report.files[0].steps}
    assert steps == {
        "file": "passed",
        "specification": "failed",
        "data": "failed",
        "types": "passed",
        "onnxruntime": "not checked",
    }


def test_shapes_that_contradict_each_other_are_told_once_for_each_node(tmp_path: Path) -> None:
    text = f"""{HEAD} g (float[2] x, float[3] z, int64[2] i) => (float[2] y)
    {{ [n1] a = Add (x, z) [n2] b = Sub (z, x) [n3] c = Relu (b) [n4] d = Add (x, i) [n5] y = Neg (x) }}"""
    report = onnxctl.check(saved(tmp_path, text), load=False)
    problems = [(code, where) for check, code, where in found(report) if check == "types"]
    assert sorted(problems) == [("shape-error", "n1"), ("shape-error", "n2"), ("type-error", "n4")]


def test_every_wrong_type_is_told_in_subgraphs_too_and_not_only_the_first(tmp_path: Path) -> None:
    text = f"""{HEAD} g (bool c, float[2] x, int64[2] i) => (float[2] y) {{ [n1] a = Add (x, i) [n2] b = And (x, x)
    [n3] y = If (c) < then_branch = t () => (float[2] p) {{ [n4] p = Mul (x, i) }},
        else_branch = e () => (int64[2] q) {{ [n5] q = Cast <to = 7> (x) }}> }}"""
    problems = onnxctl.check(saved(tmp_path, text), load=False).files[0].problems
    assert {(each.code, each.where): each.message for each in problems if each.severity == "error"} == {
        ("type-error", "n1"): "input 1 'i' is int64, but 'x' is float32: Add takes one type",
        ("type-error", "n2"): "input 0 'x' is float32, but And takes bool there",
        ("type-error", "n3/then_branch/n4"): "input 1 'i' is int64, but 'x' is float32: Mul takes one type",
        ("unlike-branches", "n3"): "the branches of the If give output 0 different types, float32 and int64",
    }


def test_one_thing_is_told_once_the_worst_first_and_with_what_to_do(tmp_path: Path) -> None:
    model = parser.parse_model(f"{HEAD} g (float[2] x) => (float[3] y) {{ a = Relu (x) b = Neg (x) y = Abs (a) }}")
    model.graph.node.append(model.graph.node.pop(0))  # after who reads it
    problems = onnxctl.check(saved(tmp_path, model), load=False).files[0].problems
    assert [(each.severity, each.code) for each in problems] == [
        ("error", "unsorted-graph"),
        ("warning", "stated-shape"),
        ("warning", "dead-node"),
    ]
    assert all(each.hint for each in problems)
    done = command("check", saved(tmp_path, TWO_ALIKE), "--no-load").stdout.decode()
    assert (done.count("[unknown-attribute]"), done.count("check the opset the node was written for")) == (2, 1)


TWO_ALIKE = f"{HEAD} g (float[2] x) => (float[2] y) {{ a = Relu <axis = 1> (x) y = Abs <axis = 1> (a) }}"


def test_a_cycle_is_told_once(tmp_path: Path) -> None:
    text = f"{HEAD} g (float[2] x) => (float[2] y) {{ a = Add (x, b) b = Neg (a) y = Neg (a) }}"
    report = onnxctl.check(saved(tmp_path, text))
    assert [code for _, code, _ in found(report)] == ["cycle"]
    assert {each.name: each.status for each in report.files[0].steps}["onnxruntime"] == "not checked"


def test_a_shape_stated_wrongly_is_a_warning_that_strict_counts(tmp_path: Path) -> None:
    path = saved(tmp_path, f"{HEAD} g (float[2] x) => (float[5] y) {{ [n1] y = Relu (x) }}")
    report = onnxctl.check(path)
    assert report.passed
    assert ("types", "stated-shape", "n1") in found(report)
    assert report.files[0].warning_count == 1
    assert not onnxctl.check(path, strict=True).passed


def test_what_only_onnxruntime_refuses_is_told(tmp_path: Path) -> None:
    head = '<ir_version: 10, opset_import: ["": 20, "my.own": 1]>'
    text = f"{head} g (float[2] x) => (float[2] y) {{ y = my.own.Thing (x) }}"
    path = saved(tmp_path, text)
    report = onnxctl.check(path)
    assert [code for _, code, _ in found(report)] == ["not-loadable", "custom-operator"]
    assert not report.passed
    assert onnxctl.check(path, load=False).passed


def test_what_only_the_checker_of_onnx_refuses_is_told(tmp_path: Path) -> None:
    model = parser.parse_model(CHAIN)
    model.ir_version = 3  # which wants every initializer among the inputs
    report = onnxctl.check(saved(tmp_path, model))
    assert ("specification", "onnx-checker", "") in found(report)
    assert "'w'" in report.files[0].problems[0].message or "w in initializer" in report.files[0].problems[0].message


def test_onnx_is_not_blamed_for_what_it_was_not_shown(tmp_path: Path) -> None:
    """It sees no large tensor: neither one with bytes in the model as well, nor contents that shapes depend on."""
    model = two_tensors_in_one_file(tmp_path)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [4]))
    model.graph.initializer[0].raw_data = b"not read"
    assert onnxctl.check(saved(tmp_path, model), load=False).passed
    many = parser.parse_model(f"{HEAD} g (float[1,1,1,1] x) => (float[a,b,c,d] y) {{ [n1] y = Resize (x, , scales) }}")
    scales = many.graph.initializer.add(name="scales", data_type=TensorProto.FLOAT, dims=[2000])
    scales.raw_data = bytes(8000)
    assert [
        code for check, code, _ in found(onnxctl.check(saved(tmp_path, many), load=False)) if check == "types"
    ] == []


def test_native_crashes_are_one_line(tmp_path: Path) -> None:
    text = f"""{HEAD} g () => (int32[1] y)
    <int32[1] a = {{-2147483648}}, int32[1] b = {{-1}}> {{ y = Div (a, b) }}"""
    report = onnxctl.check(saved(tmp_path, text))
    assert ("onnxruntime", "not-loadable", "") in found(report)
    assert "crashed" in report.files[0].problems[-1].message


def test_a_function_that_calls_itself_is_a_problem_and_no_bug(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["": 20, "f": 1]> g (float[2] x) => (float[2] y) { y = f.again (x) }
    <domain: "f", opset_import: ["": 20, "f": 1]> again (x) => (y) { y = f.again (x) }"""
    done = command("check", saved(tmp_path, text), "--no-load")
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_sparse_initializer_stands_for_a_dense_tensor(tmp_path: Path) -> None:
    model = parser.parse_model(f"{HEAD} g (float[4] x) => (float[4] y) {{ y = Add (x, w) }}")
    sparse = model.graph.sparse_initializer.add(dims=[4])
    sparse.values.CopyFrom(helper.make_tensor("w", TensorProto.FLOAT, [1], [2.0]))
    sparse.indices.CopyFrom(helper.make_tensor("w_indices", TensorProto.INT64, [1], [3]))
    assert onnxctl.check(saved(tmp_path, model)).passed


def test_one_file_that_is_no_model_is_exit_3_and_among_several_a_row(tmp_path: Path) -> None:
    page = tmp_path / "page.onnx"
    page.write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(NotOnnx):
        onnxctl.check(str(page))
    assert command("check", str(page)).returncode == 3
    done = command("check", str(page), os.fspath(SAMPLES / "digits_cnn.onnx"), "--json")
    data: Any = strict_json(done.stdout)["data"]
    assert done.returncode == 1
    assert [each["passed"] for each in data["files"]] == [False, True]
    assert data["files"][0]["problems"][0]["code"] == "not-onnx"


def test_the_command_tells_the_place_and_the_remedy_and_ends_in_1(tmp_path: Path) -> None:
    model = two_tensors_in_one_file(tmp_path)
    (tmp_path / "weights.bin").unlink()
    model.graph.node[0].name = "[red]\x1b[31m"
    model.graph.node[0].attribute.append(helper.make_attribute("bogus", 1))
    done = command("check", saved(tmp_path, model))
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (1, b"")
    assert "[red]\\x1b[31m (bogus): " in text and "\x1b" not in text
    assert "it belongs beside the model" in text
    assert "2 errors" in text


def test_standard_input_is_checked_too() -> None:
    done = command("check", "-", "--json", stdin=(SAMPLES / "digits_cnn.onnx").read_bytes())
    assert done.returncode == 0
    assert strict_json(done.stdout)["data"]["files"][0]["path"] == "-"


def test_a_type_of_output_that_nothing_makes_so(tmp_path: Path) -> None:
    model = parser.parse_model(CHAIN)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    report = onnxctl.check(saved(tmp_path, model), load=False)
    assert ("specification", "type-conflict", "y") in found(report)
