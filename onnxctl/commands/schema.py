"""`onnxctl schema`: what the JSON of every command looks like."""

from __future__ import annotations

EXAMPLES = """
onnxctl schema > onnxctl.schema.json
onnxctl schema | jq '."$defs".RunReport.properties | keys'
"""


def command() -> None:
    """Print the JSON Schema of everything that --json prints.

    Reports keep their fields within one schema number, and may gain some.
    """
    from onnxctl.commands.output import write_output
    from onnxctl.render.json import lay_out
    from onnxctl.reports.schema import json_schema

    write_output(lay_out(json_schema()) + "\n")
