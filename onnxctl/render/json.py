"""JSON: the report itself in its envelope, one line per listed thing.

The text is ASCII, so no name can disturb a terminal; the bytes of a file name that is not UTF-8 are lone surrogates
(PEP 383), as Python reads them back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from onnxctl.render.screen import Screen
from onnxctl.reports import SCHEMA, encode

if TYPE_CHECKING:
    from onnxctl.reports import JSON, Report

_LINE = 100
_written = json.JSONEncoder(allow_nan=False, check_circular=False).encode
"""One line of JSON. What `encode` makes has no cycles."""


def render(report: Report, screen: Screen) -> str:
    """The report as JSON, ending in a line break; the same on every screen."""
    return lay_out({"schema": SCHEMA, "kind": report.kind, "data": encode(report)}) + "\n"


def lay_out(value: JSON, indent: str = "") -> str:
    """JSON with line breaks where a value is long, but never within the objects of a list or a list of numbers."""
    text = "" if _is_long(value) else _written(value)
    inner = indent + "  "
    if isinstance(value, dict) and (not text or len(text) > _LINE):
        items = [f"{_written(key)}: {lay_out(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner + item for item in items) + f"\n{indent}}}"
    if isinstance(value, list) and (not text or len(text) > _LINE) and not isinstance(value[0], int | float):
        return "[\n" + ",\n".join(inner + _written(item) for item in value) + f"\n{indent}]"
    return text or _written(value)


def _is_long(value: JSON) -> bool:
    """Whether it can't fit a line, seen without writing it: lists of a hundred thousand nodes are written once."""
    if isinstance(value, dict):
        return any(map(_is_long, value.values()))
    return isinstance(value, list) and len(value) > _LINE
