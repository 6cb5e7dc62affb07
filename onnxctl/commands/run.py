"""`onnxctl run`: how fast a model is here."""

from __future__ import annotations

from typing import Annotated

import typer

from onnxctl.commands.options import Dim, Format, Json, Model, Seed, Timeout, check_positive, chosen_format, parse_dims

EXAMPLES = """
onnxctl run model.onnx
onnxctl run model.onnx --dim batch=8 --provider cuda
onnxctl run model.onnx --threads 1 --runs 200
onnxctl run model.onnx --json | jq '.data.latency.median_ns'
"""

_MEASURING = "Measuring"


def command(
    model: Model,
    provider: Annotated[
        str,
        typer.Option("--provider", metavar="NAME", help="What to run on: cpu, cuda, ...; see 'onnxctl providers'."),
    ] = "cpu",
    dim: Dim = None,
    warmup: Annotated[
        int | None,
        typer.Option("--warmup", metavar="N", min=0, help="Untimed runs first.", rich_help_panel=_MEASURING),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option("--runs", metavar="N", min=1, help="This many timed runs.", rich_help_panel=_MEASURING),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            metavar="SECONDS",
            callback=check_positive,
            help="Timed runs for this long, where --runs is not given.",
            rich_help_panel=_MEASURING,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", metavar="N", min=1, help="Threads within an operator.", rich_help_panel=_MEASURING),
    ] = None,
    inter_threads: Annotated[
        int | None,
        typer.Option(
            "--inter-threads", metavar="N", min=1, help="Threads between operators.", rich_help_panel=_MEASURING
        ),
    ] = None,
    seed: Seed = 0,
    timeout: Timeout = None,
    format: Format = "text",
    json: Json = False,
) -> None:
    """Run a model on generated inputs and measure how fast it is.

    The model runs on exactly the provider asked for, or the command says why it can't. The seed decides the inputs.
    """
    dims = parse_dims(dim)
    from onnxctl import api
    from onnxctl.commands.output import show_report
    from onnxctl.render.progress import StatusLine

    with StatusLine() as status:
        report = api.run(
            model,
            provider=provider,
            dims=dims,
            seed=seed,
            warmup=warmup,
            runs=runs,
            duration_s=duration,
            intra_op_threads=threads,
            inter_op_threads=inter_threads,
            timeout_s=timeout,
            progress=status.tell,
        )
    show_report(report, chosen_format(format, json))
