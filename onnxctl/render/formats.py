"""The formats a report can be printed in; a new one is a file beside this and an entry here.

A format is loaded when it is used: printing one report should not pay for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from onnxctl.render.screen import Screen

if TYPE_CHECKING:
    from onnxctl.reports import Report


def _render_text(report: Report, screen: Screen) -> str:
    from onnxctl.render import text

    return text.render(report, screen)


def _render_json(report: Report, screen: Screen) -> str:
    from onnxctl.render import json

    return json.render(report, screen)


def _render_markdown(report: Report, screen: Screen) -> str:
    from onnxctl.render import markdown

    return markdown.render(report, screen)


FORMATS: Mapping[str, Callable[[Report, Screen], str]] = {
    "text": _render_text,
    "json": _render_json,
    "markdown": _render_markdown,
}
