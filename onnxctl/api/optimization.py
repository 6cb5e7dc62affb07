"""`optimize`: a simpler model that gives the same answers."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from onnxctl.api.progress import News, silent

if TYPE_CHECKING:
    from onnxctl.api.proof import Proven
    from onnxctl.api.workshop import Plan, Workshop
    from onnxctl.child import Child
    from onnxctl.model.loading import Model
    from onnxctl.model.saving import Target
    from onnxctl.passes.base import Pass
    from onnxctl.reports import Finding, Level, ModelFigures, OptimizeConfig, OptimizeReport, SpeedComparison

STANDARD_STREAM = "-"


def optimize(
    path: str,
    output: str | None = None,
    *,
    dims: Mapping[str, int] | None = None,
    level: Level = "default",
    passes: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    with_onnxsim: bool = False,
    inline_functions: bool = False,
    verify: bool = True,
    require_verified: bool = False,
    run_count: int | None = None,
    inputs: Mapping[str, str] | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    measure: bool = False,
    require_faster: bool = False,
    external_data: bool | None = None,
    force: bool = False,
    in_place: bool = False,
    dry_run: bool = False,
    explain: bool = False,
    timeout_s: float | None = None,
    memory_bytes: int | None = None,
    progress: News | None = None,
) -> OptimizeReport:
    """Simplify a model, prove that its outputs are the same, and write it to `output`, whole or not at all.

    level "safe" makes bit-exact rewrites only; "max" also those that slow some runtimes down, and it lets onnxsim work
    on the skeleton as well, as with_onnxsim does. inline_functions first puts the bodies of the model's own functions
    in place of all their calls, however large that makes it; without it only what is called once is inlined.
    passes limits the pipeline to those named, skip leaves some out. dims freezes symbolic dimensions. A pass that
    makes a wrong result is found, left out and named in the findings; where that can't be done nothing is written and
    the report says so.

    inputs are files (or ways to make values) by input name, for the proof; tolerance replaces the one that fits the
    model; run_count is how many runs are compared; with require_verified nothing is written where there is no proof.
    measure compares the latencies before and after. external_data: see `model.saving.stage`. force replaces an existing
    output, in_place (without output) the input, dry_run does everything but writing. explain keeps the names of all
    nodes that were left alone. timeout_s bounds a comparison, memory_bytes each process that works on the model; what
    needs more is not verified.
    """
    from onnxctl.reports import OptimizeConfig

    config = OptimizeConfig(
        path=path,
        output=output,
        dims=tuple((dims or {}).items()),
        level=level,
        passes=None if passes is None else tuple(passes),
        skip=tuple(skip),
        with_onnxsim=with_onnxsim,
        inline_functions=inline_functions,
        verify=verify,
        require_verified=require_verified,
        run_count=run_count,
        inputs=tuple((inputs or {}).items()),
        tolerance=tolerance,
        seed=seed,
        measure=measure or require_faster,
        require_faster=require_faster,
        external_data=external_data,
        force=force,
        in_place=in_place,
        dry_run=dry_run,
        explain=explain,
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
    )
    return optimize_as(config, progress=progress)


def optimize_as(
    config: OptimizeConfig, *, pipeline: Sequence[Pass] | None = None, progress: News | None = None
) -> OptimizeReport:
    """`optimize` as the config says, by the passes of the pipeline (None: `passes.pipeline.PIPELINE`)."""
    from onnxctl.memory import usual_memory_bytes
    from onnxctl.runtime.children import child_for_constants, child_for_models

    if config.memory_bytes is None:
        config = dataclasses.replace(config, memory_bytes=usual_memory_bytes())
    with (child_for_models if config.verify else child_for_constants)(config.memory_bytes) as working:
        working.start()  # it imports while we do
        return _optimize(config, working, pipeline, progress or silent)


def _optimize(config: OptimizeConfig, working: Child, pipeline: Sequence[Pass] | None, news: News) -> OptimizeReport:
    from onnxctl.analysis.figures import figures_of
    from onnxctl.analysis.structure import require_usable
    from onnxctl.api.proof import prove
    from onnxctl.api.workshop import Children, Stopwatch, Workshop
    from onnxctl.model.loading import model_file
    from onnxctl.passes.pipeline import PIPELINE

    watch = Stopwatch()
    with model_file(config.path) as file, _comparing_child(config, working) as comparing:
        children = Children(working, comparing)
        shop = Workshop(file, config, PIPELINE if pipeline is None else pipeline, children, watch, news)
        news("reading the model")
        with watch.stage("reading"):
            model = shop.open()
            require_usable(model, for_running=False)
            before = figures_of(model)
            data_paths = [os.path.join(os.path.dirname(config.path), each.location) for each in model.data_files]
            obstacle = shop.foresee_obstacle(model) if config.verify else ""
        with _target(model, config) as target:
            proven = prove(shop, _plan(config), target, obstacle)
            with proven.staged:
                report = _report(shop, proven, before, _measured(shop, proven))
    return dataclasses.replace(report, findings=(*report.findings, *_left_behind(report, data_paths)))


def _comparing_child(config: OptimizeConfig, working: Child) -> contextlib.AbstractContextManager[Child]:
    """The process that models are compared in: the one that folds, which is there, unless onnxsim was in that."""
    if not _plan(config).with_onnxsim:
        return contextlib.nullcontext(working)
    from onnxctl.runtime.children import child_for_models

    return child_for_models(config.memory_bytes)


@contextlib.contextmanager
def _target(model: Model, config: OptimizeConfig) -> Iterator[Target]:
    """Where the result is written: for a dry run into a temporary folder, though what was named is checked as well."""
    from onnxctl.errors import UsageError
    from onnxctl.model.saving import Target, check_target

    output = config.path if config.in_place and config.output is None else config.output
    if output == STANDARD_STREAM or (output is None and not config.dry_run):
        what = "the result can't go to a standard stream" if output == STANDARD_STREAM else "there is no output file"
        raise UsageError(what, hint="name a file with -o OUTPUT")
    target = None if output is None else check_target(model, output, force=config.force, in_place=config.in_place)
    if target is not None and not config.dry_run:
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="onnxctl-") as folder:
        yield Target(os.path.join(folder, "model.onnx"), 0o600)


def _plan(config: OptimizeConfig) -> Plan:
    from onnxctl.api.workshop import Plan

    return Plan(
        passes="exact" if config.level == "safe" else "all", with_onnxsim=config.with_onnxsim or config.level == "max"
    )


def _measured(shop: Workshop, proven: Proven) -> SpeedComparison | Finding | None:
    """The latencies before and after, where somebody wants to know and the result is right; or why there are none."""
    config = shop.config
    if not config.measure or proven.verification.status == "different":
        return None
    from onnxctl.errors import MachineError, ModelError
    from onnxctl.reports import Finding
    from onnxctl.runtime.speed import compare_speed_in_child

    shop.news("measuring before and after")
    try:
        with shop.watch.stage("measuring"):
            return compare_speed_in_child(
                shop.file,
                proven.staged.path,
                dims=dict(config.dims),
                seed=config.seed,
                inputs=config.inputs,
                timeout_s=config.timeout_s,
                memory_bytes=config.memory_bytes,
                progress=shop.news,
            )
    except (ModelError, MachineError) as error:
        message = f"the speed could not be measured: {error.message}"
        return Finding(code="not-measured", severity="warning", message=message, hint=error.hint)


def _report(
    shop: Workshop, proven: Proven, before: ModelFigures, measured: SpeedComparison | Finding | None
) -> OptimizeReport:
    """The report; the result is published on the way where nothing speaks against it."""
    from onnxctl.analysis.figures import figures_of
    from onnxctl.reports import Finding, OptimizeReport

    speed = None if isinstance(measured, Finding) else measured
    config, result = shop.config, proven.rewritten.result
    after = figures_of(proven.rewritten.model, proven.staged.file_bytes)
    written: tuple[str, ...] = ()
    status: Literal["written", "dry run", "different", "not verified", "not faster"] = "written"
    if proven.verification.status == "different":
        status = "different"
    elif config.require_verified and proven.verification.status != "equal":
        status = "not verified"
    elif config.require_faster and (speed is None or speed.ratio.verdict != "faster"):
        status = "not faster"
    elif config.dry_run:
        status = "dry run"
    else:
        with shop.watch.stage("writing"):
            written = proven.staged.commit()
    return OptimizeReport(
        path=config.path,
        output=written[0] if written else None,
        status=status,
        level=config.level,
        files_written=written,
        before=before,
        after=after,
        passes=result.passes,
        refusals=result.refusals,
        verification=proven.verification,
        speed=speed,
        rounds=result.rounds,
        stages=shop.watch.stages,
        elapsed_ns=shop.watch.elapsed_ns,
        dims=config.dims,
        findings=(*proven.findings, measured) if isinstance(measured, Finding) else proven.findings,
    )


def _left_behind(report: OptimizeReport, data_paths: Sequence[str]) -> list[Finding]:
    """The data files that the replaced model had, where nobody can tell whether other models read them too."""
    from onnxctl.reports import Finding

    if report.output is None or os.path.realpath(report.output) != os.path.realpath(report.path):
        return []
    return [
        Finding(
            code="data-left-behind",
            severity="info",
            message=f"the model no longer reads {path}, which other models may",
            hint="delete the file if none does",
        )
        for path in data_paths
        if path not in report.files_written and os.path.exists(path)
    ]


def list_passes() -> tuple[tuple[str, str], ...]:
    """The passes in the order they run in: name, and what each does in a line."""
    from onnxctl.passes.pipeline import PIPELINE

    return tuple(dict.fromkeys((each.name, each.summary) for each in PIPELINE))
