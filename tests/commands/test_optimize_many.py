"""`onnxctl optimize` with many files: a row for each, whatever becomes of it, and no name is written twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.command_line import COMMAND, environment, onnxctl, strict_json
from tests.conftest import SAMPLES
from tests.runtime.models import write_model

pytest.importorskip("onnxruntime")
ENDLESS = (
    "g (float x) => (float y) <int64 n = {1000000000}, bool go = {1}> { y = Loop(n, go, x) "
    "<body = b (int64 i, bool c, float v) => (bool d, float w) { d = Identity(c) \n w = Sin(v) }> }"
)


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """Two good models and a bad one between them."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(SAMPLES / "digits_cnn.onnx", folder / "a.onnx")
    (folder / "b.onnx").write_bytes(b"no model at all")
    shutil.copy(SAMPLES / "digits_mlp.onnx", folder / "c.onnx")
    return [os.fspath(folder / name) for name in ("a.onnx", "b.onnx", "c.onnx")]


def test_one_bad_file_does_not_stop_the_rest(models: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = onnxctl("optimize", *models, "--out-dir", os.fspath(folder), "--jobs", "2", "--json")
    assert done.returncode == 1
    data = strict_json(done.stdout)["data"]
    assert [row["path"] for row in data["files"]] == models
    assert [row["status"] for row in data["files"]] == ["written", "failed", "written"]
    assert [row["exit_code"] for row in data["files"]] == [0, 3, 0]
    assert [row["verification"] for row in data["files"]] == ["equal", "", "equal"]
    assert "b.onnx" in data["files"][1]["reason"]
    assert data["failed_count"] == 1
    assert sorted(os.listdir(folder)) == ["a.onnx", "c.onnx"]
    assert data["files"][0]["file_bytes_after"] == (folder / "a.onnx").stat().st_size
    assert data["files"][0]["node_count_after"] < data["files"][0]["node_count_before"]


def test_the_table_tells_of_each(models: list[str], tmp_path: Path) -> None:
    done = onnxctl("optimize", *models, "--out-dir", os.fspath(tmp_path / "out"), "--no-verify")
    assert done.returncode == 1
    text = done.stdout.decode()
    assert "11 -> 8" in text
    assert "3 files, 1 of them without a result" in text
    assert all(name in text for name in models)
    good = onnxctl("optimize", models[0], "--out-dir", os.fspath(tmp_path / "out2"), "--format", "markdown")
    assert good.returncode == 0
    assert good.stdout.startswith(b"| file")


def test_a_name_is_not_written_twice(models: list[str], tmp_path: Path) -> None:
    other = tmp_path / "others" / "a.onnx"
    other.parent.mkdir()
    shutil.copy(models[2], other)
    done = onnxctl("optimize", models[0], os.fspath(other), "--out-dir", os.fspath(tmp_path / "out"))
    assert done.returncode == 2
    assert b"have the same name" in done.stderr
    assert b"are the same file" in onnxctl("optimize", models[0], models[0], "--in-place").stderr
    assert not (tmp_path / "out").exists()


def test_many_can_be_replaced_in_place(models: list[str]) -> None:
    before = [Path(path).read_bytes() for path in models]
    done = onnxctl("optimize", *models, "--in-place")
    assert done.returncode == 1
    after = [Path(path).read_bytes() for path in models]
    assert [len(new) < len(old) for old, new in zip(before, after, strict=True)] == [True, False, True]
    assert after[1] == before[1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-o", "x.onnx"], b"--out-dir DIR"),
        (["--out-dir", "out", "--in-place"], b"exclude each other"),
        ([], b"--out-dir DIR"),
    ],
)
def test_where_to_must_be_clear(models: list[str], more: list[str], said: bytes, tmp_path: Path) -> None:
    done = onnxctl("optimize", *models, *more)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_dry_run_of_many_writes_nothing(models: list[str], tmp_path: Path) -> None:
    done = onnxctl("optimize", *models, "--out-dir", os.fspath(tmp_path / "out"), "--dry-run", "--no-verify", "--json")
    rows = strict_json(done.stdout)["data"]["files"]
    assert [row["status"] for row in rows] == ["dry run", "failed", "dry run"] or rows[0]["status"] == "failed"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_file_behind(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    paths = [write_model(tmp_path, ENDLESS, f"{name}.onnx") for name in "ab"]
    process = subprocess.Popen(
        [*COMMAND, "optimize", *paths, "--out-dir", os.fspath(folder), "--jobs", "2"], env=environment()
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(folder.glob(".*.tmp"))) < 2:
        time.sleep(0.05)
    assert len(list(folder.glob(".*.tmp"))) == 2, "both are being verified"
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert os.listdir(folder) == []
