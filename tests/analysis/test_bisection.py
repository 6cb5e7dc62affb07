"""Cuts and parts: what crosses a cut is complete and small, and a part computes what the whole does."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from onnxctl.analysis.bisection import find_cuts, kinds_of_values, nodes_between, part_of
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.model.saving import save
from tests.analysis.test_summary import opened
from tests.conftest import SAMPLES, sample_paths, shared_paths

REAL = [path for path in (*sample_paths(), *shared_paths()) if path.stat().st_size < 30_000_000]


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_cuts_separate_what_is_before_from_what_is_behind(path: Path) -> None:
    graphs = ModelGraphs(open_model(str(path)))
    pairs = {name: name for node in graphs.top.nodes for name in node.output if name}
    kinds = kinds_of_values(graphs)
    cuts = find_cuts(graphs, pairs)
    positions = [cut.position for cut in cuts]
    assert positions == sorted(positions)
    for cut in cuts[1:-1]:
        made = {name for node in graphs.top.nodes[: cut.position] for name in node.output}
        read = {name for node in graphs.top.nodes[cut.position :] for name in graphs.top.reads(node)}
        crossing = {name for name in made & (read | set(graphs.top.outputs)) if kinds[name] != "constant"}
        assert set(cut.names) == crossing
    assert sum(len(cut.names) for cut in cuts) / len(cuts) < 40, "few values at a time"


def test_sizes_that_only_one_side_has_do_not_stand_in_the_way(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["": 20]> g (float[N, 4] x) => (float[N, 4] y) <int64[2] flat = {-1, 2}>
    { s = Shape (x) a = Reshape (x, flat) b = Neg (a) c = Relu (b) y = Reshape (c, s) }"""
    graphs = ModelGraphs(opened(tmp_path, text))
    assert kinds_of_values(graphs) == {
        "x": "content",
        "s": "size",
        "a": "content",
        "b": "content",
        "c": "content",
        "y": "content",
    }
    cuts = find_cuts(graphs, {name: name for name in "abcy"})
    assert [(cut.names, cut.sizes) for cut in cuts] == [
        ((), ()),
        (("a",), ("s",)),
        (("b",), ("s",)),
        (("c",), ("s",)),
        (("y",), ()),
    ]


def test_a_value_without_a_counterpart_leaves_no_cut_where_it_crosses(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["": 20]> g (float[4] x) => (float[4] y)
    { a = Neg (x) b = Relu (a) y = Neg (b) }"""
    graphs = ModelGraphs(opened(tmp_path, text))
    assert [cut.names for cut in find_cuts(graphs, {"b": "b", "y": "y"})] == [(), ("b",), ("y",)]


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.name)
def test_parts_are_valid_and_have_what_they_need_and_no_more(path: Path, tmp_path: Path) -> None:
    graphs = ModelGraphs(open_model(str(path)))
    pairs = {name: name for node in graphs.top.nodes for name in node.output if name}
    for number, cut in enumerate(find_cuts(graphs, pairs)[1:]):
        part = part_of(graphs, cut.names)
        assert len(part.proto.graph.node) == len(nodes_between(graphs, cut.names, ()))
        read = {name for node in graphs.top.nodes for name in graphs.top.reads(node)}
        assert {each.name for each in part.proto.graph.initializer} <= read
        save(part, str(tmp_path / f"{number}.onnx"), external=False)
        again = onnx.load(str(tmp_path / f"{number}.onnx"))
        assert [value.name for value in again.graph.output] == list(cut.names)


def test_weights_of_a_part_stay_on_disk() -> None:
    graphs = ModelGraphs(open_model(str(SAMPLES / "digits_cnn.onnx")))
    part = part_of(graphs, graphs.top.outputs)
    assert part.payloads is graphs.model.payloads
