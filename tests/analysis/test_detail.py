"""One node from close by."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import NodeProto

import onnxctl
from onnxctl.errors import UsageError
from onnxctl.model.names import node_label
from onnxctl.reports import NodeDetail
from tests.analysis.cost.counted import model_of
from tests.conftest import SAMPLES

CNN = str(SAMPLES / "digits_cnn.onnx")

TEXT = """g (bool c, float[n, 4] x, float[4, 5] w) => (float[n, 5] y, float[n, 5] z)
    <int64[2] shape = {-1, 5}> {
        product = MatMul (x, w)
        flat = Reshape (product, shape)
        half = Clip (flat, , top)
        top = Constant <value_float = 1.5> ()
        y = Neg (half)
        z = If (c) <
            then_branch = one () => (float[n, 5] a) { a = Relu (half) },
            else_branch = two () => (float[n, 5] b) { b = Relu (flat) }
        >
    }"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    model = model_of(TEXT)
    for node in model.graph.node:
        node.name = f"the_{node.op_type}"
    for branch in model.graph.node[-1].attribute:
        branch.g.node[0].name = "inner"
    path: Path = tmp_path_factory.mktemp("detail") / "detail.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


def look(path: str, name: str, **dims: int) -> NodeDetail:
    detail = onnxctl.inspect(path, node=name, dims=dims).node
    assert detail is not None
    return detail


def test_a_node_is_found_by_its_name_and_by_its_outputs(path: str) -> None:
    assert look(path, "the_Clip") == look(path, "half")
    assert look(path, "half").node.op_type == "Clip"
    assert look(path, "If_named/then_branch/inner".replace("If_named", "the_If")).node.inputs == ("half",)


def test_inputs_say_where_they_are_from(path: str) -> None:
    clip = look(path, "the_Clip")
    data, low, high = clip.inputs
    assert (data.name, data.role, data.nodes, data.type) == ("flat", "node", ("Reshape the_Reshape",), "float32[n, 5]")
    assert low.role == "absent"
    assert (high.role, high.contents) == ("node", "1.5")
    shape = look(path, "the_Reshape").inputs[1]
    assert (shape.role, shape.contents) == ("initializer", "[-1, 5]")
    assert look(path, "the_MatMul").inputs[0].role == "input"
    assert look(path, "a").inputs[0].role == "outer"


def test_outputs_say_who_reads_them(path: str) -> None:
    assert look(path, "half").outputs[0].nodes == ("Neg the_Neg", "If the_If")
    assert look(path, "y").outputs[0].role == "output"


def test_types_follow_the_sizes_given(path: str) -> None:
    assert look(path, "half", n=3).outputs[0].type == "float32[3, 5]"


def test_the_cost_is_of_one_run(path: str) -> None:
    cost = look(path, "the_MatMul").cost
    assert cost is not None and cost.macs is not None
    assert cost.macs.terms == ((20, "n"),)
    in_function = look(str(SAMPLES / "local_function.onnx"), "scale_up").cost
    assert in_function is not None and in_function.flops is not None


def test_a_name_that_is_not_there_gets_suggestions() -> None:
    with pytest.raises(UsageError) as caught:
        look(CNN, "conv3")
    assert "conv3" in caught.value.message
    assert "'conv1'" in caught.value.hint


def test_a_name_that_two_have_must_be_said_in_full(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        look(path, "inner")
    assert "2 nodes" in caught.value.message
    assert "the_If/then_branch/inner" in caught.value.hint


def test_the_name_of_an_operator_leads_to_its_nodes(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        look(path, "relu")
    assert caught.value.hint == "nodes with this operator: 'the_If/then_branch/inner', 'the_If/else_branch/inner'"


def test_labels_are_text_whatever_the_names_are() -> None:
    node = NodeProto.FromString(NodeProto(op_type="Relu", output=["z"]).SerializeToString().replace(b"z", b"\xff"))
    assert node_label("If/then", node) == "If/then/Relu(\udcff)"


def test_a_node_with_subgraphs_costs_what_it_runs(path: str, tmp_path: Path) -> None:
    cost = look(path, "the_If", n=3).cost
    assert cost is not None and cost.reason == ""
    assert cost.flops is not None and cost.flops.value == 15
    text = """g (float[4, 4] x) => (float[4, 4] y) <int64 trips = {3}, bool go = {1}> {
        y = Loop (trips, go, x) <body = b (int64 i, bool c, float[4, 4] a) => (bool d, float[4, 4] e)
            { d = Identity (c) e = MatMul (a, a) }> }"""
    loop = tmp_path / "loop.onnx"
    loop.write_bytes(model_of(text).SerializeToString())
    cost = look(str(loop), "y").cost
    assert cost is not None and cost.macs is not None and cost.macs.value == 3 * 64


def test_a_call_costs_what_its_function_does() -> None:
    cost = look(str(SAMPLES / "local_function.onnx"), "clip_wide").cost
    assert cost is not None and cost.flops is not None and cost.flops.expression not in ("", "0")


def test_the_branch_that_a_constant_condition_takes_is_counted(shared: Path) -> None:
    model = next((shared / "models").rglob("silero_vad.onnx"))
    cost = look(str(model), "If_33").cost
    assert cost is not None and cost.macs is not None and cost.reason == ""
