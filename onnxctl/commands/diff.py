"""`onnxctl diff`: what differs between two models."""

from __future__ import annotations

from typing import Annotated

import typer

from onnxctl.commands.options import (
    Format,
    Json,
    check_positive,
    chosen_format,
    comparisons_option,
    dim_option,
    input_option,
    parse_dims,
    parse_max_memory,
    parse_pairs,
    seed_option,
    tolerance_option,
)
from onnxctl.errors import EXIT_NO, UsageError

EXAMPLES = """
onnxctl diff old.onnx new.onnx
onnxctl diff old.onnx new.onnx --full --format markdown > changes.md
onnxctl diff model.onnx smaller.onnx --run --dim batch=4
onnxctl diff old.onnx new.onnx --json | jq '.data.weights[] | select(.cosine < 0.99)'
git difftool --extcmd 'onnxctl diff' HEAD~1 -- model.onnx
"""

_OUTPUTS = "Comparing outputs"


def command(
    before: Annotated[str, typer.Argument(metavar="A", help="The one model; - reads it from standard input.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The other model.")],
    full: Annotated[bool, typer.Option("--full", help="List every change.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Take weights for equal whose samples are equal: reads far less.")
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Run both on the same inputs as well.", rich_help_panel=_OUTPUTS)
    ] = False,
    dim: Annotated[list[str] | None, dim_option(_OUTPUTS, more=" in both models")] = None,
    input: Annotated[list[str] | None, input_option(_OUTPUTS)] = None,
    runs: Annotated[int | None, comparisons_option(_OUTPUTS)] = None,
    tolerance: Annotated[float | None, tolerance_option(_OUTPUTS)] = None,
    seed: Annotated[int, seed_option(_OUTPUTS)] = 0,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            callback=check_positive,
            help="Time limit of the runs.",
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="SIZE",
            help="Memory the runs may use, as 2GB; by default most of what is available.",
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    format: Format = "text",
    json: Json = False,
) -> None:
    """Show what differs between two models: exit 0 same, 1 different.

    Nodes are matched by what they compute and not by their names, weights by their content; renamed nodes and values
    are counted but make no difference. Nothing is executed without --run.
    """
    given = {
        "--dim": dim,
        "--input": input,
        "--runs": runs,
        "--tolerance": tolerance,
        "--timeout": timeout,
        "--max-memory": max_memory,
    }
    for option, value in given.items():
        if value is not None and not run:
            raise UsageError(f"{option} is about runs of the models", hint="add --run")
    memory_bytes = parse_max_memory(max_memory)
    dims, inputs = parse_dims(dim), parse_pairs("--input", input)
    from onnxctl import api
    from onnxctl.commands.output import show_report
    from onnxctl.render.progress import StatusLine

    with StatusLine() as status:
        report = api.diff(
            before,
            after,
            full=full,
            quick=quick,
            run=run,
            dims=dims,
            seed=seed,
            runs=runs,
            inputs=inputs,
            tolerance=tolerance,
            timeout_s=timeout,
            memory_bytes=memory_bytes,
            progress=status.tell,
        )
    show_report(report, chosen_format(format, json))
    if report.verdict != "same":
        raise typer.Exit(EXIT_NO)
