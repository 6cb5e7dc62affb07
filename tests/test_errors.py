"""The error tree is drawn at the top of its file, exit codes included; the drawing is checked."""

from __future__ import annotations

import inspect
import re

from onnxctl import errors
from onnxctl.errors import OnnxctlError


def test_the_drawing_is_the_tree() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+) +(\d+) ", errors.__doc__ or ""))
    found = {
        name: str(kind.exit_code)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, OnnxctlError) and kind is not OnnxctlError
    }
    assert drawn == found


def test_exit_codes_are_distinct_by_meaning() -> None:
    codes = {name: value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert codes == {
        "EXIT_DONE": 0,
        "EXIT_NO": 1,
        "EXIT_USAGE": 2,
        "EXIT_MODEL": 3,
        "EXIT_MACHINE": 4,
        "EXIT_BUG": 70,
        "EXIT_INTERRUPTED": 130,
        "EXIT_TERMINATED": 143,
    }
