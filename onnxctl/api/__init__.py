"""The whole story: each verb, and the rooms it walks through; one module per verb.

Every verb takes a path ("-" for standard input) and returns a frozen report of `onnxctl.reports`; every error is one
of `onnxctl.errors`. A verb's module is loaded when the verb is first asked for, and the rooms when it is called, so
that importing this package costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxctl.api.bisection import bisect as bisect
    from onnxctl.api.checking import check as check
    from onnxctl.api.difference import diff as diff
    from onnxctl.api.explanation import explain as explain
    from onnxctl.api.inspection import inspect as inspect
    from onnxctl.api.inspection import inspect_many as inspect_many
    from onnxctl.api.many import optimize_many as optimize_many
    from onnxctl.api.measurement import measure_run as measure_run
    from onnxctl.api.measurement import measure_variants as measure_variants
    from onnxctl.api.measurement import providers as providers
    from onnxctl.api.measurement import run as run
    from onnxctl.api.optimization import list_passes as list_passes
    from onnxctl.api.optimization import optimize as optimize
    from onnxctl.api.optimization import optimize_as as optimize_as

_HOMES: Mapping[str, str] = {
    "explain": "explanation",
    "inspect": "inspection",
    "inspect_many": "inspection",
    "bisect": "bisection",
    "check": "checking",
    "diff": "difference",
    "optimize": "optimization",
    "optimize_as": "optimization",
    "optimize_many": "many",
    "list_passes": "optimization",
    "run": "measurement",
    "measure_run": "measurement",
    "measure_variants": "measurement",
    "providers": "measurement",
}
"""The module of each verb."""


def __getattr__(name: str) -> object:
    """Load the module of a verb when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(_HOMES)
