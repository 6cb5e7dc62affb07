"""`onnxctl bisect`: where two models begin to differ."""

from __future__ import annotations

from typing import Annotated

import typer

from onnxctl.commands.options import (
    Format,
    Json,
    MaxMemory,
    Timeout,
    chosen_format,
    completion,
    dim_option,
    graph_optimization_names,
    input_option,
    parse_dims,
    parse_graph_optimizations,
    parse_max_memory,
    parse_pairs,
    provider_names,
    seed_option,
    tolerance_option,
)
from onnxctl.errors import EXIT_NO

EXAMPLES = """
onnxctl bisect model.onnx smaller.onnx
onnxctl bisect model.onnx --provider cpu --provider openvino --write example/
onnxctl bisect model.onnx --graph-optimization disable,all --tolerance 1e-4
onnxctl run example/model.onnx --verify
"""


def command(
    before: Annotated[str, typer.Argument(metavar="A", help="The one model; - reads it from standard input.")],
    after: Annotated[str | None, typer.Argument(metavar="[B]", help="The other model.", show_default=False)] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            "--provider",
            metavar="NAME",
            help="What to run on; twice, to hold two against each other.",
            autocompletion=completion(provider_names),
        ),
    ] = None,
    graph_optimization: Annotated[
        str | None,
        typer.Option(
            "--graph-optimization",
            metavar="LEVEL[,LEVEL]",
            help="How far onnxruntime rewrites the graph: disable, basic, extended, layout or all; two are compared.",
            autocompletion=completion(graph_optimization_names),
        ),
    ] = None,
    tolerance: Annotated[float | None, tolerance_option()] = None,
    dim: Annotated[list[str] | None, dim_option()] = None,
    input: Annotated[list[str] | None, input_option()] = None,
    seed: Annotated[int, seed_option()] = 0,
    write: Annotated[
        str | None,
        typer.Option("--write", metavar="DIR", help="Write the smallest model that shows it, with its data."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace DIR where it exists.")] = False,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
    format: Format = "text",
    json: Json = False,
) -> None:
    """Find the first value that two models or providers disagree on.

    Both run on the same inputs. Where outputs differ, the graph is halved again and again, and only the values that
    cross a cut are compared. Exit code 0: they agree; 1: they don't.
    """
    dims, inputs = parse_dims(dim), parse_pairs("--input", input)
    levels = parse_graph_optimizations(graph_optimization)
    memory_bytes = parse_max_memory(max_memory)
    from onnxctl import api
    from onnxctl.commands.output import show_report
    from onnxctl.render.progress import StatusLine

    with StatusLine() as status:
        report = api.bisect(
            before,
            after,
            providers=provider or (),
            graph_optimizations=levels,
            dims=dims,
            seed=seed,
            inputs=inputs,
            tolerance=tolerance,
            write=write,
            force=force,
            timeout_s=timeout,
            memory_bytes=memory_bytes,
            progress=status.tell,
        )
    show_report(report, chosen_format(format, json))
    if report.verdict != "same":
        raise typer.Exit(EXIT_NO)
