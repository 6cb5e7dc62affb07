"""`inspect` on the hostile corpus, in this process: outcome, class and words of every case, its time, and no leak."""

from __future__ import annotations

import json
import time
from pathlib import Path

import onnx
import pytest

import onnxctl
from onnxctl.analysis.structure import require_usable
from onnxctl.errors import ModelError, OnnxctlError
from onnxctl.model.loading import open_model
from onnxctl.reports import ModelSummary, encode
from tests.hostile.corpus import CANARY, CATEGORIES, DEPARTURES, Case, judge


def test_every_category_is_tested(corpus: list[Case]) -> None:
    assert {case.category for case in corpus} == set(CATEGORIES)
    assert {case.name for case in corpus} >= set(DEPARTURES)


@pytest.mark.parametrize("category", CATEGORIES)
def test_inspect_does_what_the_corpus_asks(corpus: list[Case], category: str) -> None:
    cases = [case for case in corpus if case.category == category and case.can_run_here]
    wrong = {case.name: trouble for case in cases if (trouble := inspect_and_judge(case))}
    assert wrong == {}


def inspect_and_judge(case: Case) -> str:
    started = time.process_time()
    error, summary = None, None
    try:
        summary = onnxctl.inspect(case.path, nodes=True, weights=True, text=True)
    except OnnxctlError as caught:
        error = caught
    seconds = time.process_time() - started
    if seconds > case.maximum_seconds:
        return f"it took {seconds:.1f} s of CPU"
    if summary is None:
        assert error is not None
        return judge(case.expected["inspect"], error, f"{error.message} {error.hint}")
    if CANARY.decode() in json.dumps(encode(summary)):
        return "it shows what is outside of the model's folder"
    return judge(case.expected["inspect"], None, findings_in_words(summary))


def findings_in_words(summary: ModelSummary) -> str:
    return "\n".join(
        f"{each.severity} {each.code} {each.where} {each.message} {each.hint}" for each in summary.findings
    )


NOT_TOLD_BY_STRUCTURE = {
    # These need the sizes of inputs, or memory that is there: what `run` finds out.
    *("io_declared_huge", "io_declared_overflow", "sparse_bomb", "ext_sparse_64g", "ext_amplify_2000x"),
    *("loop_2e62", "loop_infinite", "loop_2e62_fed", "loop_accumulate"),
}


@pytest.mark.parametrize("verb", ["optimize", "run"])
def test_what_is_refused_before_work_begins(corpus: list[Case], verb: str) -> None:
    wrong = {}
    for case in corpus:
        if (
            case.category not in ("bomb", "scale", "metadata")
            and case.name not in NOT_TOLD_BY_STRUCTURE
            and case.can_run_here
        ):
            trouble = require_and_judge(case, verb)
            if trouble:
                wrong[case.name] = trouble
    assert wrong == {}


ONE_MEANING = (
    *("init_duplicate", "dup_functions", "opset_conflict", "opset_alias_conflict"),
    *("ext_two_locations", "ext_two_locations_rev", "concat_twice", "wire_two_graphs"),
)


@pytest.mark.parametrize("name", ONE_MEANING)
def test_what_readers_resolve_differently_is_refused_by_all(corpus: list[Case], name: str, tmp_path: Path) -> None:
    [case] = (case for case in corpus if case.name == name)
    with pytest.raises(ModelError):
        onnxctl.optimize(case.path, str(tmp_path / "out.onnx"))
    with pytest.raises(ModelError):
        onnxctl.run(case.path)
    assert list(tmp_path.iterdir()) == []


ODD_INTERFACES = (
    *("init_overridable", "unused_input", "const_output", "two_equal_outputs_cse", "io_zipmap_out"),
    *("sparse_init", "vi_contradicts"),
)


@pytest.mark.parametrize("name", ODD_INTERFACES)
def test_optimize_keeps_odd_interfaces(corpus: list[Case], name: str, tmp_path: Path) -> None:
    [case] = (case for case in corpus if case.name == name)
    try:
        onnxctl.optimize(case.path, str(tmp_path / "out.onnx"))
    except OnnxctlError as error:
        assert judge(case.expected["optimize"], error, error.message) == ""  # noqa: PT017 - refused as it has to be
        return
    before, after = (onnx.load_model(path, load_external_data=False) for path in (case.path, tmp_path / "out.onnx"))
    for model in (before, after):
        del model.graph.node[:], model.graph.value_info[:], model.functions[:]
        overridable = {value.name for value in model.graph.input}
        kept = [tensor for tensor in model.graph.initializer if tensor.name in overridable]
        del model.graph.initializer[:], model.graph.sparse_initializer[:]
        model.graph.initializer.extend(kept)
    assert after == before


def require_and_judge(case: Case, verb: str) -> str:
    expected = case.expected[verb]
    try:
        require_usable(open_model(case.path), for_running=verb == "run")
    except OnnxctlError as error:
        return judge(expected, error, f"{error.message} {error.hint}")
    return judge(expected, None, " ".join(expected.words))
