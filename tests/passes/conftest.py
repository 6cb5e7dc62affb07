"""What the tests of passes share: one child process that infers shapes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxctl.child import Child
from tests.passes.optimizing import Optimizer


@pytest.fixture(scope="session")
def inference_child() -> Iterator[Child]:
    """One process for shape inference in all tests."""
    with Child(preload=("onnx",)) as child:
        yield child


@pytest.fixture
def optimize(tmp_path: Path, inference_child: Child) -> Optimizer:
    """Runs passes over a model: `optimize(text, "fold_constants")`."""
    return Optimizer(tmp_path, inference_child)
