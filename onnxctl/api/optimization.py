"""`optimize`: a simpler model that gives the same answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnxctl.api.progress import News, silent

if TYPE_CHECKING:
    from onnxctl.child import Child
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.passes.manager import ManagerResult
    from onnxctl.reports import (
        ModelFigures,
        ModelSummary,
        OptimizeConfig,
        OptimizeReport,
        Verification,
    )

STANDARD_STREAM = "-"


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
    return _optimize(config, progress or silent)


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
