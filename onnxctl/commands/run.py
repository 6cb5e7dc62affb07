"""`onnxctl run`: how fast a model is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from onnxctl.commands.options import (
    Format,
    Json,
    MaxMemory,
    Models,
    Timeout,
    check_positive,
    chosen_format,
    completion,
    dim_option,
    graph_optimization_names,
    input_option,
    option,
    parse_dim_series,
    parse_graph_optimizations,
    parse_max_memory,
    parse_pairs,
    provider_names,
    seed_option,
)
from onnxctl.errors import UsageError

if TYPE_CHECKING:
    from onnxctl.commands.options import FormatName
    from onnxctl.reports import GraphOptimization, ProviderOption, RunConfig

EXAMPLES = """
onnxctl run model.onnx
onnxctl run model.onnx --dim batch=8 --provider cuda
onnxctl run model.onnx --input x=picture.npy --save-outputs result.npz
onnxctl run model.onnx --verify
onnxctl run model.onnx --profile --trace trace.json
onnxctl run model.onnx optimized.onnx --threads 1,2 --fail-if-slower 3%
onnxctl run model.onnx --threads 1 --assert 'p95 < 20ms'
onnxctl run model.onnx --json | jq '.data.latency.median_ns'
"""

_INPUTS, _WHERE, _MEASURING, _JUDGING = "Inputs and outputs", "What to run on", "Measuring", "Judging"


def parse_percent(option: str, text: str) -> float:
    """What an option gives as "3%" or "0.03", as a share. Raises UsageError; also for 3, which could be either."""
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < (100 if text.endswith("%") else 1):
        raise UsageError(f"{option} {text}: not a percentage", hint="write it like 3% or 0.03")
    return share


def parse_chain(provider: str | None, required: Sequence[str] | None) -> tuple[str, ...]:
    """The providers asked for; where none is, those required, or the CPU."""
    names = provider.split(",") if provider is not None else list(required or ()) or ["cpu"]
    chain = tuple(dict.fromkeys(name.strip() for name in names))
    if not all(chain):
        raise UsageError(f"--provider {provider}: a name is missing")
    return chain


def parse_counts(option: str, text: str | None) -> tuple[int, ...]:
    """Whole numbers from 1 to 9999, separated by commas; none for None. Raises UsageError."""
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 0 < int(part) < 10_000 for part in parts):
        raise UsageError(f"{option} {text}: not a number from 1 to 9999", hint=f"write it like {option} 4, or 1,2,4")
    return tuple(dict.fromkeys(map(int, parts)))


def parse_provider_options(values: Sequence[str] | None) -> tuple[ProviderOption, ...]:
    """What --provider-option gives as NAME.KEY=VALUE, or as KEY=VALUE for the first provider. Raises UsageError."""
    from onnxctl.reports import ProviderOption

    found = []
    for key, value in parse_pairs("--provider-option", values):
        provider, _, name = key.rpartition(".")
        found.append(ProviderOption(provider=provider, name=name, value=value))
    return tuple(found)


def command(
    models: Models,
    input: Annotated[list[str] | None, input_option(_INPUTS)] = None,
    data: Annotated[
        str | None,
        option("--data", panel=_INPUTS, metavar="FOLDER", help="An ONNX test data set to take the inputs from."),
    ] = None,
    dim: Annotated[
        list[str] | None, dim_option(_INPUTS, metavar="NAME=SIZE[,SIZE]", more="; several are compared")
    ] = None,
    seed: Annotated[int, seed_option(_INPUTS)] = 0,
    verify: Annotated[
        bool,
        option(
            "--verify",
            panel=_INPUTS,
            help="Check the outputs against test_data_set_* beside the model, or else against the CPU without graph "
            "optimizations; exit code 1 where they differ.",
        ),
    ] = False,
    save_outputs: Annotated[
        str | None,
        option(
            "--save-outputs",
            panel=_INPUTS,
            metavar="PATH",
            help="Write the outputs to FILE.npz, or with the inputs to a folder as a test data set.",
        ),
    ] = None,
    force: Annotated[
        bool, option("--force", panel=_INPUTS, help="Replace what --save-outputs and --trace find there.")
    ] = False,
    provider: Annotated[
        list[str] | None,
        option(
            "--provider",
            panel=_WHERE,
            metavar="NAME[,NAME]",
            help="What to run on: cpu, cuda, ...; a chain runs each node on the first that takes it; given several "
            "times, they are compared; see 'onnxctl providers'.",
            autocompletion=completion(provider_names),
        ),
    ] = None,
    provider_option: Annotated[
        list[str] | None,
        option(
            "--provider-option",
            panel=_WHERE,
            metavar="[NAME.]KEY=VALUE",
            help="An option of a provider, as cuda.device_id=1; may be repeated.",
        ),
    ] = None,
    provider_library: Annotated[
        list[str] | None,
        option(
            "--provider-library",
            panel=_WHERE,
            metavar="NAME=FILE",
            help="Load a plugin provider; its code runs with your rights.",
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        option(
            "--require",
            panel=_WHERE,
            metavar="NAME",
            help="Fail with exit code 4 where a node that computes is left to the CPU.",
            autocompletion=completion(provider_names),
        ),
    ] = None,
    threads: Annotated[
        str | None,
        option("--threads", panel=_WHERE, metavar="N[,N]", help="Threads within an operator; several are compared."),
    ] = None,
    inter_threads: Annotated[
        int | None, option("--inter-threads", panel=_WHERE, metavar="N", min=1, help="Threads between operators.")
    ] = None,
    graph_optimization: Annotated[
        str,
        option(
            "--graph-optimization",
            panel=_WHERE,
            metavar="LEVEL[,LEVEL]",
            help="How far onnxruntime rewrites the graph: disable, basic, extended, layout or all; several are "
            "compared.",
            autocompletion=completion(graph_optimization_names),
        ),
    ] = "all",
    session_config: Annotated[
        list[str] | None,
        option("--session-config", panel=_WHERE, metavar="KEY=VALUE", help="A session config entry of onnxruntime."),
    ] = None,
    custom_ops: Annotated[
        list[str] | None,
        option(
            "--custom-ops",
            panel=_WHERE,
            metavar="FILE",
            help="Load a library of custom operators; its code runs with your rights.",
        ),
    ] = None,
    warmup: Annotated[
        int | None,
        option("--warmup", panel=_MEASURING, metavar="N", min=0, help="Untimed runs first, more until steady."),
    ] = None,
    runs: Annotated[
        int | None, option("--runs", panel=_MEASURING, metavar="N", min=1, help="Exactly this many timed runs.")
    ] = None,
    precision: Annotated[
        str,
        option(
            "--precision",
            panel=_MEASURING,
            metavar="PERCENT",
            help="Time until the median is known to this; 0 uses the whole duration.",
        ),
    ] = "1%",
    duration: Annotated[
        float | None,
        option(
            "--duration",
            panel=_MEASURING,
            metavar="SECONDS",
            callback=check_positive,
            help="Time no longer than this (3).",
        ),
    ] = None,
    concurrency: Annotated[
        int,
        option("--concurrency", panel=_MEASURING, metavar="N", min=1, max=256, help="Threads that run it at once."),
    ] = 1,
    profile: Annotated[
        bool,
        option("--profile", panel=_MEASURING, help="Tell where the time goes, node by node, and what bounds it."),
    ] = False,
    trace: Annotated[
        str | None,
        option("--trace", panel=_MEASURING, metavar="FILE", help="Write a trace for ui.perfetto.dev, as JSON."),
    ] = None,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
    baseline: Annotated[
        str | None,
        option("--baseline", panel=_JUDGING, metavar="FILE", help="An earlier report (--json) to compare with."),
    ] = None,
    fail_if_slower: Annotated[
        str | None,
        option(
            "--fail-if-slower",
            panel=_JUDGING,
            metavar="PERCENT",
            help="Exit code 1 where the median is slower by more than the baseline's, or of several variants than "
            "the first's.",
        ),
    ] = None,
    assertion: Annotated[
        list[str] | None,
        option(
            "--assert",
            panel=_JUDGING,
            metavar="CONDITION",
            help="Exit code 1 where it does not hold: 'p95 < 20ms', 'throughput > 100/s', 'memory < 1GB'.",
        ),
    ] = None,
    format: Format = "text",
    json: Json = False,
) -> None:
    """Run a model on generated or given inputs and time it.

    The model runs on exactly the providers asked for, or the command says why it can't. The seed decides the inputs.
    Where more than one model, provider, number of threads, level or size is given, all combinations take turns, each
    in a process of its own, and are compared with the first.
    """
    from onnxctl.reports import RunConfig

    dims, series = parse_dim_series(dim)
    chains = [parse_chain(each, require) for each in provider or ()] or [parse_chain(None, require)]
    thread_counts = parse_counts("--threads", threads)
    levels = parse_graph_optimizations(graph_optimization)
    default = RunConfig(path=models[0])
    config = RunConfig(
        path=models[0],
        providers=chains[0],
        provider_options=parse_provider_options(provider_option),
        provider_libraries=parse_pairs("--provider-library", provider_library),
        required_providers=tuple(require or ()),
        dims=tuple(dims.items()),
        seed=seed,
        inputs=parse_pairs("--input", input),
        data_folder=data,
        verify=verify,
        save_outputs=save_outputs,
        force=force,
        warmup_count=default.warmup_count if warmup is None else warmup,
        run_count=runs,
        duration_s=default.duration_s if duration is None else duration,
        precision=parse_percent("--precision", precision),
        concurrency=concurrency,
        intra_op_threads=thread_counts[0] if thread_counts else None,
        inter_op_threads=inter_threads,
        graph_optimization=levels[0],
        session_config=parse_pairs("--session-config", session_config),
        custom_ops=tuple(custom_ops or ()),
        profile=profile,
        trace=trace,
        timeout_s=timeout,
        memory_bytes=parse_max_memory(max_memory),
    )
    allowed = None if fail_if_slower is None else parse_percent("--fail-if-slower", fail_if_slower)
    chosen = chosen_format(format, json)
    if series or any(len(axis) > 1 for axis in (models, chains, thread_counts, levels)):
        _check_alone(config, models, chains, baseline)
        _compare(config, models, chains, thread_counts, levels, series, assertion or (), allowed, chosen)
    else:
        _measure(config, assertion or (), baseline, allowed, chosen)


def _measure(
    config: RunConfig, assertions: Sequence[str], baseline: str | None, allowed: float | None, format: FormatName
) -> None:
    from onnxctl import api
    from onnxctl.commands.output import show_report
    from onnxctl.render.progress import StatusLine

    if allowed is not None and baseline is None:
        raise UsageError("--fail-if-slower needs something to compare with", hint="name a report with --baseline FILE")
    with StatusLine() as status:
        report = api.measure_run(
            config, assertions=assertions, baseline=baseline, fail_if_slower=allowed, progress=status.tell
        )
    show_report(report, format)
    raise typer.Exit(report.exit_code)


def _compare(
    config: RunConfig,
    paths: Sequence[str],
    chains: Sequence[tuple[str, ...]],
    threads: Sequence[int],
    levels: Sequence[GraphOptimization],
    series: Mapping[str, Sequence[int]],
    assertions: Sequence[str],
    allowed: float | None,
    format: FormatName,
) -> None:
    from onnxctl import api
    from onnxctl.commands.output import show_report
    from onnxctl.render.progress import StatusLine

    with StatusLine() as status:
        report = api.measure_variants(
            config,
            paths=paths,
            chains=chains,
            intra_op_threads=threads,
            graph_optimizations=levels,
            dims=series,
            assertions=assertions,
            fail_if_slower=allowed,
            progress=status.tell,
        )
    show_report(report, format)
    raise typer.Exit(report.exit_code)


def _check_alone(
    config: RunConfig, paths: Sequence[str], chains: Sequence[tuple[str, ...]], baseline: str | None
) -> None:
    """Raises UsageError for options that only make sense for one variant."""
    asked = {
        "--baseline": baseline is not None,
        "--profile": config.profile,
        "--trace": config.trace is not None,
        "--save-outputs": config.save_outputs is not None,
        "standard input, given twice,": paths.count("-") > 1,
    }
    for name, given in asked.items():
        if given:
            raise UsageError(f"{name} goes with one model on one provider", hint="run each variant on its own")
    for required in config.required_providers:
        if not any(required.lower() == each.lower() for chain in chains for each in chain):
            raise UsageError(f"--require {required}: no variant asks for it", hint=f"add it: --provider {required}")
