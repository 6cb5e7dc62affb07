"""`inspect`: what is in a model, and `inspect_many`: several side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnxctl.api.progress import News, silent

if TYPE_CHECKING:
    from onnxctl.model.loading import Model
    from onnxctl.reports import InspectConfig, InspectManyReport, InstalledKernels, ModelSummary, SortKey


def inspect(
    path: str,
    *,
    nodes: bool = False,
    weights: bool = False,
    values: bool = False,
    text: bool = False,
    whole_text: bool = False,
    cost: bool = False,
    memory: bool = False,
    tree: bool = False,
    depth: int = 3,
    node: str | None = None,
    findings: bool = False,
    precision: bool = False,
    compatibility: bool = False,
    dims: Mapping[str, int] | None = None,
    sweep: Mapping[str, Sequence[int]] | None = None,
    operators: Sequence[tuple[str | None, str]] = (),
    match: str | None = None,
    sort: SortKey | None = None,
    top: int | None = None,
    progress: News | None = None,
) -> ModelSummary:
    """What is in a model: its interface, operators, parameters and oddities; weights are read for `values` only.

    nodes and weights ask for every node and every stored tensor, values for the statistics of the latter, text for the
    graph in ONNX's text syntax (weights elided, but for whole_text), tree for modules, subgraphs and functions, node
    for one node, by its name or that of an output. cost counts operations and bytes, memory the peak of activations;
    dims gives symbolic dimensions a size, sweep a series of sizes. operators (domain, or None for any, and type), match
    (a regular expression), sort and top choose what the lists hold. findings looks closer for what is worth telling,
    precision at the types it stores and computes in, compatibility at the versions and kernels it needs.

    Raises UsageError for a symbol, a node or an operator that the model does not have, ModelError for a file that
    can't be described.
    """
    from onnxctl.reports import InspectConfig

    config = InspectConfig(
        nodes=nodes,
        weights=weights or values,
        values=values,
        text=text,
        whole_text=whole_text,
        cost=cost,
        memory=memory,
        tree=tree,
        depth=depth,
        node=node,
        findings=findings,
        precision=precision,
        compatibility=compatibility,
        dims=tuple((dims or {}).items()),
        sweep=tuple((name, tuple(sizes)) for name, sizes in (sweep or {}).items()),
        operators=tuple(operators),
        match=match,
        sort=sort,
        top=top,
    )
    return _inspect(path, config, progress or silent)


def inspect_many(
    paths: Sequence[str],
    *,
    cost: bool = False,
    memory: bool = False,
    findings: bool = False,
    dims: Mapping[str, int] | None = None,
    progress: News | None = None,
) -> InspectManyReport:
    """Several models side by side; of dims, each model is given those that it has. findings looks closer for these.

    Raises as `inspect` does, for the first that can't be described, and UsageError for a symbol that none of them has.
    """
    from onnxctl.errors import UsageError
    from onnxctl.reports import InspectConfig, InspectManyReport

    news = progress or silent
    summaries = []
    unused = dict(dims or {})
    for path in paths:
        news(f"looking at {path}")
        mine = {name: size for name, size in (dims or {}).items() if name in _symbols(path)} if dims else {}
        unused = {name: size for name, size in unused.items() if name not in mine}
        config = InspectConfig(cost=cost, memory=memory, findings=findings, dims=tuple(mine.items()))
        summaries.append(_inspect(path, config, silent))
    if unused:
        raise UsageError(f"none of the models has a symbolic dimension {next(iter(unused))!r}")
    return InspectManyReport(models=tuple(summaries))


def _symbols(path: str) -> list[str]:
    from onnxctl.analysis.types import symbols
    from onnxctl.model.loading import model_file, open_model

    with model_file(path) as file:
        return symbols(open_model(file).proto.graph)


# ---------------------------------------------------------------- one model


def _inspect(path: str, config: InspectConfig, news: News) -> ModelSummary:
    from onnxctl.analysis.scopes import walk_scopes
    from onnxctl.analysis.structure import check_structure
    from onnxctl.analysis.summary import summarize
    from onnxctl.model.loading import model_file, open_model

    with model_file(path) as file:
        model = open_model(file)
        scopes = list(walk_scopes(model.proto))
        findings = check_structure(model, scopes)
        dims = dict(config.dims)
        summary = summarize(
            model,
            nodes=config.nodes,
            weights=config.weights,
            text=config.text,
            whole_text=config.whole_text,
            dims=dims,
            findings=findings,
            scopes=scopes,
        )
        if config.weights or config.nodes:
            summary = _choose(model, summary, config, news)
        if config.cost or config.memory or config.sweep or config.tree or config.node is not None:
            summary = _look_closer(model, summary, config, news)
        if config.findings or config.precision or config.compatibility:
            summary = _judge(model, summary, config, news)
    return dataclasses.replace(summary, path=path)


def _choose(model: Model, summary: ModelSummary, config: InspectConfig, news: News) -> ModelSummary:
    """Keep of the lists what was asked for, and read the values of the weights that are left."""
    from onnxctl.analysis.contents import read_weights
    from onnxctl.analysis.selection import Selection
    from onnxctl.analysis.weights import weights_of
    from onnxctl.model.graph import ModelGraphs

    selection = Selection(config)
    stored = list(weights_of(model))
    selection.check_operators(summary.operators)
    if summary.nodes is not None:
        sizes = {weight.name: weight.element_count for weight in stored}
        summary = dataclasses.replace(summary, nodes=selection.nodes(summary.nodes, sizes))
    if summary.weights is not None:
        of = {id(info): weight for info, weight in zip(summary.weights, stored, strict=True)}
        chosen = selection.weights(summary.weights, ModelGraphs(model))
        if config.values:
            chosen = read_weights(model, [(of[id(info)], info) for info in chosen], news)
        summary = dataclasses.replace(summary, weights=chosen)
    return summary


def _look_closer(model: Model, summary: ModelSummary, config: InspectConfig, news: News) -> ModelSummary:
    """Add what needs the shapes of values in between."""
    from onnxctl.analysis.cost.counting import count_cost
    from onnxctl.analysis.detail import describe_node
    from onnxctl.analysis.memory import count_memory
    from onnxctl.analysis.selection import Selection
    from onnxctl.analysis.sweep import sweep_sizes
    from onnxctl.analysis.tree import scope_tree
    from onnxctl.analysis.types import refuse_unknown_symbols
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.propagation import propagate

    dims, sweep = dict(config.dims), dict(config.sweep)
    refuse_unknown_symbols(model.proto.graph, {name: min(sizes) for name, sizes in config.sweep})
    news("propagating shapes")
    graphs = ModelGraphs(model)
    stated = propagate(graphs, smallest_dimension=1)
    found = propagate(graphs, dims=dims, smallest_dimension=1) if dims else stated
    more = summary
    if config.cost:
        cost = count_cost(found, dims, nodes=config.nodes)
        selection = Selection(config)
        selection.check_operators(summary.operators)
        operators, nodes = selection.cost(cost)
        more = dataclasses.replace(more, cost=dataclasses.replace(cost, operators=operators, nodes=nodes))
    if config.memory:
        more = dataclasses.replace(more, memory=count_memory(found, dims, stated=stated))
    if config.sweep:
        more = dataclasses.replace(more, sweep=sweep_sizes(graphs, dims, sweep, stated=stated, tell=news))
    if config.tree:
        more = dataclasses.replace(more, tree=scope_tree(graphs, found, depth=config.depth))
    if config.node is not None:
        more = dataclasses.replace(more, node=describe_node(graphs, found, config.node))
    return more


def _judge(model: Model, summary: ModelSummary, config: InspectConfig, news: News) -> ModelSummary:
    """Add what is said about the model's quality: findings, precision, compatibility."""
    from onnxctl.analysis.compatibility import check_compatibility
    from onnxctl.analysis.findings import look_closer, worst_first
    from onnxctl.analysis.precision import look_at_precision
    from onnxctl.analysis.runtime_versions import version_findings
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.propagation import propagate
    from onnxctl.runtime.library import installed_version

    news("propagating shapes")
    graphs = ModelGraphs(model)
    found = propagate(graphs, dims=dict(config.dims), smallest_dimension=1)
    if config.findings:
        versions = tuple(version_findings(model.proto, installed_version()))
        findings = worst_first((*summary.findings, *versions, *look_closer(graphs, found)))
        summary = dataclasses.replace(summary, findings=findings, looked_closer=True)
    if config.precision:
        summary = dataclasses.replace(summary, precision=look_at_precision(graphs, found, news))
    if config.compatibility:
        news("asking onnxruntime for its kernels")
        compatibility = check_compatibility(graphs, found, _installed_kernels())
        summary = dataclasses.replace(summary, compatibility=compatibility)
    return summary


def _installed_kernels() -> InstalledKernels | None:
    """The kernels of the onnxruntime here, None where there is none that can be imported."""
    from onnxctl.child import Child
    from onnxctl.errors import MissingPackage
    from onnxctl.runtime.kernels import list_kernels

    with Child(preload=("onnxruntime",)) as child:
        try:
            return list_kernels(child)
        except MissingPackage:
            return None
