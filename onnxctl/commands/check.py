"""`onnxctl check`: everything that is wrong with models."""

from __future__ import annotations

from typing import Annotated

import typer

from onnxctl.commands.options import Format, Json, MaxMemory, Models, Timeout, chosen_format, parse_max_memory
from onnxctl.errors import EXIT_NO

EXAMPLES = """
onnxctl check model.onnx
onnxctl check models/*.onnx --strict
onnxctl check model.onnx --no-load
onnxctl check model.onnx --json | jq '.data.files[].problems[]'
"""


def command(
    models: Models,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings count as errors do.")] = False,
    load: Annotated[
        bool, typer.Option("--load/--no-load", help="See whether onnxruntime opens it, in a process of its own.")
    ] = True,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
    format: Format = "text",
    json: Json = False,
) -> None:
    """List everything that is wrong with a model.

    Checked are the specification, types and shapes, stored data, and whether the installed onnxruntime opens it. Exit
    code 1 where errors are found. A file that is no ONNX at all is exit code 3, and among several an error of its own.
    """
    from onnxctl import api
    from onnxctl.commands.output import show_report
    from onnxctl.render.progress import StatusLine

    memory_bytes = parse_max_memory(max_memory)
    with StatusLine() as status:
        report = api.check(
            *models, strict=strict, load=load, timeout_s=timeout, memory_bytes=memory_bytes, progress=status.tell
        )
    show_report(report, chosen_format(format, json))
    if not report.passed:
        raise typer.Exit(EXIT_NO)
