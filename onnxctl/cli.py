"""The `onnxctl` command: its subcommands, its global options, and the only place where an error becomes an exit code.

Nothing heavy is imported here: `onnxctl --help` loads neither numpy nor onnx nor onnxruntime.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand
from typer.main import get_command

from onnxctl import __version__
from onnxctl.commands import bisect, check, diff, explain, inspect, optimize, providers, run, schema
from onnxctl.errors import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_MACHINE,
    EXIT_USAGE,
    OnnxctlError,
)
from onnxctl.onnx_on_demand import load_onnx_on_demand
from onnxctl.signals import interruptible

if TYPE_CHECKING:
    from onnxctl.reports import ErrorReport

COMMANDS: tuple[ModuleType, ...] = (inspect, optimize, run, check, diff, bisect, providers, explain, schema)
"""The subcommands, in the order of the help. Each module has a function `command` and the text `EXAMPLES`."""

_OBJECTS_BETWEEN_COLLECTIONS = 300_000
"""Python looks for cycles of garbage after every 700 new objects; loading the libraries makes many, and no garbage."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

_EXIT_CODES = """Exit codes: 0 done; 1 done, and the answer is no; 2 asked wrongly; 3 the file can't be used as a model;
4 this machine can't do it; 70 a bug in onnxctl; 130 interrupted."""


def main() -> NoReturn:
    """Run the command line this process was started with, and exit."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy starts its threads when it is loaded
    load_onnx_on_demand()
    _leave(execute(sys.argv[1:]))


def _leave(code: int) -> NoReturn:
    """Exit at once: everything is written and closed, and to take all objects apart would only take time."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def execute(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Whatever is raised below ends here, in one line and a hint."""
    _prepare_process()
    try:
        code = interruptible(lambda: _run(arguments))
        if code != EXIT_INTERRUPTED:
            return code
        report = _describe(KeyboardInterrupt())
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one boundary
        report = _describe(error)
        if "--debug" in _options(arguments):
            _show_traceback(error)
    _show_error(report, as_json=_wants_json(arguments))
    return report.exit_code


def _run(arguments: Sequence[str]) -> int:
    app = build_app(_named_by(arguments))
    return get_command(app).main(list(arguments), prog_name="onnxctl", standalone_mode=False) or EXIT_DONE


def build_app(commands: Sequence[ModuleType] = COMMANDS) -> typer.Typer:
    """The command line as Typer knows it, with these subcommands."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, epilog=_EXIT_CODES)
    app.callback(invoke_without_command=True)(_global_options)
    for module in commands:
        app.command(_command_name(module), cls=PlainCommand, epilog=module.EXAMPLES)(module.command)
    return app


def _command_name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2].replace("_", "-")


def _named_by(arguments: Sequence[str]) -> Sequence[ModuleType]:
    """The subcommand that comes first, else all there are: to make the options of all takes as long as to run one."""
    return [each for each in COMMANDS if _command_name(each) == next(iter(arguments), "")] or COMMANDS


class PlainCommand(TyperCommand):
    """A command whose help is plain text: options under the headings they name, examples as they are written."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, each group under its heading."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
        for heading in sorted(groups, key=lambda each: each == "Options"):
            with formatter.section(heading):
                formatter.write_dl(groups[heading])

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line's parts, arguments without the braces that Typer puts around required ones."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples line by line."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n" if line else "\n")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"onnxctl {__version__}")
        raise typer.Exit


def _global_options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback when something fails.")] = False,
) -> None:
    """Inspect, optimize and run ONNX models."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(EXIT_USAGE)


# ---------------------------------------------------------------- the process


def _prepare_process() -> None:
    """Text that the terminal's encoding lacks is escaped instead of fatal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


# ---------------------------------------------------------------- errors


def _describe(error: BaseException) -> ErrorReport:
    from onnxctl.reports import ErrorReport

    if isinstance(error, OnnxctlError):
        name, message, hint, code = type(error).__name__, error.message, error.hint, error.exit_code
    elif isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        hint = f"see {context.command_path} --help" if context is not None else ""
        name, message, code = "UsageError", " ".join(error.format_message().split()), EXIT_USAGE
    elif isinstance(error, KeyboardInterrupt):
        name, message, hint, code = "Interrupted", "interrupted", "", EXIT_INTERRUPTED
    elif isinstance(error, OSError) and error.errno in _FULL:
        name, message, hint, code = "StorageError", (error.strerror or "no space left").lower(), "", EXIT_MACHINE
    elif isinstance(error, MemoryError):
        name, message, hint, code = "ResourceLimit", "out of memory", "", EXIT_MACHINE
    else:
        last_line = (str(error).strip().splitlines() or [""])[-1]
        name, message, code = "InternalError", f"internal error: {type(error).__name__}: {last_line}", EXIT_BUG
        hint = "this is a bug in onnxctl; please report it with what 'onnxctl --debug ...' shows"
    return ErrorReport(error=name, message=message, hint=hint, exit_code=code)


def _show_error(report: ErrorReport, *, as_json: bool) -> None:
    from onnxctl.commands.output import show_report
    from onnxctl.render.escape import escape

    with contextlib.suppress(OSError):  # nobody may be listening; the exit code still tells
        typer.echo(f"onnxctl: error: {escape(report.message)}", err=True)
        if report.hint:
            typer.echo(f"  hint: {escape(report.hint)}", err=True)
    if as_json:
        with contextlib.suppress(OnnxctlError):  # standard output may be what failed
            show_report(report, "json")


def _show_traceback(error: BaseException) -> None:
    import traceback

    from onnxctl.render.escape import escape_lines

    typer.echo(escape_lines("".join(traceback.format_exception(error))), err=True)


def _options(arguments: Sequence[str]) -> list[str]:
    """The arguments before "--". Errors may come before these are parsed, so two options are looked for by eye."""
    return list(arguments[: arguments.index("--")] if "--" in arguments else arguments)


def _wants_json(arguments: Sequence[str]) -> bool:
    options = _options(arguments)
    return "--json" in options or "--format=json" in options or ("--format", "json") in pairwise(options)
