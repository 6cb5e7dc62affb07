"""Several models side by side."""

from __future__ import annotations

import onnxctl
from onnxctl.api import inspect_many
from onnxctl.render.markdown import render as render_markdown
from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from tests.conftest import SAMPLES

PATHS = [str(SAMPLES / name) for name in ("digits_cnn.onnx", "digits_mlp.onnx", "strings.onnx")]


def test_a_row_for_each_model_and_the_folder_once() -> None:
    lines = render(inspect_many(PATHS), Screen()).splitlines()
    assert lines[0] == f"3 models  in {SAMPLES}/"
    assert [line.split()[0] for line in lines[2:]] == ["model", "digits_cnn.onnx", "digits_mlp.onnx", "strings.onnx"]
    assert "6,235" in lines[3]


def test_costs_are_columns_of_their_own() -> None:
    text = render(inspect_many(PATHS, cost=True, memory=True, dims={"batch": 1}), Screen())
    assert "MACs" in text and "peak memory" in text
    assert "8.19 kB" in text
    assert "MACs" not in render(inspect_many(PATHS), Screen())


def test_a_narrow_terminal_keeps_the_names() -> None:
    lines = render(inspect_many(PATHS, cost=True, memory=True), Screen(width=80)).splitlines()
    assert max(map(len, lines)) <= 80
    assert "digits_cnn.onnx" in "\n".join(lines)


def test_models_of_several_folders_keep_theirs() -> None:
    paths = [PATHS[0], *(str(each) for each in sorted((SAMPLES / "external_data").glob("*.onnx")))]
    markdown = render_markdown(inspect_many(paths), Screen())
    assert f"`{paths[1]}`" in markdown


def test_json_has_the_whole_summaries() -> None:
    assert inspect_many(PATHS).models[0] == onnxctl.inspect(PATHS[0])
