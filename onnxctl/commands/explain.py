"""`onnxctl explain`: what a finding means."""

from __future__ import annotations

from typing import Annotated

import typer

from onnxctl.commands.options import Format, Json, chosen_format, completion

EXAMPLES = """
onnxctl explain
onnxctl explain duplicate-initializer
onnxctl explain --json | jq -r '.data.codes[] | select(.severity == "error").code'
"""


def _codes() -> list[str]:
    from onnxctl import api

    return [each.code for each in api.explain().codes]


def command(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE]",
            show_default=False,
            help="A finding's code; without one, list all.",
            autocompletion=completion(_codes),
        ),
    ] = None,
    format: Format = "text",
    json: Json = False,
) -> None:
    """Tell what a finding means and what to do about it."""
    from onnxctl import api
    from onnxctl.commands.output import show_report

    show_report(api.explain(code), chosen_format(format, json))
