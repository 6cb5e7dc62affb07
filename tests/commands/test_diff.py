"""`onnxctl diff`, the real command, alone and as git uses it; with --run, outputs are told in figures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

import onnxctl
from tests.analysis.test_difference import HEAD, renamed
from tests.analysis.test_summary import two_tensors_in_one_file
from tests.command_line import COMMAND, environment, strict_json
from tests.command_line import onnxctl as command
from tests.conftest import SAMPLES

CNN = SAMPLES / "digits_cnn.onnx"


def saved(folder: Path, model: ModelProto, name: str) -> str:
    (folder / name).write_bytes(model.SerializeToString())
    return str(folder / name)


def with_noise(scale: float) -> ModelProto:
    """The sample with noise on one weight."""
    model = onnx.load(str(CNN))
    tensor = next(each for each in model.graph.initializer if len(each.dims) == 4)
    values = numpy_helper.to_array(tensor)
    noise = np.random.default_rng(0).standard_normal(values.shape).astype(values.dtype) * scale
    tensor.CopyFrom(numpy_helper.from_array(values + noise, tensor.name))
    return model


def test_the_same_model_under_other_names_is_exit_0(tmp_path: Path) -> None:
    other = saved(tmp_path, renamed(onnx.load(str(CNN)), 4), "other.onnx")
    done = command("diff", os.fspath(CNN), other)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert "11 nodes" in text
    assert "(no difference)" in text
    assert text.splitlines()[0].endswith("  same")


def test_other_weights_are_exit_1_and_told_in_figures(tmp_path: Path) -> None:
    other = saved(tmp_path, with_noise(0.01), "other.onnx")
    done = command("diff", os.fspath(CNN), other, "--run", "--json")
    data = strict_json(done.stdout)["data"]
    assert done.returncode == 1
    assert (data["verdict"], data["nodes"]) == ("different", [])
    (weight,) = data["weights"]
    assert weight["status"] == "changed" and 0.9 < weight["cosine"] < 1
    (output,) = data["outputs"]["outputs"]
    assert data["outputs"]["status"] == "different" and not output["equal"]
    assert 0 < output["mean_absolute"] <= output["max_absolute"]
    assert 0.9 < output["cosine"] < 1
    assert [each["k"] for each in output["top"]] == [1, 5]


def test_a_tolerance_decides_what_outputs_are_equal(tmp_path: Path) -> None:
    other = saved(tmp_path, with_noise(1e-6), "other.onnx")
    strict = onnxctl.diff(str(CNN), other, run=True, tolerance=0.0)
    lenient = onnxctl.diff(str(CNN), other, run=True, tolerance=0.1)
    assert strict.outputs is not None and lenient.outputs is not None
    assert (strict.outputs.status, lenient.outputs.status) == ("different", "equal")
    assert strict.verdict == lenient.verdict == "different"  # by the weight


def test_outputs_are_compared_where_inputs_and_outputs_have_other_names(tmp_path: Path) -> None:
    model = onnx.load(str(CNN))
    for node in model.graph.node:
        node.input[:] = ["picture" if name == "image" else name for name in node.input]
        node.output[:] = ["scores" if name == "logits" else name for name in node.output]
    model.graph.input[0].name, model.graph.output[0].name = "picture", "scores"
    report = onnxctl.diff(str(CNN), saved(tmp_path, model, "other.onnx"), run=True)
    assert report.nodes == ()
    assert [(each.before, each.after) for each in report.interface] == [("image", "picture"), ("logits", "scores")]
    assert report.outputs is not None and report.outputs.status == "equal"
    assert report.outputs.outputs[0].max_absolute == 0.0


def test_top_elements_that_changed_places_are_counted(tmp_path: Path) -> None:
    text = f"{HEAD} g (float[4, 8] x) => (float[4, 8] y) {{ y = Identity (x) }}"
    flipped = f"{HEAD} g (float[4, 8] x) => (float[4, 8] y) {{ y = Neg (x) }}"
    paths = [saved(tmp_path, onnx.parser.parse_model(each), f"{i}.onnx") for i, each in enumerate((text, flipped))]
    report = onnxctl.diff(paths[0], paths[1], run=True, runs=1)
    assert report.outputs is not None
    output = report.outputs.outputs[0]
    assert output.cosine == pytest.approx(-1)
    assert [(each.k, each.row_count, each.same_set) for each in output.top] == [(1, 4, 0.0), (5, 4, 0.0)]


def test_a_model_that_does_not_run_is_not_called_the_same(tmp_path: Path) -> None:
    text = '<ir_version: 10, opset_import: ["": 20, "my.own": 1]> g (float[2] x) => (float[2] y) { y = my.own.T (x) }'
    path = saved(tmp_path, onnx.parser.parse_model(text), "model.onnx")
    assert onnxctl.diff(path, path).verdict == "same"
    report = onnxctl.diff(path, path, run=True)
    assert report.outputs is not None and report.outputs.status == "not verified"
    assert report.verdict == "not compared"


def test_missing_data_is_no_equality(tmp_path: Path) -> None:
    path = saved(tmp_path, two_tensors_in_one_file(tmp_path), "model.onnx")
    assert command("diff", path, path).returncode == 0
    (tmp_path / "weights.bin").unlink()
    done = command("diff", path, path)
    assert done.returncode == 1
    assert b"not everything could be compared" in done.stdout
    assert b"weights.bin" in done.stdout


def test_a_short_list_and_a_full_one(tmp_path: Path) -> None:
    nodes = " ".join(f"[n{i}] a{i + 1} = LeakyRelu <alpha = 0.5> (a{i})" for i in range(30))
    text = f"{HEAD} g (float[2] a0) => (float[2] a30) {{ {nodes} }}"
    paths = [
        saved(tmp_path, onnx.parser.parse_model(each), f"{i}.onnx")
        for i, each in enumerate((text, text.replace("0.5", "0.25")))
    ]
    short, full = (command("diff", *paths, *options).stdout.decode() for options in ((), ("--full",)))
    assert "alpha: 0.5 -> 0.25" in short and "n29" not in short
    assert all(f"n{i} " in full for i in range(30))
    markdown = command("diff", *paths, "--format", "markdown").stdout.decode()
    assert "| changed |" in markdown


def test_what_is_asked_wrongly_is_exit_2() -> None:
    assert command("diff", os.fspath(CNN), os.fspath(CNN), "--dim", "batch=1").returncode == 2
    assert command("diff", "-", "-").returncode == 2
    assert command("diff", os.fspath(CNN), os.fspath(CNN), "--run", "--dim", "nope=1").returncode == 2
    assert command("diff", os.fspath(CNN), os.fspath(SAMPLES / "README.md")).returncode == 3


# ---------------------------------------------------------------- git


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_git_shows_models_as_text_and_their_differences(tmp_path: Path) -> None:
    """The recipe of README.md, in a real repository."""
    tool = tmp_path / "bin" / "onnxctl"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    tool.chmod(0o755)
    home = environment(PATH=f"{tool.parent}{os.pathsep}{os.environ['PATH']}", HOME=str(tmp_path))

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *arguments],
            cwd=tmp_path,
            env=home,
            capture_output=True,
            text=True,
            check=False,
        )

    assert sys.executable
    git("init", "-q")
    (tmp_path / ".gitattributes").write_text("*.onnx diff=onnx\n")
    git("config", "diff.onnx.textconv", "onnxctl inspect --text")
    git("config", "difftool.onnxctl.cmd", 'onnxctl diff "$LOCAL" "$REMOTE" || true')
    shutil.copy(CNN, tmp_path / "model.onnx")
    git("add", "model.onnx", ".gitattributes")
    assert git("commit", "-q", "-m", "first").returncode == 0
    model = with_noise(0.01)
    model.graph.node[-1].name = "renamed"
    model.graph.node[0].op_type = "Mul"
    saved(tmp_path, model, "model.onnx")
    text = git("diff", "--", "model.onnx").stdout
    assert any(line.startswith("-") and "Div" in line for line in text.splitlines())
    assert any(line.startswith("+") and "Mul" in line for line in text.splitlines())
    tool_text = git("difftool", "--no-prompt", "--tool", "onnxctl", "--", "model.onnx")
    assert "Weights  1 changed" in tool_text.stdout, tool_text
    assert "replaced  Div" in tool_text.stdout
    git("rm", "-q", "-f", "model.onnx")
    shutil.copy(SAMPLES / "digits_mlp.onnx", tmp_path / "added.onnx")
    git("add", "added.onnx")
    tool_text = git("difftool", "--no-prompt", "--tool", "onnxctl", "HEAD")
    assert tool_text.stderr == ""
    assert "Nodes  10 added" in tool_text.stdout and "Nodes  11 removed" in tool_text.stdout


def test_dev_null_is_no_model() -> None:
    report = onnxctl.diff(os.devnull, str(CNN))
    assert {each.status for each in report.nodes} == {each.status for each in report.weights} == {"added"}
    assert report.counts.nodes_before == 0
    assert command("diff", os.devnull, os.devnull).returncode == 0
    assert command("diff", os.fspath(CNN), os.devnull, "--run").returncode == 2
