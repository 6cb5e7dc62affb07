"""Inspect, optimize and run ONNX models; the same reports the command line prints, as frozen values.

>>> import onnxctl
>>> onnxctl.inspect("model.onnx").node_count
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "OnnxctlError",
    "__version__",
    "bisect",
    "check",
    "diff",
    "explain",
    "inspect",
    "optimize",
    "providers",
    "run",
]

if TYPE_CHECKING:
    from onnxctl.api import bisect, check, diff, explain, inspect, optimize, providers, run
    from onnxctl.errors import OnnxctlError


def __getattr__(name: str) -> object:
    """Load the API on first use, so that importing onnxctl costs nothing."""
    if name == "OnnxctlError":
        return import_module("onnxctl.errors").OnnxctlError
    if name in __all__:
        return getattr(import_module("onnxctl.api"), name)
    raise AttributeError(f"module 'onnxctl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
