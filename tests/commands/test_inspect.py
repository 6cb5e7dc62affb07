"""`onnxctl inspect`, the real command on real files."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import environment, onnxctl, strict_json
from tests.conftest import SAMPLES

LINEAR = SAMPLES / "linear_regression.onnx"


def test_a_model_is_told_at_a_glance() -> None:
    done = onnxctl("inspect", os.fspath(LINEAR))
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    for part in ("357 B", "opset 17", "X           float32[batch, 3]", "prediction  float32[batch, 1]", "MatMul  1"):
        assert part in text


def test_standard_input_is_the_same_model() -> None:
    by_path = strict_json(onnxctl("inspect", os.fspath(LINEAR), "--json").stdout)["data"]
    by_stdin = strict_json(onnxctl("inspect", "-", "--json", stdin=LINEAR.read_bytes()).stdout)["data"]
    assert by_stdin["operators"] == by_path["operators"]
    assert by_stdin["total_bytes"] == by_path["total_bytes"]


def test_lists_are_made_on_demand() -> None:
    done = onnxctl("inspect", os.fspath(LINEAR), "--nodes", "--weights")
    text = done.stdout.decode()
    assert "Nodes  2 nodes" in text
    assert "X, coefficients" in text
    assert "float32[3, 1]" in text
    bare = strict_json(onnxctl("inspect", os.fspath(LINEAR), "--json").stdout)["data"]
    assert bare["nodes"] is bare["weights"] is bare["text"] is None


def test_text_alone_is_the_graph_alone() -> None:
    done = onnxctl("inspect", os.fspath(LINEAR), "--text")
    assert done.stdout.startswith(b"<")
    assert b"product = MatMul (X, coefficients)" in done.stdout


def test_dimensions_get_their_sizes() -> None:
    done = onnxctl("inspect", os.fspath(LINEAR), "--dim", "batch=4")
    assert b"float32[4, 3]" in done.stdout
    wrong = onnxctl("inspect", os.fspath(LINEAR), "--dim", "bach=4")
    assert wrong.returncode == 2
    assert b"bach" in wrong.stderr
    assert onnxctl("inspect", os.fspath(LINEAR), "--dim", "batch").returncode == 2


@pytest.mark.parametrize(
    "name",
    [
        "with space.onnx",
        "new\nline.onnx",
        "\x1b[31mred\x07.onnx",
        "[bold red].onnx",
        "模型.onnx",
        "-.onnx",
        "--json.onnx",
    ],
)
def test_odd_file_names_work_and_are_harmless(name: str, tmp_path: Path) -> None:
    shutil.copy(LINEAR, tmp_path / name)
    done = onnxctl("inspect", os.fspath(tmp_path / name))
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout
    assert b"\x07" not in done.stdout
    title = done.stdout.decode().splitlines()[0]
    assert title.endswith("357 B")
    assert name.replace("\n", "\\n").replace("\x1b", "\\x1b").replace("\x07", "\\x07") in title


def test_file_names_that_are_no_utf8_come_back_from_json(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.onnx"
    shutil.copy(os.fsencode(LINEAR), name)
    assert b"caf\\xe9.onnx" in onnxctl("inspect", name).stdout
    path = strict_json(onnxctl("inspect", name, "--json").stdout)["data"]["path"]
    assert path.encode("utf-8", "surrogateescape") == name


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"PK\x03\x04" + bytes(100), b"zip"), (b"", b"empty"), (LINEAR.read_bytes()[:200], b"broken.onnx")],
)
def test_what_is_no_model_is_one_line(content: bytes, said: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    done = onnxctl("inspect", os.fspath(path))
    assert (done.returncode, done.stdout) == (3, b"")
    lines = done.stderr.splitlines()
    assert lines[0].startswith(b"onnxctl: error: ")
    assert said in done.stderr
    assert len(lines) <= 2


def test_a_missing_file_is_named() -> None:
    done = onnxctl("inspect", "no/such \x1b[31m.onnx")
    assert done.returncode == 3
    assert done.stderr.startswith(b"onnxctl: error: no/such \\x1b[31m.onnx: ")


def test_nothing_is_written(tmp_path: Path) -> None:
    shutil.copy(LINEAR, tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    onnxctl("inspect", os.fspath(tmp_path / LINEAR.name), env=environment(HOME=os.fspath(home), TMPDIR=os.fspath(home)))
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["home", LINEAR.name]


CNN = os.fspath(SAMPLES / "digits_cnn.onnx")
BLOCK = os.fspath(SAMPLES / "transformer_block.onnx")


def data_of(*arguments: str) -> dict[str, Any]:
    done = onnxctl("inspect", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    data: dict[str, Any] = strict_json(done.stdout)["data"]
    return data


def test_cost_and_memory_are_numbers_where_all_sizes_are_known() -> None:
    free = data_of(BLOCK, "--cost", "--memory")
    bound = data_of(BLOCK, "--cost", "--memory", "--dim", "batch=2", "--dim", "sequence=7")
    assert free["cost"]["macs"]["value"] is None
    assert free["memory"]["symbols"] == ["batch", "sequence"]
    assert bound["cost"]["symbols"] == []
    total = sum(
        coefficient * 2 ** factors.count("batch") * 7 ** (2 if "^2" in factors else factors.count("sequence"))
        for coefficient, factors in free["cost"]["macs"]["terms"]
    )
    assert bound["cost"]["macs"]["value"] == total
    assert bound["memory"]["peak_bytes"] > 0


def test_a_series_of_sizes_makes_a_table() -> None:
    data = data_of(CNN, "--dim", "batch=1,2,4")
    assert [point["macs"] for point in data["sweep"]] == [84_224, 168_448, 336_896]
    done = onnxctl("inspect", CNN, "--dim", "batch=1:8")
    assert [line.split()[0] for line in done.stdout.decode().splitlines()[4:]] == ["1", "2", "4", "8"]


def test_filters_alone_list_the_nodes() -> None:
    done = onnxctl("inspect", CNN, "--op", "Conv")
    assert b"Nodes  2 of 11 nodes" in done.stdout
    by_cost = data_of(CNN, "--sort", "macs", "--top", "2")["cost"]["nodes"]
    assert [node["name"] for node in by_cost] == ["conv2", "conv1"]
    wrong = onnxctl("inspect", CNN, "--op", "Conf")
    assert wrong.returncode == 2
    assert b"Conv" in wrong.stderr


def test_weights_are_read_unless_they_are_not_wanted() -> None:
    read = data_of(CNN, "--weights", "--match", "conv2")["weights"]
    assert [each["name"] for each in read] == ["conv2_weight"]
    assert read[0]["statistics"]["minimum"] < 0
    listed = data_of(CNN, "--weights", "--no-values")["weights"]
    assert len(listed) == 13
    assert all(each["statistics"] is None for each in listed)


def test_one_node_and_the_tree() -> None:
    assert data_of(CNN, "--node", "conv1")["node"]["outputs"][0]["nodes"] == ["BatchNormalization norm1"]
    unknown = onnxctl("inspect", CNN, "--node", "conv9")
    assert unknown.returncode == 2
    assert b"conv1" in unknown.stderr
    roles = [each["role"] for each in data_of(os.fspath(SAMPLES / "loop_sum.onnx"), "--tree")["tree"]]
    assert roles == ["graph", "subgraph"]


def test_several_models_are_compared() -> None:
    envelope = strict_json(onnxctl("inspect", CNN, BLOCK, "--cost", "--dim", "batch=1", "--json").stdout)
    assert envelope["kind"] == "inspect_many"
    assert [each["path"] for each in envelope["data"]["models"]] == [CNN, BLOCK]
    assert envelope["data"]["models"][0]["cost"]["macs"]["value"] == 84_224
    assert onnxctl("inspect", CNN, BLOCK, "--nodes").returncode == 2
    assert onnxctl("inspect", CNN, BLOCK, "--dim", "bach=1").returncode == 2
    assert onnxctl("inspect", CNN, "no_such.onnx").returncode == 3
