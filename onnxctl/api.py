"""The whole story on one page: each verb, and the rooms it walks through.

Every function takes a path ("-" for standard input) and returns a frozen report of `onnxctl.reports`; every error is
one of `onnxctl.errors`. Rooms are imported when a verb is called, so that importing this module costs next to
nothing.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxctl.child import Child
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.passes.manager import ManagerResult
    from onnxctl.reports import (
        ModelFigures,
        ModelSummary,
        OptimizeConfig,
        OptimizeReport,
        ProvidersReport,
        RunReport,
        Verification,
    )

STANDARD_STREAM = "-"

News = Callable[[str], None]
"""Called with what is being done now, in a few words."""


# ---------------------------------------------------------------- inspect


def inspect(
    path: str, *, nodes: bool = False, weights: bool = False, text: bool = False, dims: Mapping[str, int] | None = None
) -> ModelSummary:
    """What is in a model: its interface, operators, parameters and oddities; weights are not read.

    nodes, weights and text ask for every node, every stored tensor, and the graph in ONNX's text syntax (weights
    elided). dims gives symbolic dimensions a size. Raises UsageError for a symbol the model does not have, ModelError
    for a file that can't be described.
    """
    from onnxctl.analysis.structure import check_structure
    from onnxctl.analysis.summary import summarize
    from onnxctl.model.loading import model_file, open_model

    with model_file(path) as file:
        model = open_model(file)
        findings = check_structure(model)
        summary = summarize(model, nodes=nodes, weights=weights, text=text, dims=dims, findings=findings)
    return dataclasses.replace(summary, path=path)


# ---------------------------------------------------------------- optimize


def optimize(
    path: str,
    output: str | None = None,
    *,
    dims: Mapping[str, int] | None = None,
    passes: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    with_onnxsim: bool = False,
    verify: bool = True,
    seed: int = 0,
    external_data: bool | None = None,
    force: bool = False,
    in_place: bool = False,
    timeout_s: float | None = None,
    progress: News | None = None,
) -> OptimizeReport:
    """Simplify a model, prove that its outputs are the same, and write it to `output`, whole or not at all.

    passes limits the pipeline to those named, skip leaves some out, with_onnxsim lets onnxsim work on the skeleton as
    well. dims freezes symbolic dimensions. external_data: see `model.saving.stage`. force replaces an existing
    output, in_place (without output) the input. Where verification finds a difference nothing is written and the
    report says so.
    """
    from onnxctl.errors import UsageError
    from onnxctl.reports import OptimizeConfig

    target = path if in_place and output is None else output
    if target is None or target == STANDARD_STREAM:
        raise UsageError(
            "there is no output file", hint="name one with -o OUTPUT, or replace the input with --in-place"
        )
    config = OptimizeConfig(
        path=path,
        output=target,
        dims=tuple((dims or {}).items()),
        passes=None if passes is None else tuple(passes),
        skip=tuple(skip),
        with_onnxsim=with_onnxsim,
        verify=verify,
        seed=seed,
        external_data=external_data,
        force=force,
        in_place=in_place,
        timeout_s=timeout_s,
    )
    return _optimize(config, progress or _silent)


def _optimize(config: OptimizeConfig, news: News) -> OptimizeReport:
    from onnxctl.analysis.structure import require_usable
    from onnxctl.analysis.summary import summarize
    from onnxctl.child import Child
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import model_file, open_model
    from onnxctl.model.saving import check_target, saved_bytes, stage
    from onnxctl.reports import OptimizeReport

    started = time.perf_counter_ns()
    with model_file(config.path) as file, Child(preload=("onnx", "onnxruntime")) as child:
        child.start()
        news("reading the model")
        model = open_model(file)
        require_usable(model)
        target = check_target(model, config.output, force=config.force, in_place=config.in_place)
        before = _figures(summarize(model), saved_bytes(model))
        result = _rewrite(ModelGraphs(model), child, config, news)
        after = _figures(summarize(model), saved_bytes(model))
        news("writing the result")
        with stage(model, target, external=config.external_data) as staged:
            verification = _verify(file, staged.path, config, news)
            written = () if verification.status == "different" else staged.commit()
    return OptimizeReport(
        path=config.path,
        output=config.output if written else None,
        files_written=written,
        before=before,
        after=after,
        passes=result.passes,
        refusals=result.refusals,
        verification=verification,
        rounds=result.rounds,
        elapsed_ns=time.perf_counter_ns() - started,
    )


def _rewrite(graphs: ModelGraphs, child: Child, config: OptimizeConfig, news: News) -> ManagerResult:
    """Freeze what is to be frozen and run the passes, with the evaluator and the shape inference handed in."""
    from onnxctl.model.shapes import infer_types
    from onnxctl.passes.base import Context
    from onnxctl.passes.freeze_dimensions import freeze_dimensions
    from onnxctl.passes.manager import optimize_graphs
    from onnxctl.runtime.evaluate import evaluate_in_child

    if config.dims:
        freeze_dimensions(graphs, dict(config.dims))
    news("inferring shapes")
    infer_types(graphs, child)
    context = Context(
        graphs,
        evaluate=lambda model: evaluate_in_child(child, model),
        infer_shapes=lambda changed: infer_types(changed, child),
    )
    news("simplifying")
    return optimize_graphs(graphs, context, passes=config.passes, skip=config.skip)


def _verify(original: str, candidate: str, config: OptimizeConfig, news: News) -> Verification:
    from onnxctl.reports import Verification
    from onnxctl.runtime.compare import compare_in_child

    if not config.verify:
        return Verification(status="skipped", reason="--no-verify")
    news("verifying")
    return compare_in_child(original, candidate, dims=dict(config.dims), seed=config.seed, timeout_s=config.timeout_s)


def _figures(summary: ModelSummary, file_bytes: int) -> ModelFigures:
    from onnxctl.reports import ModelFigures

    return ModelFigures(
        node_count=summary.node_count,
        initializer_count=summary.initializer_count,
        parameter_count=summary.parameter_count,
        file_bytes=file_bytes,
        operators=summary.operators,
    )


def list_passes() -> tuple[tuple[str, str], ...]:
    """The passes in the order they run in: name, and what each does in a line."""
    from onnxctl.passes.pipeline import PIPELINE

    return tuple((each.name, each.summary) for each in PIPELINE)


# ---------------------------------------------------------------- run


def run(
    path: str,
    *,
    provider: str = "cpu",
    dims: Mapping[str, int] | None = None,
    seed: int = 0,
    warmup: int | None = None,
    runs: int | None = None,
    duration_s: float | None = None,
    intra_op_threads: int | None = None,
    inter_op_threads: int | None = None,
    timeout_s: float | None = None,
    progress: News | None = None,
) -> RunReport:
    """Run a model on exactly this execution provider with generated inputs, and time it.

    dims gives symbolic dimensions a size; the same seed gives the same inputs. runs, or else duration_s, says how much
    is timed after `warmup` untimed runs. Raises ProviderUnavailable where the provider can't be used here.
    """
    from onnxctl.analysis.structure import require_usable
    from onnxctl.model.loading import model_file, open_model
    from onnxctl.reports import RunConfig
    from onnxctl.runtime.measure import measure_in_child

    default = RunConfig(path=path)
    with model_file(path) as file:
        require_usable(open_model(file))
        config = RunConfig(
            path=file,
            provider=provider,
            dims=tuple((dims or {}).items()),
            seed=seed,
            warmup_count=default.warmup_count if warmup is None else warmup,
            run_count=runs,
            duration_s=default.duration_s if duration_s is None else duration_s,
            intra_op_threads=intra_op_threads,
            inter_op_threads=inter_op_threads,
            timeout_s=timeout_s,
        )
        return dataclasses.replace(measure_in_child(config, progress=progress or _silent), path=path)


def providers() -> ProvidersReport:
    """The execution providers: which this onnxruntime has, which work here, and how to get the others."""
    from onnxctl.runtime.providers import describe

    return describe()


def _silent(news: str) -> None:
    """Nobody listens."""
