"""`onnxctl inspect` with --findings, --fail-on, --precision, --compatibility and --full-text, the real command."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import parser

from tests.command_line import onnxctl, strict_json
from tests.conftest import SAMPLES

SOUND = str(SAMPLES / "digits_mlp.onnx")


def model_with(folder: Path, text: str) -> str:
    path = folder / "model.onnx"
    onnx.save(parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}'), path)
    return str(path)


DEAD = "g (float[1] x) => (float[1] y) { y = Relu(x) z = Abs(x) }"
WRONG = "g (float[2,3] x, float[4,5] w) => (float[a,b] y) { y = MatMul(x, w) }"
NOTED = "g (float[1] x, float[1] unused) => (float[1] y) { y = Relu(x) }"


@pytest.mark.parametrize(
    ("text", "severity", "code"),
    [
        (DEAD, "warning", 1),
        (DEAD, "error", 0),
        (WRONG, "warning", 1),
        (WRONG, "error", 1),
        (NOTED, "warning", 0),
    ],
)
def test_fail_on_decides_the_exit_code_and_the_report_is_printed(
    tmp_path: Path, text: str, severity: str, code: int
) -> None:
    done = onnxctl("inspect", model_with(tmp_path, text), "--fail-on", severity)
    assert done.returncode == code, done.stderr
    assert "Findings" in done.stdout.decode()


def test_findings_name_their_codes_so_that_they_can_be_explained(tmp_path: Path) -> None:
    done = onnxctl("inspect", model_with(tmp_path, DEAD), "--findings")
    assert done.returncode == 0
    assert "[dead-node]" in done.stdout.decode()
    plain = strict_json(onnxctl("inspect", model_with(tmp_path, DEAD), "--json").stdout)["data"]
    assert plain["findings"] == [] and plain["looked_closer"] is False


def test_a_sound_model_has_nothing_worth_telling() -> None:
    done = onnxctl("inspect", SOUND, "--findings", "--fail-on", "warning")
    assert done.returncode == 0
    assert "Findings  none" in done.stdout.decode()


def test_precision_and_compatibility_have_every_format() -> None:
    for arguments in (["--precision"], ["--compatibility"]):
        assert arguments[0][2:].title() in onnxctl("inspect", SOUND, *arguments).stdout.decode()
        assert arguments[0][2:].title() in onnxctl("inspect", SOUND, *arguments, "--format", "markdown").stdout.decode()
    data = strict_json(onnxctl("inspect", SOUND, "--precision", "--compatibility", "--json").stdout)["data"]
    assert data["precision"]["bits_per_weight"] == 32
    assert data["compatibility"]["stated"]["opset"] == 17


def test_the_full_text_is_the_model() -> None:
    written = parser.parse_model(onnxctl("inspect", SOUND, "--full-text").stdout.decode())
    loaded = onnx.load(SOUND)
    assert [onnx.numpy_helper.to_array(each).tobytes() for each in written.graph.initializer] == [
        onnx.numpy_helper.to_array(each).tobytes() for each in loaded.graph.initializer
    ]


def test_fail_on_takes_several_models_and_one_is_enough(tmp_path: Path) -> None:
    wrong = model_with(tmp_path, DEAD)
    assert onnxctl("inspect", SOUND, SOUND, "--fail-on", "warning").returncode == 0
    done = onnxctl("inspect", SOUND, wrong, "--fail-on", "warning")
    assert done.returncode == 1
    line = next(line for line in done.stdout.decode().splitlines() if "1 warning" in line)
    assert wrong.endswith(line.split()[0])
    assert onnxctl("inspect", SOUND, SOUND, "--precision").returncode == 2
