"""`onnxctl run`, the real command on real files."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from tests.command_line import onnxctl, strict_json
from tests.conftest import SAMPLES
from tests.runtime.models import write_model

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


# ---------------------------------------------------------------- given inputs, outputs kept


def test_outputs_saved_are_the_outputs_and_verify_again(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    model = os.fspath(shutil.copy(LINEAR, tmp_path / "model.onnx"))
    archive, folder = tmp_path / "out.npz", tmp_path / "test_data_set_0"
    for target in (archive, folder):
        done = onnxctl("run", model, "--input", f"X={tmp_path / 'x.npy'}", "--save-outputs", os.fspath(target), *QUICK)
        assert done.returncode == 0, done.stderr
    assert np.load(archive)["prediction"].shape == (2, 1)
    done = onnxctl("run", model, "--verify", *QUICK, "--json")
    data = strict_json(done.stdout)["data"]
    assert done.returncode == 0 and [each["status"] for each in data["verification"]] == ["equal"]
    assert data["inputs"][0]["shape"] == [2, 3] and data["inputs"][0]["source"] == "test_data_set_0"
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.float32))
    (folder / "input_0.pb").write_bytes(numpy_helper.from_array(np.zeros((2, 3), np.float32)).SerializeToString())
    wrong = onnxctl("run", model, "--verify", *QUICK)
    assert wrong.returncode == 1 and b"different" in wrong.stdout


def test_an_existing_output_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out.npz").write_text("mine")
    refused = onnxctl("run", LINEAR, "--save-outputs", os.fspath(tmp_path / "out.npz"), *QUICK)
    assert refused.returncode == 2 and (tmp_path / "out.npz").read_text() == "mine"
    forced = onnxctl("run", LINEAR, "--save-outputs", os.fspath(tmp_path / "out.npz"), "--force", *QUICK)
    assert forced.returncode == 0 and list(np.load(tmp_path / "out.npz")) == ["prediction"]


def test_a_trace_replaces_nothing_unless_told(tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    trace.write_text("mine")
    for arguments, said in (([], b"exists already"), (["--save-outputs", os.fspath(trace), "--force"], b"same file")):
        refused = onnxctl("run", LINEAR, *QUICK, "--trace", os.fspath(trace), *arguments)
        assert refused.returncode == 2 and said in refused.stderr and trace.read_text() == "mine"
    assert onnxctl("run", LINEAR, *QUICK, "--trace", os.fspath(tmp_path), "--force").returncode == 2
    forced = onnxctl("run", LINEAR, *QUICK, "--trace", os.fspath(trace), "--force")
    assert forced.returncode == 0 and json.loads(trace.read_text())["traceEvents"]
    assert [each.name for each in tmp_path.iterdir()] == ["trace.json"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--input", "Y=ones"], 2, b"no such input"),
        (["--input", "X=random:odd"], 2, b"random:uniform"),
        (["--input", "X"], 2, b"NAME=VALUE"),
        (["--input", "X=gone.npy"], 3, b"gone.npy"),
        (["--data", "."], 2, b"no test data set"),
        (["--provider", "cpu,,cuda"], 2, b"a name is missing"),
        (["--provider-option", "cpu.arena=1"], 2, b"no options"),
        (["--provider-option", "cuda.device_id=1"], 2, b"asked for are cpu"),
        (["--provider-library", "mine=/nowhere/lib.so"], 4, b"/nowhere/lib.so"),
        (["--provider", "cpu", "--require", "cuda"], 2, b"--provider cuda"),
        (["--custom-ops", "/nowhere/lib.so"], 2, b"/nowhere/lib.so"),
        (["--assert", "p95 < 3"], 2, b"'p95 < 3'"),
        (["--assert", "median > 1h"], 2, b"'h' is no unit"),
        (["--fail-if-slower", "3%"], 2, b"--baseline"),
        (["--baseline", LINEAR], 3, b"not a report"),
        (["--precision", "fine"], 2, b"not a percentage"),
        (["--session-config", "x=1", "--session-config", "x=2"], 2, b"given twice"),
    ],
)
def test_what_is_asked_wrongly_is_told(arguments: list[str], code: int, said: bytes) -> None:
    done = onnxctl("run", LINEAR, *QUICK, *arguments)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_conditions_and_baselines_decide_the_exit_code(tmp_path: Path) -> None:
    assert onnxctl("run", LINEAR, *QUICK, "--assert", "median < 60s").returncode == 0
    failed = onnxctl("run", LINEAR, *QUICK, "--assert", "median < 1ns", "--assert", "memory > 1MB")
    assert failed.returncode == 1 and failed.stdout.count(b"fails") == 1 and failed.stdout.count(b"holds") == 1
    old = tmp_path / "old.json"
    report = strict_json(onnxctl("run", LINEAR, "--runs", "30", "--json").stdout)
    old.write_text(json.dumps(report))
    assert onnxctl("run", LINEAR, "--runs", "30", "--baseline", os.fspath(old)).returncode == 0
    report["data"]["samples_ns"] = [1] * 30
    old.write_text(json.dumps(report))
    slower = onnxctl("run", LINEAR, "--runs", "30", "--baseline", os.fspath(old), "--fail-if-slower", "3%")
    assert slower.returncode == 1 and b"slower" in slower.stdout


def test_threads_share_a_session_and_settings_are_reported() -> None:
    done = onnxctl(
        "run", LINEAR, "--concurrency", "3", "--runs", "30", "--graph-optimization", "basic", "--json",
        "--session-config", "session.intra_op.allow_spinning=0",
    )  # fmt: skip
    data = strict_json(done.stdout)["data"]
    assert (data["concurrency"], len(data["samples_ns"]), data["graph_optimization"]) == (3, 30, "basic")
    assert data["session_config"] == [["session.intra_op.allow_spinning", "0"]]
    assert data["throughput_per_second"] > 0


def test_variants_are_compared_and_judged() -> None:
    quick = ("--duration", "0.1", "--warmup", "1", "--precision", "50%")
    judged = ("--assert", "max < 60s", "--fail-if-slower", "3%")
    done = onnxctl("run", LINEAR, "--dim", "batch=1,20000", *quick, *judged, "--json")
    data = strict_json(done.stdout)["data"]
    assert done.returncode == 1, done.stderr
    assert [each["label"] for each in data["variants"]] == ["batch=1", "batch=20000"]
    assert data["variants"][1]["ratio"]["verdict"] == "slower"
    assert data["variants"][0]["assertions"][0]["passed"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threads", "1,two"], b"--threads 1,two"),
        (["--threads", "0"], b"from 1 to 9999"),
        (["--graph-optimization", "all,most"], b"most: no such level"),
        (["--threads", "1,2", "--profile"], b"--profile goes with one model"),
        (["--threads", "1,2", "--baseline", "old.json"], b"--baseline goes with one"),
        (["-", "-"], b"standard input, given twice, goes with one"),
        (["--threads", "1,2", "--provider", "cpu", "--require", "cuda"], b"no variant asks for it"),
    ],
)
def test_variants_asked_wrongly_are_told(arguments: list[str], said: bytes) -> None:
    done = onnxctl("run", LINEAR, *arguments)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_model_that_can_not_be_run_costs_one_row(tmp_path: Path) -> None:
    unknown = write_model(tmp_path, "g (float[2] x) => (float[2] y) { y = Frobnicate(x) }", "unknown.onnx")
    quick = ("--duration", "0.1", "--warmup", "1", "--precision", "50%")
    gone = os.fspath(tmp_path / "gone.onnx")
    done = onnxctl("run", LINEAR, unknown, gone, LINEAR, *quick, "--assert", "load < 60s", "--json")
    data = strict_json(done.stdout)["data"]
    assert done.returncode == 3, done.stderr
    assert [each["error"] and each["error"]["error"] for each in data["variants"]] == [
        None, "UnsupportedModel", "UnreadableFile", None,
    ]  # fmt: skip
    assert [len(each["assertions"]) for each in data["variants"]] == [1, 0, 0, 1], "what failed fulfils no condition"
    assert data["variants"][3]["label"] == "linear_regression.onnx (2)"


def test_each_variant_is_run_exactly_as_often_as_asked_and_verified() -> None:
    digits = os.fspath(SAMPLES / "digits_mlp.onnx")
    asked = ("--runs", "10", "--verify", "--threads", "1,2", "--json")
    data = strict_json(onnxctl("run", digits, *asked).stdout)["data"]
    assert [len(each["samples_ns"]) for each in data["variants"]] == [10, 10]
    assert [[check["status"] for check in each["verification"]] for each in data["variants"]] == [["equal"]] * 2
    at_once = strict_json(onnxctl("run", digits, *asked, "--concurrency", "2").stdout)["data"]
    assert [len(each["samples_ns"]) for each in at_once["variants"]] == [10, 10] and at_once["concurrency"] == 2
    assert "too-few-samples" in {each["code"] for each in data["findings"]}


def test_a_variant_that_is_not_verified_is_told_by_the_exit_code(tmp_path: Path) -> None:
    model = os.fspath(shutil.copy(LINEAR, tmp_path / "model.onnx"))
    folder = tmp_path / "test_data_set_0"
    assert onnxctl("run", model, "--save-outputs", os.fspath(folder), *QUICK).returncode == 0
    (folder / "output_0.pb").write_bytes(numpy_helper.from_array(np.ones((1, 1), np.float32) * 99).SerializeToString())
    done = onnxctl("run", LINEAR, model, "--verify", "--runs", "4")
    assert done.returncode == 1 and b"different" in done.stdout.split(b"Verification")[1], done.stderr


def test_standard_input_is_compared_too() -> None:
    with open(LINEAR, "rb") as file:
        done = onnxctl("run", "-", LINEAR, "--runs", "4", "--json", stdin=file.read())
    assert done.returncode == 0, done.stderr
    assert [each["path"] for each in strict_json(done.stdout)["data"]["variants"]] == ["-", LINEAR]


def test_variants_asked_for_a_symbol_they_lack_are_named() -> None:
    done = onnxctl("run", LINEAR, os.fspath(SAMPLES / "strings.onnx"), "--dim", "nothing=2")
    assert done.returncode == 2 and b"linear_regression.onnx: " in done.stderr


CUSTOM = """<ir_version: 8, opset_import: ["": 17, "ai.onnx.contrib": 1]>
g (string[N] x) => (string[N] y) { y = ai.onnx.contrib.StringUpper(x) }"""


def test_custom_operators_run_from_their_library(tmp_path: Path) -> None:
    library = pytest.importorskip("onnxruntime_extensions").get_library_path()
    path = write_model(tmp_path, CUSTOM)
    done = onnxctl("run", path, "--custom-ops", library, "--verify", *QUICK, "--json")
    data = strict_json(done.stdout)["data"]
    assert done.returncode == 0, done.stderr
    assert data["verification"][0]["status"] == "equal"
    assert data["outputs"][0]["sample"] == data["inputs"][0]["sample"].upper()
    assert "foreign-code" in {each["code"] for each in data["findings"]}


def test_custom_operators_without_their_library_are_told_of_it(tmp_path: Path) -> None:
    done = onnxctl("run", write_model(tmp_path, CUSTOM), *QUICK)
    assert done.returncode == 3 and b"model.onnx: " in done.stderr and b"--custom-ops FILE" in done.stderr


OPTIONAL = """g (optional(float[2]) s) => (float[2] y, bool h) {
    h = OptionalHasElement(s) y = OptionalGetElement(s) }"""
CLASSES = """g (float[N, 3] x) => (seq(map(int64, float)) y) {
    y = ai.onnx.ml.ZipMap<classlabels_int64s = [0, 1, 2]>(x) }"""


@pytest.mark.parametrize("text", [OPTIONAL, CLASSES], ids=["optional", "sequence of maps"])
def test_values_of_every_kind_are_kept_read_again_and_shared_by_variants(tmp_path: Path, text: str) -> None:
    model, kept = write_model(tmp_path, text), os.fspath(tmp_path / "kept")
    assert onnxctl("run", model, "--save-outputs", kept, *QUICK).returncode == 0
    again = onnxctl("run", model, "--data", kept, "--verify", *QUICK)
    assert again.returncode == 0, again.stdout + again.stderr
    both = onnxctl("run", model, model, "--runs", "2", "--json")
    assert both.returncode == 0, both.stderr
    assert strict_json(both.stdout)["data"]["variants"][1]["outputs"]["status"] == "equal"
