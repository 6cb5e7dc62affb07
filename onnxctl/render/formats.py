"""The formats a report can be printed in; a new one is a file beside this and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxctl.render import json, markdown, text
from onnxctl.render.screen import Screen
from onnxctl.reports import Report

FORMATS: Mapping[str, Callable[[Report, Screen], str]] = {
    "text": text.render,
    "json": json.render,
    "markdown": markdown.render,
}
