"""What all tests share: where the models are, and that onnxruntime sends no telemetry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_models"
SHARED = ROOT.parent / "shared"
"""Models from elsewhere, beside the project where somebody put them; tests that use them skip where they are absent."""


def sample_paths() -> list[Path]:
    """Every sample model."""
    return sorted(SAMPLES.rglob("*.onnx"))


def shared_paths() -> list[Path]:
    """Every model of the shared folder, none where it is absent."""
    return sorted((SHARED / "models").rglob("*.onnx"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder; skips the test where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside the project")
    return SHARED
