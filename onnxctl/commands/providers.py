"""`onnxctl providers`: what models can run on here."""

from __future__ import annotations

from onnxctl.commands.options import Format, Json, chosen_format

EXAMPLES = """
onnxctl providers
onnxctl providers --json | jq -r '.data.providers[] | select(.usable).name'
"""


def command(format: Format = "text", json: Json = False) -> None:
    """List what models can run on here, and how to get the rest."""
    from onnxctl import api
    from onnxctl.commands.output import show_report

    show_report(api.providers(), chosen_format(format, json))
