"""`onnxctl run --verify` on every model at hand, by the real command: verified, or refused with the reason."""

import os
from pathlib import Path

import pytest

from tests.command_line import onnxctl, strict_json
from tests.conftest import sample_paths, shared_paths

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
