"""The real `onnxctl` command in a process of its own, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.conftest import ROOT

COMMAND = (sys.executable, "-m", "onnxctl")


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with the changes, the package on its path, and nothing that decides on colours."""
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**plain, "PYTHONPATH": os.fspath(ROOT), **changes}


def onnxctl(
    *arguments: str | bytes, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run one command line to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, env=env or environment(), timeout=120, check=False
    )


def strict_json(text: bytes) -> Any:
    """The one JSON document that the text is, by RFC 8259: neither NaN nor a key that occurs twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), "duplicate keys"
        return dict(pairs)

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
