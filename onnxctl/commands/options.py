"""Options that several subcommands share, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from onnxctl.errors import UsageError

FormatName = Literal["text", "json", "markdown"]


def check_positive(value: float | None) -> float | None:
    """Option callback: a number that, where given, must be finite and greater than 0."""
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter("must be greater than 0")
    return value


Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model file; - reads it from standard input.")]
Format = Annotated[
    FormatName,
    typer.Option("--format", metavar="FORMAT", help="How to print the report: text, json or markdown."),
]
Json = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
Dim = Annotated[
    list[str] | None,
    typer.Option("--dim", metavar="NAME=SIZE", help="Give a symbolic dimension a size; may be repeated."),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", callback=check_positive, help="Give up after this time, with exit code 4."
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the generated inputs.", min=0)]
_DIM = re.compile(r"(?P<name>.*\S)\s*=\s*(?P<size>[0-9]+)\s*", re.DOTALL)
_LARGEST_SIZE = 2**63 - 1


def chosen_format(format: FormatName, json: bool) -> FormatName:
    """The format that `--format` and `--json` together ask for."""
    return "json" if json else format


def parse_dims(values: Sequence[str] | None) -> dict[str, int]:
    """The sizes given by `--dim NAME=SIZE`. Raises UsageError for another syntax, or two sizes for one name."""
    sizes: dict[str, int] = {}
    for value in values or ():
        found = _DIM.fullmatch(value)
        if found is None or int(found["size"]) > _LARGEST_SIZE:
            raise UsageError(f"--dim {value}: not NAME=SIZE with a whole number", hint="write it like --dim batch=8")
        name, size = found["name"].strip(), int(found["size"])
        if sizes.setdefault(name, size) != size:
            raise UsageError(f"--dim {name}: given twice, as {sizes[name]} and as {size}", hint="give it once")
    return sizes


def parse_names(value: str | None) -> tuple[str, ...] | None:
    """The names of a comma-separated list, None where there is none."""
    if value is None:
        return None
    return tuple(name for name in (part.strip() for part in value.split(",")) if name)
