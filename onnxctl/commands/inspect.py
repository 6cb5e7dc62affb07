"""`onnxctl inspect`: what is in a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from onnxctl.commands.options import (
    Format,
    Json,
    Models,
    chosen_format,
    dim_option,
    parse_dim_series,
    parse_operators,
)
from onnxctl.errors import EXIT_NO, UsageError

if TYPE_CHECKING:
    from onnxctl.reports import InspectManyReport, ModelSummary

EXAMPLES = """
onnxctl inspect model.onnx
onnxctl inspect model.onnx --cost --memory --dim batch=1
onnxctl inspect model.onnx --dim seq=1:512
onnxctl inspect model.onnx --nodes --cost --sort macs --top 20
onnxctl inspect model.onnx --node /encoder/layer.0/MatMul
onnxctl inspect a.onnx b.onnx --cost
onnxctl inspect model.onnx --fail-on warning
onnxctl inspect model.onnx --json | jq '.data.inputs'
curl -s https://example.org/model.onnx | onnxctl inspect -
"""

_WHAT, _WHICH = "What to tell", "Which rows"

FailName = Literal["warning", "error"]
SortName = Literal["macs", "flops", "bytes", "params", "name", "order"]


def command(
    models: Models,
    cost: Annotated[
        bool, typer.Option("--cost", help="Count MACs, FLOPs and bytes, by operator.", rich_help_panel=_WHAT)
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="The peak of activation memory, and where.", rich_help_panel=_WHAT)
    ] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="Read the weights: range, zeros, NaN, copies.", rich_help_panel=_WHAT)
    ] = False,
    values: Annotated[
        bool,
        typer.Option("--values/--no-values", help="With --weights: read them, or only list.", rich_help_panel=_WHAT),
    ] = True,
    nodes: Annotated[
        bool, typer.Option("--nodes", help="List the nodes; with --cost, what each costs.", rich_help_panel=_WHAT)
    ] = False,
    node: Annotated[
        str | None,
        typer.Option(
            "--node", metavar="NAME", help="Look at one node, by its name or an output's.", rich_help_panel=_WHAT
        ),
    ] = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Show modules, subgraphs and functions.", rich_help_panel=_WHAT)
    ] = False,
    depth: Annotated[
        int, typer.Option("--depth", metavar="N", min=1, help="With --tree: of modules.", rich_help_panel=_WHAT)
    ] = 3,
    text: Annotated[
        bool,
        typer.Option(
            "--text",
            help="Show the graph itself, in ONNX's text syntax; large weights by their SHA-256.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    full_text: Annotated[
        bool,
        typer.Option(
            "--full-text",
            help="The same with all weights and metadata; sparse tensors are comments.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    findings: Annotated[
        bool,
        typer.Option("--findings", help="Look closer for waste, leftovers and surprises.", rich_help_panel=_WHAT),
    ] = False,
    precision: Annotated[
        bool,
        typer.Option("--precision", help="Types of weights and MACs, quantization, float16.", rich_help_panel=_WHAT),
    ] = False,
    compatibility: Annotated[
        bool,
        typer.Option("--compatibility", help="Versions it needs; operators without a kernel.", rich_help_panel=_WHAT),
    ] = False,
    fail_on: Annotated[
        FailName | None,
        typer.Option(
            "--fail-on",
            metavar="SEVERITY",
            help="With --findings: exit code 1 where there is a warning, or an error; of several models, in any.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    dim: Annotated[list[str] | None, dim_option(more=", or a series of sizes (1:512, 8:64:8 or 1,8,32)")] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option(
            "--op", metavar="OPERATOR", help="Only this operator (Conv, domain:Op); repeatable.", rich_help_panel=_WHICH
        ),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            "--match", metavar="REGEX", help="Only names that match, of nodes or values.", rich_help_panel=_WHICH
        ),
    ] = None,
    sort: Annotated[
        SortName | None,
        typer.Option(
            "--sort", metavar="KEY", help="By macs, flops, bytes, params, name or order.", rich_help_panel=_WHICH
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", min=1, help="The first N rows.", rich_help_panel=_WHICH)
    ] = None,
    format: Format = "text",
    json: Json = False,
) -> None:
    """Show what is in a model: interface, operators, weights, cost.

    Weights are read for --weights, --precision and --text only (and --findings compares those of equal size):
    otherwise a model of many gigabytes takes no longer than its graph. Missing weight files are told and no reason to
    fail. Several models are shown side by side. Findings are those a look at the graph shows; --findings looks for all
    of them, and so does --fail-on.
    """
    dims, sweep = parse_dim_series(dim)
    operators = parse_operators(operator)
    chosen = bool(operators) or any(each is not None for each in (match, sort, top))
    if chosen and not (weights or cost):
        nodes = True
    if nodes and sort in ("macs", "flops", "bytes"):
        cost = True
    from onnxctl import api
    from onnxctl.commands.output import show_report
    from onnxctl.render.progress import StatusLine

    report: ModelSummary | InspectManyReport
    with StatusLine() as status:
        if len(models) > 1:
            judged = precision or compatibility
            if nodes or weights or tree or text or full_text or judged or node is not None or sweep or chosen:
                raise UsageError("several models are compared by their figures", hint="name one model for its details")
            report = api.inspect_many(
                models,
                cost=cost,
                memory=memory,
                findings=findings or fail_on is not None,
                dims=dims,
                progress=status.tell,
            )
        else:
            report = api.inspect(
                models[0],
                nodes=nodes,
                weights=weights,
                values=weights and values,
                text=text or full_text,
                whole_text=full_text,
                cost=cost,
                memory=memory,
                tree=tree,
                depth=depth,
                node=node,
                findings=findings or fail_on is not None,
                precision=precision,
                compatibility=compatibility,
                dims=dims,
                sweep=sweep,
                operators=operators,
                match=match,
                sort=sort,
                top=top,
                progress=status.tell,
            )
    show_report(report, chosen_format(format, json))
    if fail_on is not None:
        looked_at = report.models if report.kind == "inspect_many" else (report,)
        severities = {finding.severity for model in looked_at for finding in model.findings}
        if "error" in severities or fail_on in severities:
            raise typer.Exit(EXIT_NO)
