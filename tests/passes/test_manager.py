"""The manager: which passes run, in what order, until when, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from onnxctl.errors import ResourceLimit, UsageError
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.passes.base import Context
from onnxctl.passes.manager import Limit, ManagerResult, choose_passes, optimize_graphs
from onnxctl.passes.pipeline import PIPELINE
from tests.passes.optimizing import PASS_NAMES, Optimizer

TEXT = """<ir_version: 8, opset_import: ["" : 17]> agraph (float[2] x) => (float[2] y, float[2] z) {
    a = Identity(x)  b = Identity(a)  y = Neg(b)  z = Identity(x) }"""


def test_names_are_unique_and_begin_with_a_verb() -> None:
    verbs = {"lift", "remove", "eliminate", "fold", "share", "merge", "fuse", "move", "inline", "simplify", "unroll"}
    assert len({each.name for each in PIPELINE}) == len(set(PIPELINE)), "a name stands for one pass, wherever it runs"
    assert all(name.split("_")[0] in verbs for name in PASS_NAMES)
    assert all(each.summary and not each.summary.endswith(".") for each in PIPELINE)


def test_only_and_without() -> None:
    assert [each.name for each in choose_passes(["fold_constants", "lift_constants"], ())] == [
        "lift_constants",
        "fold_constants",
    ]
    assert "fold_constants" not in {each.name for each in choose_passes(None, ["fold_constants"])}


def test_some_passes_have_to_be_asked_for() -> None:
    name = "fuse_group_normalization"
    assert name not in [each.name for each in choose_passes(None, [])]
    assert [each.name for each in choose_passes([name], [])] == [name]
    assert choose_passes(None, [], at_most=True) == PIPELINE


@pytest.mark.parametrize(("passes", "skip"), [(["fold_const"], []), (None, ["fold_const"])])
def test_an_unknown_pass_is_named_with_those_spelt_alike(passes: list[str] | None, skip: list[str]) -> None:
    with pytest.raises(UsageError, match="'fold_const'") as caught:
        choose_passes(passes, skip)
    assert caught.value.hint.startswith("did you mean fold_constants or ")
    assert "--list-passes" in caught.value.hint


def test_skipping_all_that_was_asked_for_is_asked_wrongly() -> None:
    with pytest.raises(UsageError, match="is skipped"):
        choose_passes(["fold_shapes"], ["fold_shapes", "fold_constants"])


def test_outcomes_and_refusals_are_counted(optimize: Optimizer) -> None:
    result = optimize(TEXT).result
    counts = {each.name: each.rewrite_count for each in result.passes}
    assert counts["eliminate_identity"] == 2
    assert result.settled
    assert result.rounds == 2
    [refusal] = [each for each in result.refusals if each.pass_name == "eliminate_identity"]
    assert (refusal.where, refusal.count) == ("Identity(z)", 1)


def test_a_node_before_its_inputs_is_put_in_order(optimize: Optimizer) -> None:
    model = onnx.parser.parse_model(TEXT)
    reversed_nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(reversed_nodes)
    assert optimize(model).operators == {"Neg": 1, "Identity": 1}


def test_a_checkpoint_stops_everything(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(onnx.parser.parse_model(TEXT).SerializeToString())

    def stop() -> None:
        raise ResourceLimit("the time limit has passed")

    graphs = ModelGraphs(open_model(str(source)))
    with pytest.raises(ResourceLimit):
        optimize_graphs(graphs, Context(graphs, checkpoint=stop))


def rewritten(source: Path, limit: Limit | None) -> tuple[onnx.ModelProto, ManagerResult]:
    """The model of the file after the passes, as far as the limit lets them."""
    graphs = ModelGraphs(open_model(str(source)))
    result = optimize_graphs(graphs, Context(graphs), limit=limit)
    return graphs.model.proto, result


def test_a_limit_stops_after_a_run_and_within_one(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(onnx.parser.parse_model(TEXT).SerializeToString())
    whole, result = rewritten(source, None)
    assert rewritten(source, Limit(len(result.runs)))[0] == whole
    assert len(rewritten(source, Limit(0))[0].graph.node) == 4
    [number] = [
        n for n, run in enumerate(result.runs, 1) if run.pass_name == "eliminate_identity" and run.rewrite_count
    ]
    run = result.runs[number - 1]
    assert (run.rewrite_count, run.look_count) == (2, 3)
    counts = []
    for looks in range(4):
        proto, limited = rewritten(source, Limit(number, looks))
        assert len(limited.runs) == number
        counts.append((len(proto.graph.node), limited.last_look))
    assert counts == [(4, ""), (3, "Identity(a)"), (2, "Identity(b)"), (2, "Identity(z)")]


def test_structural_passes_are_exact_and_there_are_some() -> None:
    structural = {each.name for each in PIPELINE if each.is_structural}
    assert {"lift_constants", "remove_unused", "eliminate_identity", "share_initializers"} <= structural
    assert structural.isdisjoint(each.name for each in PIPELINE if not each.exact)
    assert structural.isdisjoint(("fold_constants", "fuse_gelu", "eliminate_add_zero"))
