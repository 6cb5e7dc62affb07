"""`onnxctl inspect`: what is in a model."""

from __future__ import annotations

from typing import Annotated

import typer

from onnxctl.commands.options import Dim, Format, Json, Model, chosen_format, parse_dims

EXAMPLES = """
onnxctl inspect model.onnx
onnxctl inspect model.onnx --dim batch=1 --nodes
onnxctl inspect model.onnx --json | jq '.data.inputs'
curl -s https://example.org/model.onnx | onnxctl inspect -
"""


def command(
    model: Model,
    nodes: Annotated[bool, typer.Option("--nodes", help="List every node.", rich_help_panel="Detail")] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="List every stored tensor.", rich_help_panel="Detail")
    ] = False,
    text: Annotated[
        bool,
        typer.Option(
            "--text",
            help="Show the graph itself, in ONNX's text syntax; large weights are left out.",
            rich_help_panel="Detail",
        ),
    ] = False,
    dim: Dim = None,
    format: Format = "text",
    json: Json = False,
) -> None:
    """Show what is in a model: interface, operators, weights.

    Weights are never read: a model of many gigabytes takes no longer than its graph, and the summary also works where
    weight files are missing.
    """
    dims = parse_dims(dim)
    from onnxctl import api
    from onnxctl.commands.output import show_report

    show_report(api.inspect(model, nodes=nodes, weights=weights, text=text, dims=dims), chosen_format(format, json))
