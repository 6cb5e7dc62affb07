"""What fuzzing starts from: models small enough that damage to a few bytes or fields is likely to matter."""

from __future__ import annotations

from pathlib import Path

import onnx

from tests.conftest import sample_paths

LARGEST_BYTES = 30_000

BACKEND = Path(onnx.__file__).parent / "backend" / "test" / "data"


def small_samples() -> list[bytes]:
    """The small sample models."""
    return [data for data in (path.read_bytes() for path in sample_paths()) if len(data) <= LARGEST_BYTES]


def small_operator_tests() -> list[bytes]:
    """The small models among the backend tests of onnx: about every operator there is, with subgraphs and functions."""
    paths = sorted(BACKEND.rglob("*.onnx"))
    return [path.read_bytes() for path in paths if path.stat().st_size <= LARGEST_BYTES]
