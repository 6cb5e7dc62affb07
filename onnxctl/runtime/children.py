"""The child processes that models are opened and run in: what each imports while its parent is still busy."""

from __future__ import annotations

from onnxctl.child import Child
from onnxctl.memory import usual_memory_bytes


def child_for_models(memory_bytes: int | None = None) -> Child:
    """A child process fit to open, run and compare models, within memory_bytes (None: most of what is available)."""
    limit = usual_memory_bytes() if memory_bytes is None else memory_bytes
    return Child(preload=("onnxruntime", "onnxctl.model.graph"), memory_bytes=limit)


def child_for_constants(memory_bytes: int | None = None) -> Child:
    """A child process fit for `evaluate.evaluate_in_child`: without onnx, it is ready as soon as onnxruntime is."""
    limit = usual_memory_bytes() if memory_bytes is None else memory_bytes
    return Child(preload=("onnxruntime", "onnxctl.runtime.session"), memory_bytes=limit)
