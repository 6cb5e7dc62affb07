"""`onnxctl optimize`: a simpler model that gives the same answers."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from onnxctl.commands.options import (
    Format,
    Json,
    Models,
    check_positive,
    chosen_format,
    comparisons_option,
    completion,
    dim_option,
    input_option,
    option,
    parse_dims,
    parse_max_memory,
    parse_names,
    parse_pairs,
    seed_option,
    tolerance_option,
)
from onnxctl.errors import EXIT_NO, UsageError

if TYPE_CHECKING:
    from onnxctl.reports import OptimizeManyReport, OptimizeReport

EXAMPLES = """
onnxctl optimize model.onnx -o smaller.onnx
onnxctl optimize model.onnx -o fixed.onnx --dim batch=1
onnxctl optimize model.onnx --in-place --with onnxsim
onnxctl optimize model.onnx -o faster.onnx --require-faster
onnxctl optimize models/*.onnx --out-dir smaller --jobs 4
onnxctl optimize model.onnx --dry-run --explain
onnxctl optimize model.onnx -o smaller.onnx --json | jq '.data.verification.status'
onnxctl optimize --list-passes
"""

_WHERE, _WHAT, _PROOF, _SPEED = "Where to", "What is done", "Proof", "Speed"

LevelName = Literal["safe", "default", "max"]


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


def _pass_names() -> list[str]:
    from onnxctl import api

    return [name for name, _ in api.list_passes()]


def command(
    models: Models,
    output: Annotated[
        str | None, option("--output", "-o", panel=_WHERE, metavar="OUTPUT", help="The file to write.")
    ] = None,
    out_dir: Annotated[
        str | None,
        option("--out-dir", panel=_WHERE, metavar="DIR", help="Write each result here, under its model's name."),
    ] = None,
    in_place: Annotated[bool, option("--in-place", panel=_WHERE, help="Replace MODEL itself.")] = False,
    dry_run: Annotated[bool, option("--dry-run", panel=_WHERE, help="Do everything, but write nothing.")] = False,
    force: Annotated[bool, option("--force", panel=_WHERE, help="Replace outputs that exist.")] = False,
    jobs: Annotated[
        int, option("--jobs", panel=_WHERE, metavar="N", min=1, help="Work on so many files at a time.")
    ] = 1,
    external_data: Annotated[
        bool | None,
        option(
            "--external-data/--no-external-data",
            panel=_WHERE,
            help="Keep weights in a data file beside the model, or in the model. Default: as they were.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[
        LevelName,
        option(
            "--level",
            panel=_WHAT,
            metavar="LEVEL",
            help="safe: only rewrites that keep every bit; max: also those that slow some runtimes down, and "
            "onnxsim's if they help.",
        ),
    ] = "default",
    dim: Annotated[list[str] | None, dim_option(_WHAT, more=" that stays in the result")] = None,
    with_engine: Annotated[
        list[Engine] | None,
        option(
            "--with",
            panel=_WHAT,
            metavar="ENGINE",
            help="Let another optimizer join in, in its own process: onnxsim.",
        ),
    ] = None,
    inline_functions: Annotated[
        bool,
        option(
            "--inline-functions",
            panel=_WHAT,
            help="Put the bodies of the model's own functions in place of all calls, even if it grows.",
        ),
    ] = False,
    passes: Annotated[
        str | None,
        option(
            "--passes",
            panel=_WHAT,
            metavar="A,B,...",
            help="Run these passes only.",
            autocompletion=completion(_pass_names),
        ),
    ] = None,
    skip: Annotated[
        str | None,
        option(
            "--skip",
            panel=_WHAT,
            metavar="A,B,...",
            help="Leave these passes out.",
            autocompletion=completion(_pass_names),
        ),
    ] = None,
    explain: Annotated[
        bool, option("--explain", panel=_WHAT, help="Tell of everything that was left alone, and why.")
    ] = False,
    list_passes: Annotated[
        bool,
        option(
            "--list-passes",
            panel=_WHAT,
            is_eager=True,
            callback=_list_passes,
            help="List the passes in their order and exit.",
        ),
    ] = False,
    verify: Annotated[
        bool,
        option(
            "--verify/--no-verify",
            panel=_PROOF,
            help="Run both models on the same inputs; leave out what makes answers differ.",
        ),
    ] = True,
    require_verified: Annotated[
        bool, option("--require-verified", panel=_PROOF, help="Write nothing and exit with 1 where there is no proof.")
    ] = False,
    runs: Annotated[int | None, comparisons_option(_PROOF)] = None,
    input: Annotated[list[str] | None, input_option(_PROOF)] = None,
    tolerance: Annotated[float | None, tolerance_option(_PROOF)] = None,
    seed: Annotated[int, seed_option(_PROOF)] = 0,
    timeout: Annotated[
        float | None,
        option(
            "--timeout",
            panel=_PROOF,
            metavar="SECONDS",
            callback=check_positive,
            help="Time limit of a comparison; what takes longer is not verified.",
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        option(
            "--max-memory",
            panel=_PROOF,
            metavar="SIZE",
            help="Memory a comparison may use, as 2GB; what takes more is not verified.",
        ),
    ] = None,
    measure: Annotated[
        bool, option("--measure", panel=_SPEED, help="Compare the latency before and after, runs taking turns.")
    ] = False,
    require_faster: Annotated[
        bool, option("--require-faster", panel=_SPEED, help="Write nothing and exit with 1 unless it became faster.")
    ] = False,
    format: Format = "text",
    json: Json = False,
) -> None:
    """Make a model smaller and simpler without changing its answers.

    Inputs, outputs, their names, types and order, metadata and opsets stay. The result is written whole or not at all,
    and not before both models gave the same outputs. A model that can't be run here is simplified with care, and
    called "not verified".
    """
    dims = parse_dims(dim)
    if require_verified and not verify:
        raise UsageError("--require-verified and --no-verify exclude each other", hint="leave one of them out")
    if (measure or require_faster) and jobs > 1:
        raise UsageError("--jobs disturbs what --measure and --require-faster measure", hint="leave --jobs out")
    if passes is not None and not parse_names(passes):
        raise UsageError("--passes names no pass", hint="`onnxctl optimize --list-passes` lists them")
    _check_destination(models, output, out_dir, in_place=in_place, dry_run=dry_run)
    from onnxctl import api
    from onnxctl.commands.output import show_report
    from onnxctl.render.progress import StatusLine
    from onnxctl.reports import OptimizeConfig

    config = OptimizeConfig(
        path=models[0],
        output=output,
        dims=tuple(dims.items()),
        level=level,
        passes=parse_names(passes),
        skip=parse_names(skip) or (),
        with_onnxsim=bool(with_engine),
        inline_functions=inline_functions,
        verify=verify,
        require_verified=require_verified,
        run_count=runs,
        inputs=parse_pairs("--input", input),
        tolerance=tolerance,
        seed=seed,
        measure=measure or require_faster,
        require_faster=require_faster,
        external_data=external_data,
        force=force,
        in_place=in_place,
        dry_run=dry_run,
        explain=explain,
        timeout_s=timeout,
        memory_bytes=parse_max_memory(max_memory),
    )
    report: OptimizeReport | OptimizeManyReport
    with StatusLine() as status:
        if len(models) == 1 and out_dir is None:
            report = api.optimize_as(config, progress=status.tell)
            is_well = report.status in ("written", "dry run")
        else:
            report = api.optimize_many(models, out_dir, config, job_count=jobs, progress=status.tell)
            is_well = not report.failed_count
    show_report(report, chosen_format(format, json))
    if not is_well:
        raise typer.Exit(EXIT_NO)


def _check_destination(
    models: list[str], output: str | None, out_dir: str | None, *, in_place: bool, dry_run: bool
) -> None:
    """Raises UsageError unless it is clear where each result goes."""
    named = [
        option
        for option, given in (
            ("--output", output is not None),
            ("--out-dir", out_dir is not None),
            ("--in-place", in_place),
        )
        if given
    ]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other", hint="leave one of them out")
    if not named and not dry_run:
        raise UsageError(
            "where shall the result go?",
            hint="name it with -o OUTPUT or --out-dir DIR, or replace the input by --in-place",
        )
    if output is not None and len(models) > 1:
        raise UsageError("--output is for one model", hint="write many into a folder: --out-dir DIR")
