"""Options that several subcommands share, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from onnxctl.errors import UsageError

if TYPE_CHECKING:
    from onnxctl.reports import GraphOptimization

FormatName = Literal["text", "json", "markdown"]


def check_positive(value: float | None) -> float | None:
    """Option callback: a number that, where given, must be finite and greater than 0."""
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter("must be greater than 0")
    return value


Models = Annotated[
    list[str],
    typer.Argument(metavar="MODEL...", help="The model files; - reads one from standard input.", show_default=False),
]
Format = Annotated[
    FormatName,
    typer.Option("--format", metavar="FORMAT", help="How to print the report: text, json or markdown."),
]
Json = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", callback=check_positive, help="Give up after this time, with exit code 4."
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory", metavar="SIZE", help="Memory a model may use, as 2GB; by default most of what is available."
    ),
]


def option(*names: str, panel: str, help: str, metavar: str = "", **more: Any) -> Any:
    """An option in a panel of the help."""
    return typer.Option(*names, metavar=metavar or None, help=help, rich_help_panel=panel, **more)


def dim_option(panel: str | None = None, *, metavar: str = "NAME=SIZE", more: str = "") -> Any:
    """`--dim`, with what the command does about it besides."""
    text = f"Give an open dimension a size{more}; may be repeated."
    return typer.Option("--dim", metavar=metavar, help=text, rich_help_panel=panel)


def input_option(panel: str | None = None) -> Any:
    """`--input`: where the values of an input come from."""
    text = (
        "An input's values: a .npy, .npz, .pb or raw file, or random:normal, random:uniform:LOW:HIGH, "
        "random:integers:LOW:HIGH, ones, zeros, range, constant:VALUE; may be repeated."
    )
    return typer.Option("--input", metavar="NAME=SOURCE", help=text, rich_help_panel=panel)


def seed_option(panel: str | None = None) -> Any:
    """`--seed`: the same inputs again."""
    return typer.Option("--seed", metavar="N", min=0, help="Seed of the generated inputs.", rich_help_panel=panel)


def tolerance_option(panel: str | None = None) -> Any:
    """`--tolerance`: how far outputs may be apart."""
    text = "The relative difference allowed; by default what rounding in the model explains."
    return typer.Option("--tolerance", metavar="X", min=0, help=text, rich_help_panel=panel)


def comparisons_option(panel: str | None = None) -> Any:
    """`--runs` where runs are compared and not timed."""
    text = "Compare at least so many runs, each on other values."
    return typer.Option("--runs", metavar="N", min=1, help=text, rich_help_panel=panel)


def completion(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell offers for a comma-separated list of these names; they are asked for when it completes only."""

    def complete(incomplete: str) -> list[str]:
        before, comma, begun = incomplete.rpartition(",")
        return [before + comma + name for name in names() if name.startswith(begun)]

    return complete


def graph_optimization_names() -> tuple[str, ...]:
    """The levels that `--graph-optimization` takes."""
    from onnxctl.reports.measurement import GraphOptimization

    return get_args(GraphOptimization)


def provider_names() -> list[str]:
    """The providers that `--provider` takes."""
    from onnxctl.runtime.providers import PROVIDERS

    return [each.name for each in PROVIDERS]


_DIM = re.compile(r"(?P<name>.*\S)\s*=\s*(?P<size>[0-9]+)\s*", re.DOTALL)
_DIM_SERIES = re.compile(r"(?P<name>.*\S)\s*=\s*(?P<sizes>[0-9]+(,[0-9]+)+|[0-9]+:[0-9]+(:[0-9]+)?)\s*", re.DOTALL)
_LARGEST_SIZE = 2**63 - 1
_LONGEST_SERIES = 100


def chosen_format(format: FormatName, json: bool) -> FormatName:
    """The format that `--format` and `--json` together ask for."""
    return "json" if json else format


def parse_max_memory(value: str | None) -> int | None:
    """The bytes that `--max-memory SIZE` names, None where it is not given. Raises UsageError."""
    from onnxctl.memory import parse_bytes

    return None if value is None else parse_bytes("--max-memory", value)


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


def parse_dim_series(values: Sequence[str] | None) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """The sizes given by `--dim`, and the series: NAME=1,8,32, NAME=8:64:8 (the end included) or NAME=1:512.

    Without a step a range is doubled through where it is wide, else taken in about ten equal steps. Raises UsageError
    as `parse_dims` does, and for a series of more than 100 sizes.
    """
    single: list[str] = []
    series: dict[str, tuple[int, ...]] = {}
    for value in values or ():
        found = _DIM_SERIES.fullmatch(value)
        if found is None:
            single.append(value)
            continue
        name = found["name"].strip()
        if name in series:
            raise UsageError(f"--dim {name}: given twice", hint="give it once")
        series[name] = _sizes(value, found["sizes"])
    dims = parse_dims(single)
    if doubled := dims.keys() & series.keys():
        raise UsageError(f"--dim {min(doubled)}: given twice", hint="give it once")
    return dims, series


def _sizes(value: str, text: str) -> tuple[int, ...]:
    if "," in text:
        sizes = [int(each) for each in text.split(",")]
    else:
        start, stop, *step = (int(each) for each in text.split(":"))
        if stop < start or step == [0]:
            raise UsageError(f"--dim {value}: no range", hint="write it like --dim seq=1:512 or --dim seq=64:512:64")
        sizes = list(range(start, stop + 1, step[0])) if step else _spread(start, stop)
    if len(sizes) > _LONGEST_SERIES or max(sizes) > _LARGEST_SIZE:
        hint = f"give at most {_LONGEST_SERIES} sizes, or a range with a larger step"
        raise UsageError(f"--dim {value}: too many or too large", hint=hint)
    return tuple(dict.fromkeys(sizes))


def _spread(start: int, stop: int) -> list[int]:
    """Sizes from start to stop, both included: doubling, or in about ten equal steps."""
    if start and stop >= 8 * start:
        return [start << power for power in range((stop // start).bit_length()) if start << power < stop] + [stop]
    step = max((stop - start) // 10, 1)
    return [*range(start, stop, step), stop]


def parse_operators(values: Sequence[str] | None) -> tuple[tuple[str | None, str], ...]:
    """The operators named: "Conv" of any domain, "com.microsoft:Gelu" (or "com.microsoft.Gelu") of this one."""
    named = []
    for value in values or ():
        domain, separator, op_type = value.rpartition(":" if ":" in value else ".")
        named.append((domain or "ai.onnx" if separator else None, op_type))
    return tuple(named)


def parse_pairs(option: str, values: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """What an option gives as NAME=VALUE, in order. Raises UsageError for another syntax, or a name given twice."""
    pairs: dict[str, str] = {}
    for value in values or ():
        name, separator, text = value.partition("=")
        if not separator or not name.strip() or not text:
            raise UsageError(f"{option} {value}: not NAME=VALUE")
        if pairs.setdefault(name.strip(), text) != text:
            raise UsageError(f"{option} {name}: given twice", hint="give it once")
    return tuple(pairs.items())


def parse_names(value: str | None) -> tuple[str, ...] | None:
    """The names of a comma-separated list, None where there is none."""
    if value is None:
        return None
    return tuple(name for name in (part.strip() for part in value.split(",")) if name)


def parse_graph_optimizations(value: str | None) -> tuple[GraphOptimization, ...]:
    """Levels of onnxruntime's graph optimization, separated by commas. Raises UsageError for another word."""
    from onnxctl.reports.measurement import GraphOptimization

    known: dict[str, GraphOptimization] = {level: level for level in get_args(GraphOptimization)}
    words = parse_names(value) or ()
    for word in words:
        if word not in known:
            raise UsageError(f"--graph-optimization {word}: no such level", hint=f"one of {', '.join(known)}")
    return tuple(dict.fromkeys(known[word] for word in words))
