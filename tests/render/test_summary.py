"""What the summary of a model shows, and what it leaves for JSON."""

import dataclasses

import pytest

from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from onnxctl.reports import FileInfo, ModelSummary, OperatorCount, TensorSpec
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


def test_long_runs_of_alike_inputs_are_shortened(summary: ModelSummary) -> None:
    many = tuple(spec(f"past.{index}", "float32[batch, 12]") for index in range(24))
    lines = render(dataclasses.replace(summary, inputs=(spec("ids", "int64[batch]"), *many)), Screen()).splitlines()
    at = next(index for index, line in enumerate(lines) if "past.0 " in line)
    assert "… 22 more" in lines[at + 1]
    assert "past.23" in lines[at + 2]


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
