"""One measurement, in a child process of its own: the model is opened, fed, run and timed there."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import ChildCrashed, ProviderUnavailable, ResourceLimit, UsageError
from onnxctl.memory import usual_memory_bytes
from onnxctl.reports import (
    JSON,
    DevicePhases,
    Finding,
    NodeOnCpu,
    NodePlacement,
    ProviderOption,
    RunConfig,
    RunReport,
    decode,
    encode,
)
from onnxctl.runtime import library
from onnxctl.runtime.device import Device, device_of, time_phases
from onnxctl.runtime.environment import (
    cpu_clock_mhz,
    describe_environment,
    device_memory_used_bytes,
    peak_memory_bytes,
    usable_cpu_count,
)
from onnxctl.runtime.expectations import check_outputs
from onnxctl.runtime.failures import run_failure
from onnxctl.runtime.opening import DEFAULT_TIMEOUT_S, ModelCheck, Opened, open_for_run
from onnxctl.runtime.providers import resolve
from onnxctl.runtime.saving import StagedOutputs, check_form, stage_outputs, write_outputs
from onnxctl.runtime.session import Session
from onnxctl.runtime.statistics import summarize_latency
from onnxctl.runtime.timing import Conditions, Timing, doubts, load_average, time_runs, timer_step_ns

PRELOAD = ("onnxruntime", "onnxctl.model.graph", "onnxctl.runtime.feeds")
"""What a child that runs a model will need."""

MOST_OPERATORS_NAMED = 6

_BAD_ALLOC = re.compile(r"bad_alloc|MemoryError|out of memory", re.I)


def measure_in_child(
    config: RunConfig,
    *,
    target: str = "onnxctl.runtime.measure:measure",
    progress: Callable[[str], None] = lambda news: None,
) -> RunReport:
    """Run the model as the config says and report what was measured; progress is told what is being done, in words.

    target calls `measure`, and may check the model first. The child may use config.memory_bytes of private memory, by
    default most of what is available now, and config.timeout_s of time, by default DEFAULT_TIMEOUT_S. On a device with
    memory of its own only the device's limit counts: its driver reserves far more than it uses.

    Raises UsageError for what was asked wrongly; ProviderUnavailable or MissingPackage, also where a provider required
    did not get every node that computes; ModelError; ResourceLimit when memory or time run out; ChildCrashed;
    OutputExists or StorageError for outputs to be saved.
    """
    memory_bytes = memory_limit(config)
    check_required(config)
    with contextlib.ExitStack() as stack:
        staged: StagedOutputs | None = None
        if config.save_outputs is not None:
            check_form(config.save_outputs)
            staged = stack.enter_context(stage_outputs(config.save_outputs, force=config.force))
        request = {
            "config": encode(config),
            "load_average": load_average(),
            "memory_bytes": memory_bytes,
            "save_to": staged.path if staged else None,
        }
        answer = call_child(target, request, config, memory_bytes, progress)
        report: RunReport = decode(RunReport, answer)
        if staged is None:
            return report
        files = staged.commit()
    return with_files(report, files)


def with_files(report: RunReport, files: Sequence[str]) -> RunReport:
    """The report with more files that were written."""
    import dataclasses

    return dataclasses.replace(report, files_written=(*report.files_written, *files))


def call_child(
    target: str, request: JSON, config: RunConfig, memory_bytes: int | None, progress: Callable[[str], None]
) -> JSON:
    """Call a target in a fresh child under the config's limits; what it answers."""
    with Child(preload=PRELOAD, memory_bytes=memory_bytes) as child:
        try:
            answer, _ = child.call(
                target,
                request,
                timeout_s=config.timeout_s or DEFAULT_TIMEOUT_S,
                progress=progress,
                doing=f"running {config.path}",
            )
        except ChildCrashed as error:
            if _BAD_ALLOC.search(error.message):
                raise ResourceLimit(f"{config.path}: not enough memory to run the model ({error.message})") from error
            raise
    return answer


def memory_limit(config: RunConfig) -> int | None:
    """The private memory a child may use for this config, None for no limit. Raises UsageError for no such provider."""
    if config.provider_libraries:
        return None
    if config.memory_bytes is not None:
        return config.memory_bytes
    own = [each for each in map(resolve, config.providers) if each.has_own_memory]
    return None if own else usual_memory_bytes()


def check_required(config: RunConfig) -> None:
    """Raises UsageError for a provider required that is not among those asked for."""
    asked = {each.lower() for each in config.providers}
    for name in config.required_providers:
        if name.lower() not in asked:
            raise UsageError(
                f"--require {name}: the providers asked for are {','.join(config.providers)}",
                hint=f"add it: --provider {name}",
            )


def require_all(
    config: RunConfig,
    session_providers: Sequence[str],
    placement: Sequence[NodePlacement],
    nodes_on_cpu: Sequence[NodeOnCpu],
) -> None:
    """Raises ProviderUnavailable where a provider required got no node, or the CPU one that computes.

    Only those required that are in config.providers count; session_providers are these by onnxruntime's names.
    """
    names = {name.lower(): found for name, found in zip(config.providers, session_providers, strict=False)}
    required = [name for name in config.required_providers if name.lower() in names]
    for name in required:
        if placement and not any(each.node_count for each in placement if each.provider == names[name.lower()]):
            raise ProviderUnavailable(f"--require {name}: it was given no node of {config.path}")
    left = [each for each in nodes_on_cpu if each.computes]
    if required and left:
        counts = Counter(each.op_type for each in left).most_common()
        shown = ", ".join(f"{count} {op_type}" for op_type, count in counts[:MOST_OPERATORS_NAMED])
        more = ", ..." if len(counts) > MOST_OPERATORS_NAMED else ""
        raise ProviderUnavailable(
            f"--require {', '.join(required)}: {len(left)} nodes of {config.path} that compute were left to the CPU: "
            f"{shown}{more}",
            hint="see them all, with their share of the time, without --require",
        )


# ---------------------------------------------------------------- the child's side


def measure(
    request: JSON, blobs: Sequence[Blob], progress: Progress, *, check: ModelCheck = lambda model: None
) -> Answer:
    """Child target: measure as request["config"] says, if check finds nothing; the answer is a RunReport."""
    config: RunConfig = decode(RunConfig, request["config"])
    device = device_of(config)
    device_before = _device_memory(device)
    opened = open_for_run(config, request["memory_bytes"], progress, check=check)
    clock_before = cpu_clock_mhz()
    timing = _time(opened, config, progress)
    conditions = Conditions(
        timer_ns=timer_step_ns(),
        load=request["load_average"],
        cpu_count=usable_cpu_count(),
        clock_before_mhz=clock_before,
        clock_after_mhz=cpu_clock_mhz(),
    )
    device_after = _device_memory(device)
    grown = None if device_before is None or device_after is None else max(0, device_after - device_before)
    memory = peak_memory_bytes()
    phases = None if device.kind == "cpu" else time_phases(opened.session, opened.feeds.values, device)
    if request["save_to"] is not None:
        names = [each.name for each in opened.session.outputs]
        write_outputs(request["save_to"], opened.feeds.values, names, opened.outputs)
    report = _report(opened, config, timing, conditions, memory, grown, phases)
    return encode(report), ()


def _time(opened: Opened, config: RunConfig, news: Callable[[str], None]) -> Timing:
    try:
        return time_runs(
            opened.session.bare_run(opened.feeds.values),
            warmup_count=config.warmup_count,
            run_count=config.run_count,
            duration_s=config.duration_s,
            precision=config.precision,
            concurrency=config.concurrency,
            first_run_ns=opened.first_run_ns,
            news=news,
        )
    except opened.session.failures as error:
        raise run_failure(error, config.path) from error


def _device_memory(device: Device) -> int | None:
    return device_memory_used_bytes(device.number) if device.kind == "cuda" else None


def _report(
    opened: Opened,
    config: RunConfig,
    timing: Timing,
    conditions: Conditions,
    memory_bytes: int,
    device_bytes: int | None,
    phases: DevicePhases | None,
) -> RunReport:
    from onnxctl.runtime.values import rank, summarize_value

    session, feeds = opened.session, opened.feeds
    latency = summarize_latency(timing.samples_ns)
    placement, left = session.nodes_by_provider, session.nodes_on_cpu
    precision = config.precision if config.run_count is None and config.concurrency == 1 else 0.0
    return RunReport(
        path=config.path,
        provider=",".join(each.name for each in session.chain),
        session_providers=session.providers,
        provider_options=options_in_effect(session),
        placement=placement,
        nodes_on_cpu=left,
        device_copy_count=None,
        seed=config.seed,
        dims=tuple(sorted(feeds.dims.items())),
        inputs=tuple(
            summarize_value(each.name, each.type, feeds.values[each.name], feeds.sources[each.name])
            for each in session.inputs
            if each.name in feeds.values
        ),
        outputs=tuple(
            rank(summarize_value(each.name, each.type, value), value)
            for each, value in zip(session.outputs, opened.outputs, strict=True)
        ),
        verification=check_outputs(opened, config.seed, config.custom_ops) if config.verify else (),
        baseline=None,
        assertions=(),
        profile=None,
        exit_code=0,
        files_written=(),
        load_ns=session.load_ns,
        first_run_ns=opened.first_run_ns,
        warmup_count=timing.warmup_count,
        latency=latency,
        phases=phases,
        throughput_per_second=len(timing.samples_ns) * 1e9 / timing.elapsed_ns
        if timing.elapsed_ns
        else 1e9 / latency.mean_ns,
        peak_memory_bytes=memory_bytes,
        peak_device_bytes=device_bytes,
        intra_op_threads=config.intra_op_threads,
        inter_op_threads=config.inter_op_threads,
        concurrency=config.concurrency,
        graph_optimization=config.graph_optimization,
        session_config=config.session_config,
        custom_ops=config.custom_ops,
        environment=describe_environment(session.provider),
        findings=(
            *_custom_code(config),
            *unknown_entries(config),
            *left_to_the_cpu(session.provider.name, placement, left),
            *doubts(timing, conditions, precision=precision),
        ),
        samples_ns=timing.samples_ns,
    )


def options_in_effect(session: Session) -> tuple[ProviderOption, ...]:
    """The options of the providers as onnxruntime holds them."""
    held: dict[str, dict[str, Any]] = session.inference.get_provider_options()
    short = {each.provider: each.name for each in session.chain}
    return tuple(
        ProviderOption(provider=short.get(provider, provider), name=name, value=str(value))
        for provider, options in held.items()
        for name, value in sorted(options.items())
    )


def _custom_code(config: RunConfig) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            code="foreign-code",
            severity="warning",
            message="native code of this library ran with your rights; onnxctl can't check it",
            where=path,
        )
        for path in (*config.custom_ops, *(path for _, path in config.provider_libraries))
    )


def unknown_entries(config: RunConfig) -> tuple[Finding, ...]:
    """The findings that onnxruntime does not know session config entries: it takes any name, and says nothing."""
    return tuple(
        Finding(
            code="unknown-session-config",
            severity="warning",
            message=f"nothing in the installed onnxruntime mentions {name!r}: the entry most likely has no effect",
            hint="check its spelling",
            where=f"--session-config {name}",
        )
        for name, _ in config.session_config
        if not library.is_mentioned(name)
    )


def left_to_the_cpu(
    provider: str, placement: Sequence[NodePlacement], nodes_on_cpu: Sequence[NodeOnCpu]
) -> tuple[Finding, ...]:
    """The finding that a provider did not take every node."""
    if not nodes_on_cpu:
        return ()
    total = sum(each.node_count for each in placement)
    return (
        Finding(
            code="nodes-on-cpu",
            severity="warning",
            message=f"{provider} did not take {len(nodes_on_cpu)} of {total} nodes: they run on the CPU",
        ),
    )
