"""`onnxctl bisect` finds faults planted at random nodes of real models, in few runs, and what it writes shows them."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper, parser

import onnxctl
from onnxctl.errors import OutputExists, UsageError
from onnxctl.reports import BisectReport
from tests.analysis.test_difference import HEAD, renamed
from tests.command_line import onnxctl as command
from tests.command_line import strict_json
from tests.conftest import SAMPLES, SHARED

BLOCK = SAMPLES / "transformer_block.onnx"
CNN = SAMPLES / "digits_cnn.onnx"


def saved(folder: Path, model: ModelProto, name: str) -> str:
    (folder / name).write_bytes(model.SerializeToString())
    return str(folder / name)


def label(node: NodeProto) -> str:
    return node.name or f"{node.op_type}({node.output[0]})"


def weights_of(model: ModelProto) -> dict[str, TensorProto]:
    """The float weights with more than one element."""
    return {each.name: each for each in model.graph.initializer if each.data_type == 1 and math.prod(each.dims) > 1}


def change_weight(model: ModelProto, chance: random.Random) -> NodeProto:
    weights = weights_of(model)
    used = [(node, name) for node in model.graph.node for name in node.input if name in weights]
    counts = [name for _, name in used]
    node, name = chance.choice([(node, name) for node, name in used if counts.count(name) == 1])
    values = numpy_helper.to_array(weights[name])
    weights[name].CopyFrom(numpy_helper.from_array(values * np.float32(1.5) + np.float32(0.25), name))
    return node


def change_attribute(model: ModelProto, chance: random.Random) -> NodeProto:
    node = chance.choice([node for node in model.graph.node if node.op_type in ("Gemm", "Softmax", "LeakyRelu")])
    kept = [each for each in node.attribute if each.name not in ("alpha", "axis")]
    del node.attribute[:]
    node.attribute.extend(kept)
    name, value = ("axis", 1) if node.op_type == "Softmax" else ("alpha", 1.75)
    node.attribute.append(onnx.helper.make_attribute(name, value))
    return node


def swap_inputs(model: ModelProto, chance: random.Random) -> NodeProto:
    node = chance.choice([each for each in model.graph.node if each.op_type in ("Sub", "Div") and len(each.input) == 2])
    node.input[:] = [node.input[1], node.input[0]]
    return node


def assert_found(report: BisectReport, node: NodeProto) -> None:
    """The node is among those named; the runs are as few as promised: halving, a look ahead, and the smallest part."""
    assert report.verdict == "different"
    assert label(node) in {each.name for each in report.nodes if each.side == "after"}
    assert report.reproduced
    assert report.probe_count <= math.ceil(math.log2(report.cut_count)) + 8


@pytest.mark.parametrize("plant", [change_weight, change_attribute, swap_inputs])
@pytest.mark.parametrize("seed", range(3))
def test_a_fault_at_a_random_node_is_found(
    plant: Callable[[ModelProto, random.Random], NodeProto], seed: int, tmp_path: Path
) -> None:
    path = CNN if plant is change_attribute and seed == 0 else BLOCK
    model = onnx.load(str(path))
    node = plant(model, random.Random(seed))
    report = onnxctl.bisect(str(path), saved(tmp_path, model, "bad.onnx"))
    assert_found(report, node)
    assert len([each for each in report.nodes if each.side == "after"]) <= 8
    outputs = {each.before for each in report.outputs}
    assert {each.before for each in report.first_values if each.top} <= outputs, "the largest elements mean something"


@pytest.mark.parametrize("seed", range(2))
def test_it_is_found_under_other_names_as_well(seed: int, tmp_path: Path) -> None:
    model = onnx.load(str(BLOCK))
    node = change_weight(model, random.Random(seed))
    outputs = list(node.output)
    bad = renamed(model, seed)
    report = onnxctl.bisect(str(BLOCK), saved(tmp_path, bad, "bad.onnx"))
    assert report.verdict == "different"
    assert report.reproduced
    made = {
        name
        for each in onnx.load(str(BLOCK)).graph.node
        if label(each) in {n.name for n in report.nodes}
        for name in each.output
    }
    assert not made.isdisjoint(outputs)


def test_it_is_found_in_what_an_optimizer_made_of_the_model(tmp_path: Path) -> None:
    better = str(tmp_path / "better.onnx")
    onnxctl.optimize(str(BLOCK), better)
    assert onnxctl.bisect(str(BLOCK), better).verdict == "same"
    model = onnx.load(better)
    node = change_weight(model, random.Random(4))
    assert_found(onnxctl.bisect(str(BLOCK), saved(tmp_path, model, "bad.onnx")), node)


@pytest.mark.parametrize("name", ["light_densenet121.onnx", "cls-model.onnx", "silero_vad.onnx", "mnist.onnx"])
def test_it_is_found_in_models_from_elsewhere(name: str, tmp_path: Path, shared: Path) -> None:
    path = next((SHARED / "models").rglob(name))
    model = onnx.load(str(path))
    if not weights_of(model):
        pytest.skip("no weights that could be changed")
    node = change_weight(model, random.Random(1))
    report = onnxctl.bisect(str(path), saved(tmp_path, model, "bad.onnx"))
    if report.verdict == "different":  # the inputs may not reach the node
        assert_found(report, node)


def test_a_model_agrees_with_itself_on_every_level() -> None:
    done = command("bisect", os.fspath(CNN), "--graph-optimization", "disable,all", "--json")
    data = strict_json(done.stdout)["data"]
    assert (done.returncode, data["verdict"], data["probe_count"]) == (0, "same", 1)
    assert (data["before"]["graph_optimization"], data["after"]["graph_optimization"]) == ("disable", "all")


def test_small_differences_that_add_up_are_shown_by_the_nodes_together(tmp_path: Path) -> None:
    nodes = " ".join(f"[n{i}] a{i + 1} = Mul (a{i}, w{i})" for i in range(24))
    weights = ", ".join(f"float w{i} = {{1}}" for i in range(24))
    text = f"{HEAD} g (float[8] a0) => (float[8] a24) <{weights}> {{ {nodes} }}"
    paths = [
        saved(tmp_path, parser.parse_model(each), f"{i}.onnx")
        for i, each in enumerate((text, text.replace("{1}", "{1.001}")))
    ]
    report = onnxctl.bisect(*paths, tolerance=0.004)
    assert report.reproduced
    assert 4 < len([each for each in report.nodes if each.side == "before"]) < 16
    single = onnxctl.bisect(*paths, tolerance=0.0001)
    assert len([each for each in single.nodes if each.side == "before"]) == 1


def test_a_side_that_fails_is_a_difference_with_a_place(tmp_path: Path) -> None:
    nodes = " ".join(f"[n{i}] a{i + 1} = Neg (a{i})" for i in range(12))
    text = f"""{HEAD} g (float[8] a0) => (float[N] y) <int64[1] shape = {{8}}>
    {{ {nodes} [re] b = Reshape (a12, shape) [n] y = Neg (b) }}"""
    paths = [
        saved(tmp_path, parser.parse_model(each), f"{i}.onnx")
        for i, each in enumerate((text, text.replace("{8}", "{7}")))
    ]
    report = onnxctl.bisect(*paths)
    assert report.verdict == "different"
    assert "gives no values" in report.failure
    assert {each.name for each in report.nodes} == {"re"}


def test_faults_in_a_subgraph_are_found_at_the_node_that_holds_it(tmp_path: Path) -> None:
    text = f"""{HEAD} g (float[2] x) => (float[2] y) <bool c = {{1}}> {{ [first] a = Neg (x) [choice] b = If (c) <
        then_branch = t () => (float[2] p) {{ p = Exp (a) }},
        else_branch = e () => (float[2] q) {{ q = Neg (a) }}> [last] y = Neg (b) }}"""
    paths = [
        saved(tmp_path, parser.parse_model(each), f"{i}.onnx")
        for i, each in enumerate((text, text.replace("Exp", "Sin")))
    ]
    report = onnxctl.bisect(*paths)
    assert {each.name for each in report.nodes} == {"choice"}
    assert [(each.before, each.details) for each in report.node_changes] == [
        ("choice/then_branch/Exp(p)", ("now Sin",))
    ]
    assert report.reproduced


def test_faults_in_a_function_are_told_and_other_functions_are_not(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["": 20, "own": 1]> g (float[2] x) => (float[2] y)
    { [one] a = own.F (x) [two] b = own.F (a) [last] y = own.G (b) }
    <opset_import: ["": 20], domain: "own"> F (x) => (y) { [inner] h = Exp (x) y = Neg (h) }
    <opset_import: ["": 20], domain: "own"> G (x) => (y) { y = Neg (x) }"""
    changed = text.replace("Exp", "Sin").replace("G (x) => (y) { y = Neg", "G (x) => (y) { y = Abs")
    paths = [saved(tmp_path, parser.parse_model(each), f"{i}.onnx") for i, each in enumerate((text, changed))]
    report = onnxctl.bisect(*paths)
    assert {each.name for each in report.nodes} == {"one"}
    assert [(each.before, each.details) for each in report.node_changes] == [("function:own:F/inner", ("now Sin",))]


CONSTANTS = f"""{HEAD} g (float[8] x) => (float[8] y) <float[8] w = {{1, 2, 3, 4, 5, 6, 7, 8}}> {{
    {" ".join(f"[c{i}] w{i + 1} = Abs (w{i or ''})" for i in range(20))}
    [n1] a = Neg (x) [n2] b = Add (a, w20) [n3] c = Relu (b) [n4] y = Neg (c) }}"""


def test_a_fault_among_nodes_fed_by_constants_alone_is_found_there(tmp_path: Path) -> None:
    bad = CONSTANTS.replace("[c13] w14 = Abs", "[c13] w14 = Sqrt")
    paths = [saved(tmp_path, parser.parse_model(each), f"{i}.onnx") for i, each in enumerate((CONSTANTS, bad))]
    report = onnxctl.bisect(*paths)
    assert {each.name for each in report.nodes} == {"c13"}
    assert report.reproduced
    done = command("bisect", *paths, "--write", str(tmp_path / "example"))
    assert "now Sqrt" in done.stdout.decode()
    assert [each.op_type for each in onnx.load(str(tmp_path / "example" / "other.onnx")).graph.node] == ["Sqrt"]


def test_nodes_that_make_equal_constants_are_not_named(tmp_path: Path) -> None:
    bad = CONSTANTS.replace("[n2] b = Add", "[n2] b = Sub")
    paths = [saved(tmp_path, parser.parse_model(each), f"{i}.onnx") for i, each in enumerate((CONSTANTS, bad))]
    report = onnxctl.bisect(*paths)
    assert {each.name for each in report.nodes} == {"n2"}
    assert report.reproduced
    assert {each.name for each in report.inputs} == {"a", "w20"}


def test_a_fault_is_found_where_an_optimizer_took_leading_dimensions_together(tmp_path: Path) -> None:
    """As around a Gemm, whose reshapes go: the values between have other names, and two dimensions instead of three."""
    head = f"""{HEAD} g (float[B,3,4] x) => (float[B,3,4] y)
    <int64[2] rows = {{-1, 4}}, int64[3] full = {{-1, 3, 4}}, float[4,4] w = {{{", ".join("1" * 16)}}},
    float[4,4] v = {{V}}>
    {{ [p1] p = Sin (x) [p2] q = Cos (p) [p3] z = Tanh (q)"""
    before = f"""{head} [n1] a = Neg (z) [r1] r = Reshape (a, rows) [g1] g = Gemm (r, w) [r2] h = Reshape (g, full)
    [n2] b = Add (a, h) [n3] c = Neg (b) [r3] s = Reshape (c, rows) [g2] t = Gemm (s, v) [r4] u = Reshape (t, full)
    [n4] y = Add (c, u) }}"""
    after = f"""{head} [r0] zr = Reshape (z, rows) [n1] ar = Neg (zr) [g1] g = Gemm (ar, w) [n2] br = Add (ar, g)
    [n3] cr = Neg (br) [g2] t = Gemm (cr, v) [n4] yr = Add (cr, t) [r4] y = Reshape (yr, full) }}"""
    values = [", ".join(each * 16) for each in ("2", "3")]
    one = saved(tmp_path, parser.parse_model(before.replace("V}", f"{values[0]}}}")), "one.onnx")
    same, bad = (
        saved(tmp_path, parser.parse_model(after.replace("V}", f"{each}}}")), f"{number}.onnx")
        for number, each in enumerate(values)
    )
    assert onnxctl.bisect(one, same).verdict == "same"
    report = onnxctl.bisect(one, bad, write=str(tmp_path / "example"))
    assert {each.name for each in report.nodes if each.side == "after"} == {"g2"}
    assert report.reproduced
    assert [each.name for each in report.inputs] == ["c"]
    assert [each.before for each in report.weight_changes if each.status == "changed"] == ["v"]
    assert command("run", str(tmp_path / "example" / "model.onnx"), "--verify", "--runs", "1").returncode == 0
    assert command("run", str(tmp_path / "example" / "other.onnx"), "--verify", "--runs", "1").returncode == 1


# ---------------------------------------------------------------- what is written


def test_the_smallest_model_and_its_data_show_the_difference(tmp_path: Path) -> None:
    model = onnx.load(str(BLOCK))
    node = change_weight(model, random.Random(7))
    bad, folder = saved(tmp_path, model, "bad.onnx"), tmp_path / "example"
    done = command("bisect", os.fspath(BLOCK), bad, "--write", str(folder))
    assert done.returncode == 1, done.stderr
    assert str(folder / "model.onnx") in done.stdout.decode()
    assert len(onnx.load(str(folder / "model.onnx")).graph.node) < 10
    assert label(node) in {label(each) for each in onnx.load(str(folder / "other.onnx")).graph.node}
    assert command("run", str(folder / "model.onnx"), "--verify", "--runs", "1").returncode == 0
    assert command("run", str(folder / "other.onnx"), "--verify", "--runs", "1").returncode == 1
    assert sorted(os.listdir(tmp_path)) == ["bad.onnx", "example"]
    with pytest.raises(OutputExists):
        onnxctl.bisect(str(BLOCK), bad, write=str(folder))
    assert onnxctl.bisect(str(BLOCK), bad, write=str(folder), force=True).files_written
    (folder / "mine.txt").write_text("")
    with pytest.raises(UsageError):
        onnxctl.bisect(str(BLOCK), bad, write=str(folder), force=True)
    assert (folder / "mine.txt").exists()


def test_nothing_is_written_where_nothing_differs(tmp_path: Path) -> None:
    report = onnxctl.bisect(str(CNN), graph_optimizations=["disable", "basic"], write=str(tmp_path / "example"))
    assert (report.verdict, report.files_written) == ("same", ())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [os.fspath(CNN)],
        [os.fspath(CNN), os.fspath(CNN)],
        [os.fspath(CNN), "--graph-optimization", "disable,most"],
        [os.fspath(CNN), "--graph-optimization", "disable,basic,all"],
        ["-", "-"],
    ],
)
def test_what_is_asked_wrongly_is_exit_2(arguments: list[str]) -> None:
    assert command("bisect", *arguments).returncode == 2


def test_models_that_cannot_be_held_against_each_other_are_told_so(tmp_path: Path) -> None:
    texts = {
        "one": "(float[2] x) => (float[2] y) { y = Neg (x) }",
        "two": "(float[2] x, float[2] z) => (float[2] y) { y = Add (x, z) }",
        "other": "(float[2] x) => (int64[1] n) { n = Shape (x) }",
    }
    paths = {name: saved(tmp_path, parser.parse_model(f"{HEAD} g {text}"), name) for name, text in texts.items()}
    with pytest.raises(UsageError, match="input 'z'"):
        onnxctl.bisect(paths["one"], paths["two"])
    assert onnxctl.bisect(paths["two"], paths["one"]).verdict == "different"
    two_outputs = "(float[2] x) => (float[2] a, float[2] b) { a = Neg (x) b = Abs (x) }"
    paths["none"] = saved(tmp_path, parser.parse_model(f"{HEAD} g {two_outputs}"), "none")
    with pytest.raises(UsageError, match="no output"):
        onnxctl.bisect(paths["none"], paths["other"])
