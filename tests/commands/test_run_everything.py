"""`onnxctl run --verify` on every model at hand, by the real command: verified, or refused with the reason."""

import json
import os
from pathlib import Path

import pytest

from onnxctl.cli import execute
from tests.command_line import onnxctl, strict_json
from tests.conftest import sample_paths, shared_paths
from tests.runtime.test_expectations import OWN_WAY, names_of_onnx_tests, write_case

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow


def verified(path: Path) -> tuple[int, str]:
    """The exit code, and what went wrong in words."""
    done = onnxctl("run", os.fspath(path), "--verify", "--runs", "1", "--warmup", "0", "--timeout", "120", "--json")
    document = strict_json(done.stdout)
    if document["kind"] == "error":
        return done.returncode, document["data"]["message"]
    return done.returncode, "; ".join(each["reason"] for each in document["data"]["verification"] if each["reason"])


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.stem)
def test_sample_models_are_verified(path: Path) -> None:
    assert verified(path) == (0, "")


@pytest.mark.parametrize("path", shared_paths(), ids=lambda path: path.stem)
def test_shared_models_are_verified_or_refused_with_the_reason(path: Path) -> None:
    code, reason = verified(path)
    if code == 3:
        pytest.skip(reason)
    assert (code, reason) == (0, "")


@pytest.mark.parametrize("name", names_of_onnx_tests())
def test_onnx_tests_are_verified_against_their_data(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_case(tmp_path / "case", name)
    code = execute(["run", os.fspath(model), "--verify", "--runs", "1", "--warmup", "0", "--json"])
    document = json.loads(capsys.readouterr().out)
    if code == 3:
        pytest.skip(document["data"]["message"])
    statuses = {each["status"] for each in document["data"]["verification"]}
    assert all(each["source"] for each in document["data"]["verification"]), "held against the data of the test"
    assert statuses <= ({"different"} if name in OWN_WAY else {"equal", "not verified"}), document["data"]
