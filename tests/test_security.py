"""SECURITY.md names limits as constants of the code; they are what it says."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from tests.conftest import ROOT

ROWS = re.findall(r"^\| `([\w.]+)` \| ([\d.]+) \|", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("name", "value"), ROWS, ids=[name for name, _ in ROWS])
def test_the_limits_are_those_of_the_code(name: str, value: str) -> None:
    module, _, constant = name.rpartition(".")
    assert getattr(import_module(f"onnxctl.{module}"), constant) == float(value)


def test_every_time_limit_of_a_child_is_listed() -> None:
    defined = {
        ".".join(path.relative_to(ROOT / "onnxctl").with_suffix("").parts) + f".{name}"
        for path in (ROOT / "onnxctl").rglob("*.py")
        for name in re.findall(r"^((?:[A-Z]+_)*(?:TIMEOUT|LIMIT)_S) = ", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(defined) > 5
    assert defined <= {name for name, _ in ROWS}
