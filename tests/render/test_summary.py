"""What the summary of a model shows, and what it leaves for JSON."""

import dataclasses
from pathlib import Path

import pytest

import onnxctl
from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from onnxctl.reports import FileInfo, ModelSummary, OperatorCount, TensorSpec
from tests.conftest import SAMPLES, sample_paths, shared_paths
from tests.render.filling import filled


@pytest.fixture
def summary() -> ModelSummary:
    whole = filled(ModelSummary, "name")
    assert isinstance(whole, ModelSummary)
    return dataclasses.replace(
        whole,
        nodes=None,
        weights=None,
        text=None,
        cost=None,
        memory=None,
        sweep=None,
        tree=None,
        node=None,
        precision=None,
        compatibility=None,
        looked_closer=False,
        metadata=(),
    )


def spec(name: str, kind: str) -> TensorSpec:
    return TensorSpec(name=name, kind="tensor", type=kind, dtype="float32", shape=None)


def test_long_runs_of_alike_inputs_are_one_row(summary: ModelSummary) -> None:
    many = tuple(spec(f"past.{index}", "float32[batch, 12]") for index in range(24))
    shown = render(dataclasses.replace(summary, inputs=(spec("ids", "int64[batch]"), *many)), Screen())
    assert "past.0 … past.23  float32[batch, 12]  24 alike" in shown


def test_initializers_that_are_inputs_too_are_one_row(summary: ModelSummary) -> None:
    weights = tuple(dataclasses.replace(spec(f"w{index}", "float32[3]"), has_default=True) for index in range(200))
    shown = render(dataclasses.replace(summary, inputs=(*weights, spec("x", "float32[1]"))), Screen())
    assert "… 200 initializers" in shown and "w7" not in shown
    assert shown.index("x ") < shown.index("… 200 initializers")


@pytest.mark.parametrize("path", [*sample_paths(), *shared_paths()], ids=lambda path: path.name)
def test_the_first_screen_fits_a_small_terminal(path: Path) -> None:
    """23 lines, so that the prompt fits below."""
    lines = render(onnxctl.inspect(str(path)), Screen(width=80)).splitlines()
    assert len(lines) <= 23 and max(map(len, lines)) <= 80


def test_the_first_screen_fits_with_many_inputs_functions_and_entries() -> None:
    some = onnxctl.inspect(str(SAMPLES / "local_function.onnx"))
    full = dataclasses.replace(
        some,
        inputs=tuple(spec(f"in{index}", f"float32[{index}]") for index in range(30)),
        operators=tuple(OperatorCount(domain="ai.onnx", op_type=f"Op{index}", count=9) for index in range(30)),
        functions=(),
        metadata=tuple((f"key{index}", "value " * 99) for index in range(30)),
    )
    lines = render(full, Screen(width=80)).splitlines()
    assert len(lines) <= 23
    assert "Metadata  30 entries" in lines


def test_files_are_shown_where_there_is_something_to_say(summary: ModelSummary) -> None:
    model = FileInfo(path="m.onnx", role="model", file_bytes=10)
    missing = FileInfo(path="m.data", role="data", file_bytes=None, problem="missing")
    assert "Files" not in render(dataclasses.replace(summary, files=(model,)), Screen())
    shown = render(dataclasses.replace(summary, files=(model, missing)), Screen())
    assert "data   m.data     ?  missing" in shown


def test_operators_of_other_domains_are_named_in_full(summary: ModelSummary) -> None:
    operators = (
        OperatorCount(domain="ai.onnx", op_type="Conv", count=3),
        OperatorCount(domain="com.microsoft", op_type="Gelu", count=1),
    )
    shown = render(dataclasses.replace(summary, operators=operators), Screen())
    assert "  Conv                3" in shown
    assert "  com.microsoft.Gelu  1" in shown


def test_metadata_cannot_pose_as_facts(summary: ModelSummary) -> None:
    shown = render(dataclasses.replace(summary, metadata=(("format", "IR 99"),)), Screen())
    assert shown.index("IR 12345") < shown.index("Metadata") < shown.index("IR 99")


def test_documentation_is_one_short_line(summary: ModelSummary) -> None:
    shown = render(dataclasses.replace(summary, doc_string="first\nsecond " + "word " * 200), Screen())
    line = next(line for line in shown.splitlines() if "first second" in line)
    assert len(line) < 180
    assert line.endswith("…")


def test_what_trees_have_learned_is_on_the_first_screen() -> None:
    shown = render(onnxctl.inspect(str(SAMPLES / "tree_ensemble.onnx")), Screen(width=80))
    assert "none in tensors" in shown
    line = next(line for line in shown.splitlines() if "trees," in line)
    assert line.strip().startswith("TreeEnsemble") and line.endswith("leaves")
