"""`onnxctl optimize`: a simpler model that gives the same answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from onnxctl.commands.options import (
    Format,
    Json,
    Model,
    check_positive,
    chosen_format,
    parse_dims,
    parse_names,
)
from onnxctl.errors import EXIT_NO, UsageError

EXAMPLES = """
onnxctl optimize model.onnx -o smaller.onnx
onnxctl optimize model.onnx -o fixed.onnx --dim batch=1
onnxctl optimize model.onnx --in-place --with onnxsim
onnxctl optimize model.onnx -o smaller.onnx --json | jq '.data.verification.status'
onnxctl optimize --list-passes
"""

_WHERE, _WHAT, _PROOF = "Where to", "What is done", "Proof"


class Engine(StrEnum):
    """A foreign optimizer that can join in."""

    ONNXSIM = "onnxsim"


def _list_passes(wanted: bool) -> None:
    if wanted:
        from onnxctl import api
        from onnxctl.commands.output import current_screen, write_output
        from onnxctl.render.optimization import pass_list
        from onnxctl.render.text import render_document

        write_output(render_document(pass_list(tuple(api.list_passes())), current_screen()))
        raise typer.Exit


def command(
    model: Model,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="OUTPUT", help="The file to write.", rich_help_panel=_WHERE),
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace MODEL itself.", rich_help_panel=_WHERE)] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace OUTPUT where it exists.", rich_help_panel=_WHERE)
    ] = False,
    external_data: Annotated[
        bool | None,
        typer.Option(
            "--external-data/--no-external-data",
            help="Keep weights in a data file beside the model, or in the model. Default: as they were.",
            rich_help_panel=_WHERE,
            show_default=False,
        ),
    ] = None,
    dim: Annotated[
        list[str] | None,
        typer.Option(
            "--dim",
            metavar="NAME=SIZE",
            help="Fix a symbolic dimension at a size; may be repeated.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    with_engine: Annotated[
        list[Engine] | None,
        typer.Option(
            "--with",
            metavar="ENGINE",
            help="Let another optimizer join in, in its own process: onnxsim.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    passes: Annotated[
        str | None,
        typer.Option("--passes", metavar="A,B,...", help="Run these passes only.", rich_help_panel=_WHAT),
    ] = None,
    skip: Annotated[
        str | None, typer.Option("--skip", metavar="A,B,...", help="Leave these passes out.", rich_help_panel=_WHAT)
    ] = None,
    list_passes: Annotated[
        bool,
        typer.Option(
            "--list-passes",
            is_eager=True,
            callback=_list_passes,
            help="List the passes in their order and exit.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify",
            help="Run both models on the same inputs; where answers differ, write nothing and exit with 1.",
            rich_help_panel=_PROOF,
        ),
    ] = True,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Seed of the inputs.", rich_help_panel=_PROOF)
    ] = 0,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            callback=check_positive,
            help="Time limit of foreign code; exit code 4.",
            rich_help_panel=_PROOF,
        ),
    ] = None,
    format: Format = "text",
    json: Json = False,
) -> None:
    """Make a model smaller and simpler without changing its answers.

    Inputs, outputs, their names, types and order, metadata and opsets stay. The result is written whole or not at all,
    and not before both models gave the same outputs.
    """
    dims = parse_dims(dim)
    if (output is None) is not in_place:
        if in_place:
            raise UsageError("--in-place and --output exclude each other", hint="leave one of them out")
        raise UsageError(
            "where shall the result go?", hint="name it with -o OUTPUT, or replace the input by --in-place"
        )
    from onnxctl import api
    from onnxctl.commands.output import show_report
    from onnxctl.render.progress import StatusLine

    with StatusLine() as status:
        report = api.optimize(
            model,
            output,
            dims=dims,
            passes=parse_names(passes),
            skip=parse_names(skip) or (),
            with_onnxsim=Engine.ONNXSIM in (with_engine or ()),
            verify=verify,
            seed=seed,
            external_data=external_data,
            force=force,
            in_place=in_place,
            timeout_s=timeout,
            progress=status.tell,
        )
    show_report(report, chosen_format(format, json))
    if report.verification.status == "different":
        raise typer.Exit(EXIT_NO)
