"""Proof: passes that make something wrong of a model are found, named with the node, and left out; the rest is done.

The mutations are passes of their own, put into the real pipeline: each does once what a faulty pass could do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxctl.api.optimization import optimize_as
from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, Pass, standard_nodes
from onnxctl.passes.pipeline import PIPELINE
from onnxctl.reports import OptimizeConfig, OptimizeReport
from tests.conftest import SAMPLES

BLOCK, CNN, MLP = (SAMPLES / f"{name}.onnx" for name in ("transformer_block", "digits_cnn", "digits_mlp"))

Edit = Callable[[Graph, onnx.NodeProto], None]


def once(op_type: str, edit: Edit, at: int = 0) -> Callable[[Graph, Context], int]:
    """A pass that edits one node of this operator in the top graph, the `at`-th, and marks that by its doc_string."""

    def run(graph: Graph, context: Context) -> int:
        if graph.parent is not None or any(node.doc_string == "edited" for node in graph.nodes):
            return 0
        for number, node in enumerate(list(standard_nodes(graph, op_type))):
            if number == at:
                node.doc_string = "edited"
                edit(graph, node)
                return 1
        return 0

    return run


def look_by_look(op_type: str, edit: Edit, at: int) -> Callable[[Graph, Context], int]:
    """As `once`, but by a loop over the nodes as passes have it, all of which it rewrites: only one of them wrongly."""

    def run(graph: Graph, context: Context) -> int:
        found = 0
        for number, node in enumerate(standard_nodes(graph, op_type)):
            if not node.doc_string:
                node.doc_string, found = "edited", found + 1
                if number == at:
                    edit(graph, node)
        return found

    return run


def scale_weight(factor: float) -> Edit:
    def edit(graph: Graph, node: onnx.NodeProto) -> None:
        name = next(name for name in node.input if name in graph.initializers)
        array = graph.model.tensor(graph.initializers[name]).numpy() * np.float32(factor)
        graph.set_initializer(graph.model.new_tensor(name, array))

    return edit


def zero_weight(graph: Graph, node: onnx.NodeProto) -> None:
    scale_weight(0.0)(graph, node)


def swap_inputs(graph: Graph, node: onnx.NodeProto) -> None:
    graph.set_inputs(node, [node.input[1], node.input[0], *node.input[2:]])


def rename_operator(op_type: str) -> Edit:
    def edit(graph: Graph, node: onnx.NodeProto) -> None:
        node.op_type = op_type

    return edit


def set_attribute(name: str, value: object) -> Edit:
    def edit(graph: Graph, node: onnx.NodeProto) -> None:
        for each in list(node.attribute):
            if each.name == name:
                node.attribute.remove(each)
        node.attribute.append(onnx.helper.make_attribute(name, value))

    return edit


def skip_node(graph: Graph, node: onnx.NodeProto) -> None:
    graph.replace_uses(node.output[0], node.input[0])


def read_something_else(graph: Graph, node: onnx.NodeProto) -> None:
    graph.set_input(node, 0, graph.inputs[0])


def drop_graph_output(graph: Graph, node: onnx.NodeProto) -> None:
    del graph.proto.output[0]


def rename_graph_output(graph: Graph, node: onnx.NodeProto) -> None:
    graph.proto.output[0].name += "_2"  # type: ignore[union-attr]


def retype_graph_input(graph: Graph, node: onnx.NodeProto) -> None:
    graph.proto.input[0].type.tensor_type.shape.dim[0].dim_value = 1  # type: ignore[union-attr]


def drop_metadata(graph: Graph, node: onnx.NodeProto) -> None:
    graph.model.proto.producer_name = "somebody else"


def raise_opset(graph: Graph, node: onnx.NodeProto) -> None:
    graph.model.proto.opset_import[0].version += 1


def use_foreign_operator(graph: Graph, node: onnx.NodeProto) -> None:
    node.domain = "com.microsoft"


def add_nodes(graph: Graph, node: onnx.NodeProto) -> None:
    for number in range(100):
        graph.add_node("Identity", [node.input[0]], [f"more_{number}"], before=node)
        graph.add_node("Neg", [f"more_{number}"], [graph.fresh_name("and_more")], before=node)


def add_bytes(graph: Graph, node: onnx.NodeProto) -> None:
    array = np.random.default_rng(0).random(100_000).astype(np.float32)
    graph.set_initializer(graph.model.new_tensor("ballast", array))
    graph.add_node("Add", [node.output[0], "ballast"], ["unseen"], before=node)


def tie_a_knot(graph: Graph, node: onnx.NodeProto) -> None:
    graph.set_input(node, 0, node.output[0])


MUTATIONS: list[tuple[str, Path, str, Edit]] = [
    ("a weight scaled", CNN, "Conv", scale_weight(1.01)),
    ("a weight zeroed", CNN, "Gemm", zero_weight),
    ("a weight negated", MLP, "Gemm", scale_weight(-1.0)),
    ("a weight of a product", BLOCK, "MatMul", scale_weight(1.001)),
    ("inputs of Div swapped", CNN, "Div", swap_inputs),
    ("inputs of MatMul swapped", BLOCK, "MatMul", swap_inputs),
    ("strides", CNN, "MaxPool", set_attribute("strides", [1, 1])),
    ("padding", CNN, "Conv", set_attribute("pads", [0, 0, 0, 0])),
    ("an axis", BLOCK, "Softmax", set_attribute("axis", 1)),
    ("alpha", CNN, "Gemm", set_attribute("alpha", 0.9)),
    ("an operator", CNN, "Relu", rename_operator("Abs")),
    ("another operator", BLOCK, "Softmax", rename_operator("LogSoftmax")),
    ("a node skipped", CNN, "Relu", skip_node),
    ("another value read", BLOCK, "Softmax", read_something_else),
    ("an output dropped", CNN, "Relu", drop_graph_output),
    ("an output renamed", CNN, "Relu", rename_graph_output),
    ("an input retyped", CNN, "Relu", retype_graph_input),
    ("metadata changed", CNN, "Relu", drop_metadata),
    ("the opset raised", CNN, "Relu", raise_opset),
    ("a foreign operator", CNN, "Relu", use_foreign_operator),
    ("a cycle", CNN, "Relu", tie_a_knot),
]


def optimized(source: Path, folder: Path, *more: Pass, **changes: object) -> OptimizeReport:
    """The report of the real pipeline with these passes in its middle."""
    half = len(PIPELINE) // 2
    config = OptimizeConfig(path=str(source), output=str(folder / "out.onnx"), **changes)  # type: ignore[arg-type]
    return optimize_as(config, pipeline=(*PIPELINE[:half], *more, *PIPELINE[half:]))


@pytest.fixture(scope="module")
def without_mutation(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bytes]:
    """What the passes make of each model when none is faulty."""
    found = {}
    for source in (BLOCK, CNN, MLP):
        folder = tmp_path_factory.mktemp("right")
        assert optimized(source, folder).status == "written"
        found[source] = (folder / "out.onnx").read_bytes()
    return found


def test_there_are_twenty_mutations() -> None:
    assert len({(source, op_type, edit) for _, source, op_type, edit in MUTATIONS}) >= 20


@pytest.mark.parametrize(("source", "op_type", "edit"), [m[1:] for m in MUTATIONS], ids=[m[0] for m in MUTATIONS])
def test_a_faulty_pass_is_found_and_left_out(
    source: Path, op_type: str, edit: Edit, tmp_path: Path, without_mutation: dict[Path, bytes]
) -> None:
    report = optimized(source, tmp_path, Pass("spoil_nodes", once(op_type, edit), "do harm"))
    [finding] = report.findings
    assert finding.code == "pass-rolled-back"
    assert finding.where.startswith("spoil_nodes")
    assert (report.status, report.verification.status) == ("written", "equal")
    assert "spoil_nodes" not in {each.name for each in report.passes}
    assert (tmp_path / "out.onnx").read_bytes() == without_mutation[source]


@pytest.mark.parametrize("at", [0, 1, 5])
def test_the_very_node_is_named(at: int, tmp_path: Path) -> None:
    seen: list[str] = []

    def spoil(graph: Graph, node: onnx.NodeProto) -> None:
        seen.append(node.name)
        swap_inputs(graph, node)

    harm = Pass("spoil_products", look_by_look("MatMul", spoil, at), "do harm")
    late = Pass("spoil_sums", look_by_look("Add", swap_inputs, 99), "do no harm")
    [finding] = optimized(BLOCK, tmp_path, harm, late).findings
    [name] = set(seen)
    assert finding.where == f"spoil_products: {name}"
    assert repr(name) in finding.message


def test_two_faulty_passes_are_both_found(tmp_path: Path) -> None:
    spoilers = [
        Pass("spoil_weights", once("Conv", scale_weight(1.5)), "do harm"),
        Pass("spoil_operators", once("Relu", rename_operator("Abs")), "do harm"),
    ]
    report = optimized(CNN, tmp_path, *spoilers)
    assert {each.where.partition(":")[0] for each in report.findings} == {"spoil_weights", "spoil_operators"}
    assert report.verification.status == "equal"


def test_a_pass_that_hides_its_rewrites_is_found(tmp_path: Path) -> None:
    def run(graph: Graph, context: Context) -> int:
        once("Conv", scale_weight(1.5))(graph, context)
        return 0

    [finding] = optimized(CNN, tmp_path, Pass("spoil_silently", run, "do harm")).findings
    assert finding.where.startswith("spoil_silently")


@pytest.mark.parametrize("edit", [add_nodes, add_bytes])
def test_a_pass_that_lets_the_model_grow_is_left_out(edit: Edit, tmp_path: Path) -> None:
    spoil = Pass("spoil_size", once("Relu", edit), "do harm")
    config = OptimizeConfig(path=str(CNN), output=str(tmp_path / "out.onnx"))
    report = optimize_as(config, pipeline=(spoil,))
    [finding] = report.findings
    assert finding.where.startswith("spoil_size")
    assert "let the model grow: " in finding.message
    assert "more than the original" in finding.message
    assert report.after.node_count == report.before.node_count


def test_where_nothing_can_be_found_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxctl.api.proof.BISECTION_LIMIT_S", -1.0)
    report = optimized(CNN, tmp_path, Pass("spoil_weights", once("Conv", scale_weight(1.5)), "do harm"))
    assert (report.status, report.output, report.files_written) == ("different", None, ())
    assert report.verification.status == "different"
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_result_is_written_only_where_nobody_looks(tmp_path: Path, without_mutation: dict[Path, bytes]) -> None:
    spoil = Pass("spoil_weights", once("Conv", scale_weight(1.5)), "do harm")
    report = optimized(CNN, tmp_path, spoil, verify=False)
    assert (report.status, report.verification.status) == ("written", "skipped")
    assert (tmp_path / "out.onnx").read_bytes() != without_mutation[CNN]
