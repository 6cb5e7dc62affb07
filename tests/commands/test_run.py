"""`onnxctl run`, the real command on real files."""

import os

import pytest

from tests.command_line import onnxctl, strict_json
from tests.conftest import SAMPLES

pytest.importorskip("onnxruntime")
LINEAR = os.fspath(SAMPLES / "linear_regression.onnx")
QUICK = ("--runs", "3", "--warmup", "1")


def test_a_run_tells_time_inputs_and_outputs() -> None:
    done = onnxctl("run", LINEAR, *QUICK)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    for part in ("median", "runs per second", "X  float32[1, 3]", "prediction  float32[1, 1]", "P99"):
        assert part in text


def test_options_reach_the_run() -> None:
    done = onnxctl("run", LINEAR, *QUICK, "--dim", "batch=7", "--seed", "3", "--threads", "1", "--json")
    data = strict_json(done.stdout)["data"]
    assert data["latency"]["sample_count"] == len(data["samples_ns"]) == 3
    assert data["inputs"][0]["shape"] == [7, 3]
    assert (data["seed"], data["intra_op_threads"], data["dims"]) == (3, 1, [["batch", 7]])


def test_standard_input_runs_too() -> None:
    with open(LINEAR, "rb") as file:
        done = onnxctl("run", "-", *QUICK, "--format", "markdown", stdin=file.read())
    assert done.returncode == 0, done.stderr
    assert "| `prediction` | `float32[1, 1]` |" in done.stdout.decode()


def test_a_provider_that_is_not_here_is_a_machine_error() -> None:
    done = onnxctl("run", LINEAR, "--provider", "no_such_provider", "--json")
    assert done.returncode in (2, 4)
    assert b"no_such_provider" in done.stderr
    assert strict_json(done.stdout)["kind"] == "error"


def test_symbols_that_are_not_in_the_model_are_named() -> None:
    done = onnxctl("run", LINEAR, "--dim", "bach=2")
    assert done.returncode == 2
    assert b"'bach'" in done.stderr
