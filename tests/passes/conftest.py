"""What the tests of passes share: one child process for native code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxctl.child import Child
from tests.passes.optimizing import Optimizer


@pytest.fixture(scope="session")
def native_child() -> Iterator[Child]:
    """One process for shape inference and evaluation in all tests."""
    with Child(preload=("onnx", "onnxruntime")) as child:
        yield child


@pytest.fixture
def optimize(tmp_path: Path, native_child: Child) -> Optimizer:
    """Runs passes over a model: `optimize(text, "fold_constants")`."""
    return Optimizer(tmp_path, native_child)
