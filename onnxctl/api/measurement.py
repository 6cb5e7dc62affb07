"""`run` and `providers`: how fast a model is here, and on what it could run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from onnxctl.api.progress import News, silent

if TYPE_CHECKING:
    from onnxctl.child import Answer, Blob, Progress, Talk
    from onnxctl.model.loading import Model
    from onnxctl.reports import JSON, GraphOptimization, ProvidersReport, RunConfig, RunManyReport, RunReport


def run(
    path: str,
    *,
    provider: str = "cpu",
    dims: Mapping[str, int] | None = None,
    seed: int = 0,
    inputs: Mapping[str, str] | None = None,
    data: str | None = None,
    verify: bool = False,
    profile: bool = False,
    save_outputs: str | None = None,
    force: bool = False,
    warmup: int | None = None,
    runs: int | None = None,
    duration_s: float | None = None,
    precision: float | None = None,
    concurrency: int = 1,
    intra_op_threads: int | None = None,
    inter_op_threads: int | None = None,
    graph_optimization: GraphOptimization = "all",
    session_config: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    memory_bytes: int | None = None,
    progress: News | None = None,
) -> RunReport:
    """Run a model on exactly these execution providers ("cuda", "cuda,cpu"), and time it.

    Inputs are generated, the same seed giving the same ones, unless `inputs` names a file or a way to make them
    ("random:normal") by input, or `data` an ONNX test data set. dims gives symbolic dimensions a size. verify holds the
    outputs against test data, or else against the CPU without graph optimizations; profile tells where the time goes.
    runs, or else duration_s and precision, say how much is timed after `warmup` untimed runs. timeout_s and
    memory_bytes bound the process that runs the model. Raises ProviderUnavailable where a provider can't be used here.
    """
    from onnxctl.reports import RunConfig

    default = RunConfig(path=path)
    config = RunConfig(
        path=path,
        providers=tuple(each.strip() for each in provider.split(",")),
        dims=tuple((dims or {}).items()),
        seed=seed,
        inputs=tuple((inputs or {}).items()),
        data_folder=data,
        verify=verify,
        profile=profile,
        save_outputs=save_outputs,
        force=force,
        warmup_count=default.warmup_count if warmup is None else warmup,
        run_count=runs,
        duration_s=default.duration_s if duration_s is None else duration_s,
        precision=default.precision if precision is None else precision,
        concurrency=concurrency,
        intra_op_threads=intra_op_threads,
        inter_op_threads=inter_op_threads,
        graph_optimization=graph_optimization,
        session_config=tuple((session_config or {}).items()),
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
    )
    return measure_run(config, progress=progress)


def measure_run(
    config: RunConfig,
    *,
    assertions: Sequence[str] = (),
    baseline: str | None = None,
    fail_if_slower: float | None = None,
    progress: News | None = None,
) -> RunReport:
    """Run a model as the config says; judge the figures by assertions ("p95 < 20ms") and by an earlier report."""
    from onnxctl.model.loading import model_file
    from onnxctl.runtime.judging import judge_run, parse_condition, read_baseline
    from onnxctl.runtime.measure import measure_in_child, require_all
    from onnxctl.runtime.profiling import check_trace

    check_trace(config)
    conditions = [parse_condition(text) for text in assertions]
    earlier = read_baseline(baseline) if baseline is not None else None
    news = progress or silent
    with model_file(config.path) as file:
        here = dataclasses.replace(config, path=file)
        report = measure_in_child(here, target="onnxctl.api.measurement:measure_usable", progress=news)
        if config.profile or config.trace or report.nodes_on_cpu:
            report = _explained(report, here, news)
    require_all(config, report.session_providers, report.placement, report.nodes_on_cpu)
    return judge_run(dataclasses.replace(report, path=config.path), conditions, earlier, fail_if_slower)


def measure_variants(
    config: RunConfig,
    *,
    paths: Sequence[str] = (),
    chains: Sequence[tuple[str, ...]] = (),
    intra_op_threads: Sequence[int] = (),
    graph_optimizations: Sequence[GraphOptimization] = (),
    dims: Mapping[str, Sequence[int]] | None = None,
    assertions: Sequence[str] = (),
    fail_if_slower: float | None = None,
    progress: News | None = None,
) -> RunManyReport:
    """Run every combination of what varies against each other, each in a process of its own, in random turns.

    What is left empty is as the config says. The first combination is what the others are compared with;
    fail_if_slower is the share by which one may be slower than that.
    """
    from onnxctl.model.loading import model_file
    from onnxctl.runtime.contest import run_contest
    from onnxctl.runtime.judging import judge_variants, parse_condition
    from onnxctl.runtime.variants import Axes, expand

    conditions = [parse_condition(text) for text in assertions]
    axes = Axes(
        paths=paths,
        chains=chains,
        intra_op_threads=intra_op_threads,
        graph_optimizations=graph_optimizations,
        dims=dims or {},
    )
    variants = expand(config, axes)
    with contextlib.ExitStack() as stack:
        files = {path: stack.enter_context(model_file(path)) for path in {each.config.path for each in variants}}
        report = run_contest(
            [dataclasses.replace(each, config=_at(each.config, files)) for each in variants],
            target="onnxctl.api.measurement:take_part_usable",
            seed=config.seed,
            progress=progress or silent,
        )
    named = tuple(
        dataclasses.replace(each, path=variant.config.path)
        for each, variant in zip(report.variants, variants, strict=True)
    )
    return judge_variants(dataclasses.replace(report, variants=named), conditions, fail_if_slower)


def _at(config: RunConfig, files: Mapping[str, str]) -> RunConfig:
    return dataclasses.replace(config, path=files[config.path])


def _explained(report: RunReport, config: RunConfig, news: News) -> RunReport:
    """The report with where the time went: why nodes were left to the CPU, and if asked for the profile."""
    from onnxctl.analysis.cost.counting import count_cost
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import open_model
    from onnxctl.model.propagation import propagate
    from onnxctl.model.shapes import state_input_shapes
    from onnxctl.runtime.explaining import explain_profile
    from onnxctl.runtime.profiling import profile_in_child

    record = profile_in_child(config, median_ns=report.latency.median_ns, calibrate=config.profile, progress=news)
    shares = dict(record.time_shares)
    report = dataclasses.replace(
        report,
        placement=tuple(
            dataclasses.replace(each, time_share=shares.get(each.provider, 0.0)) for each in report.placement
        ),
        nodes_on_cpu=record.nodes_on_cpu,
        device_copy_count=record.copy_count,
        files_written=(*report.files_written, *record.files_written),
    )
    if not config.profile:
        return report
    model = open_model(config.path)
    state_input_shapes(model, {each.name: each.shape for each in report.inputs if each.shape is not None})
    dims = dict(report.dims)
    costs = count_cost(propagate(ModelGraphs(model), dims=dims, smallest_dimension=1), dims, nodes=True).nodes
    return dataclasses.replace(report, profile=explain_profile(record, costs or (), report.latency.median_ns))


def providers() -> ProvidersReport:
    """The execution providers: which this onnxruntime has, which work here, and how to get the others."""
    from onnxctl.runtime.providers import describe

    return describe()


# ---------------------------------------------------------------- in a child process


def measure_usable(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: `runtime.measure.measure`, of a model that can be run."""
    from onnxctl.runtime.measure import measure

    return measure(request, blobs, progress, check=_check_of(request))


def take_part_usable(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Talk:
    """Child target: `runtime.turns.take_part`, of a model that can be run."""
    from onnxctl.runtime.turns import take_part

    return take_part(request, blobs, progress, check=_check_of(request))


def _check_of(request: JSON) -> Callable[[Model], object]:
    from onnxctl.analysis.structure import require_usable

    return functools.partial(require_usable, custom_operators=bool(request["config"]["custom_ops"]))
