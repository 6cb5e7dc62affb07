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


def render(report: Report, screen: Screen) -> str:
    """The report as JSON, ending in a line break; the same on every screen."""
    return lay_out({"schema": SCHEMA, "kind": report.kind, "data": encode(report)}) + "\n"


def lay_out(value: JSON, indent: str = "") -> str:
    """JSON with line breaks where a value is long, but never within the objects of a list or a list of numbers."""
    text = json.dumps(value, allow_nan=False)
    inner = indent + "  "
    if isinstance(value, dict) and len(text) > _LINE:
        items = [f"{json.dumps(key)}: {lay_out(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner + item for item in items) + f"\n{indent}}}"
    if isinstance(value, list) and len(text) > _LINE and not isinstance(value[0], int | float):
        return "[\n" + ",\n".join(inner + json.dumps(item, allow_nan=False) for item in value) + f"\n{indent}]"
    return text
