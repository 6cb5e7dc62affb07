"""`onnxctl optimize`, the real command on real files."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from onnxctl import api, cli
from onnxctl.reports import OptimizeReport, Verification
from tests.command_line import onnxctl, strict_json
from tests.conftest import SAMPLES
from tests.render.filling import filled

pytest.importorskip("onnxruntime")
BLOCK = SAMPLES / "transformer_block.onnx"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(BLOCK, tmp_path / "model.onnx"))


def test_a_model_becomes_smaller_and_is_verified(model: Path) -> None:
    output = model.with_name("smaller.onnx")
    done = onnxctl("optimize", os.fspath(model), "-o", os.fspath(output))
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "verified: " in text
    assert f"wrote {output}" in text
    assert output.stat().st_size < BLOCK.stat().st_size
    assert model.read_bytes() == BLOCK.read_bytes()


def test_the_report_says_what_was_done(model: Path) -> None:
    output = model.with_name("smaller.onnx")
    done = onnxctl("optimize", os.fspath(model), "-o", os.fspath(output), "--json", "--seed", "5")
    data = strict_json(done.stdout)["data"]
    assert data["after"]["node_count"] < data["before"]["node_count"]
    assert data["verification"]["status"] == "equal"
    assert data["verification"]["seed"] == 5
    assert data["files_written"] == [os.fspath(output)]


def test_somewhere_to_write_must_be_named(model: Path) -> None:
    done = onnxctl("optimize", os.fspath(model))
    assert done.returncode == 2
    assert b"-o OUTPUT" in done.stderr
    both = onnxctl("optimize", os.fspath(model), "-o", "x.onnx", "--in-place")
    assert both.returncode == 2


def test_what_is_asked_wrongly_is_told_at_once(model: Path) -> None:
    for arguments, said in (
        (["-o", "x.onnx", "--no-verify", "--require-verified"], b"exclude each other"),
        (["-o", "x.onnx", "--passes", ","], b"names no pass"),
        (["-o", "-"], b"standard stream"),
        (["--out-dir", "x", "--measure", "--jobs", "2"], b"--jobs"),
        (["-o", os.fspath(model.parent)], b"--out-dir DIR"),
    ):
        done = onnxctl("optimize", os.fspath(model), *arguments)
        assert (done.returncode, done.stdout) == (2, b"")
        assert said in done.stderr


def test_an_output_that_exists_needs_force(model: Path) -> None:
    output = model.with_name("old.onnx")
    output.write_bytes(b"precious")
    done = onnxctl("optimize", os.fspath(model), "-o", os.fspath(output), "--no-verify")
    assert (done.returncode, output.read_bytes()) == (2, b"precious")
    assert b"--force" in done.stderr
    assert onnxctl("optimize", os.fspath(model), "-o", os.fspath(output), "--no-verify", "--force").returncode == 0
    assert output.read_bytes() != b"precious"


def test_in_place_replaces_the_model(model: Path) -> None:
    done = onnxctl("optimize", os.fspath(model), "--in-place")
    assert done.returncode == 0, done.stderr
    assert model.stat().st_size < BLOCK.stat().st_size
    assert [each.name for each in model.parent.iterdir()] == ["model.onnx"]


def test_passes_are_listed_chosen_and_skipped(model: Path) -> None:
    listed = onnxctl("optimize", "--list-passes")
    names = [line.split()[0] for line in listed.stdout.decode().splitlines()[1:]]
    assert "fold_constants" in names
    where = ("-o", os.fspath(model.with_name("out.onnx")), "--force", "--no-verify", "--json")
    some = strict_json(onnxctl("optimize", os.fspath(model), *where, "--passes", "remove_unused").stdout)["data"]
    assert {each["name"] for each in some["passes"]} == {"remove_unused"}
    without = strict_json(onnxctl("optimize", os.fspath(model), *where, "--skip", "fold_constants").stdout)["data"]
    assert "fold_constants" not in {each["name"] for each in without["passes"]}
    wrong = onnxctl("optimize", os.fspath(model), *where, "--passes", "fold_everything")
    assert wrong.returncode == 2
    assert b"fold_everything" in wrong.stderr
    assert b"--list-passes" in wrong.stderr
    nearly = onnxctl("optimize", os.fspath(model), *where, "--skip", "fold_const")
    assert b"did you mean fold_constants" in nearly.stderr


def test_a_difference_is_an_answer_and_that_is_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = filled(OptimizeReport, "x")
    assert isinstance(report, OptimizeReport)
    different = dataclasses.replace(
        report, output=None, status="different", files_written=(), verification=Verification(status="different")
    )
    monkeypatch.setattr(api, "optimize_as", lambda *_, **__: different)
    assert cli.execute(["optimize", "x.onnx", "-o", "y.onnx", "--json"]) == 1
    assert strict_json(capsys.readouterr().out.encode())["data"]["verification"]["status"] == "different"
