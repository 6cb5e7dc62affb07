"""Where the time goes: runs in a session of its own with onnxruntime's profiler on, in a child process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from onnxctl.child import Answer, Blob, Progress
from onnxctl.errors import StorageError, UsageError
from onnxctl.model.names import own_label
from onnxctl.reports import JSON, MachinePeak, NodeOnCpu, NodeProfile, ProviderOption, RunConfig, decode, encode
from onnxctl.runtime.calibration import measure_peak
from onnxctl.runtime.device import Device, device_of
from onnxctl.runtime.failures import run_failure
from onnxctl.runtime.fusion import original_nodes
from onnxctl.runtime.measure import call_child, memory_limit
from onnxctl.runtime.opening import Opened, open_for_run, settings_of
from onnxctl.runtime.providers import resolve
from onnxctl.runtime.recording import COPIES, KernelRun, NodeKey, Recording, read_events, trace_events
from onnxctl.runtime.saving import check_target, stage_outputs
from onnxctl.runtime.session import SessionSettings
from onnxctl.runtime.statistics import middle_mean

UNTIMED_RUN_COUNT = 3
LEAST_RUN_COUNT = 5
MOST_RUN_COUNT = 200
PROFILED_NS = 1e9
"""About how long the profiled runs may take together."""

_FIRST_TIMED = 1 + UNTIMED_RUN_COUNT
"""Runs are counted from the one that `open_for_run` makes."""

MOST_KERNELS = 400_000
"""Kernels in all that are recorded: onnxruntime stops at a million events."""

CALIBRATED_SHARE = 0.05
"""The machine's peak is measured in the element types of nodes that take this share of the time."""

_WEIGHTS = "weights"

_WRITABLE = ("cpu", "cuda")
"""Providers that run the graph's own nodes: what others compile can't be written."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRecord:
    """What one profiling found. nodes_ns is the time of all nodes in a run, time_shares that of it by provider."""

    run_count: int
    run_ns: float
    nodes_ns: float
    nodes: tuple[NodeProfile, ...]
    nodes_on_cpu: tuple[NodeOnCpu, ...]
    copy_count: int
    time_shares: tuple[tuple[str, float], ...]
    peak: MachinePeak | None
    files_written: tuple[str, ...] = ()


def check_trace(config: RunConfig) -> None:
    """Say before anything is measured that the trace can't be written: raises OutputExists or UsageError."""
    if config.trace is None:
        return
    if os.path.isdir(config.trace):
        raise UsageError(f"--trace {config.trace} is a folder", hint="name a file")
    if config.save_outputs is not None and os.path.abspath(config.trace) == os.path.abspath(config.save_outputs):
        raise UsageError("--trace and --save-outputs name the same file", hint="give the trace another name")
    check_target(config.trace, force=config.force)


def profile_in_child(
    config: RunConfig, *, median_ns: float, calibrate: bool, progress: Callable[[str], None] = lambda news: None
) -> ProfileRecord:
    """Profile the model as the config says, and write config.trace where that names a file.

    median_ns says how long a run takes; with calibrate the machine's peak is measured as well. Raises what
    `measure_in_child` raises.
    """
    run_count = int(min(max(PROFILED_NS / max(median_ns, 1), LEAST_RUN_COUNT), MOST_RUN_COUNT))
    memory_bytes = memory_limit(config)
    with contextlib.ExitStack() as stack:
        staged = None
        if config.trace is not None:
            staged = stack.enter_context(stage_outputs(config.trace, force=config.force))
        request = {
            "config": encode(config),
            "run_count": run_count,
            "calibrate": calibrate,
            "memory_bytes": memory_bytes,
            "trace_to": staged.path if staged else None,
        }
        answer = call_child("onnxctl.runtime.profiling:profile", request, config, memory_bytes, progress)
        record: ProfileRecord = decode(ProfileRecord, answer)
        return dataclasses.replace(record, files_written=staged.commit()) if staged else record


# ---------------------------------------------------------------- the child's side


def profile(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: profile as request["config"] says; the answer is a ProfileRecord.

    CUDA launches kernels without waiting for them: here it is told to wait, so that a node's time is its own.
    """
    os.environ["CUDA_LAUNCH_BLOCKING"] = "1"
    config: RunConfig = decode(RunConfig, request["config"])
    with tempfile.TemporaryDirectory(prefix="onnxctl-") as folder:
        settings = _settings(config, folder)
        opened = open_for_run(config, request["memory_bytes"], progress, settings)
        progress("profiling")
        events = _record(opened, request["run_count"])
        recording = read_events(events)
        originals = _originals(opened, os.path.join(folder, "graph.onnx"), recording)
    nodes = _profiles(recording, originals)
    if request["trace_to"] is not None:
        _write_trace(request["trace_to"], trace_events(events, originals))
    peak = None
    if request["calibrate"]:
        progress("measuring the machine's peak")
        peak = _peak(config, nodes)
    session = opened.session
    run_us = recording.run_us[_FIRST_TIMED:]
    record = ProfileRecord(
        run_count=len(run_us),
        run_ns=middle_mean(run_us) * 1e3,
        nodes_ns=_time_us(recording.kernels, len(run_us)) * 1e3,
        nodes=nodes,
        nodes_on_cpu=session.nodes_on_cpu,
        copy_count=sum(each.op_type in COPIES for each in nodes),
        time_shares=_shares(nodes),
        peak=peak,
    )
    return encode(record), ()


def _settings(config: RunConfig, folder: str) -> SessionSettings:
    """The session asked for, profiled and explained, its optimized graph written without the weights."""
    entries = dict(config.session_config)
    names = [] if config.provider_libraries else [resolve(each).name for each in config.providers]
    graph = None
    if names and all(name in _WRITABLE for name in names):
        with contextlib.suppress(OSError):  # where there are no links the weights would be written for nothing
            os.symlink(os.devnull, os.path.join(folder, _WEIGHTS))
            graph = os.path.join(folder, "graph.onnx")
            entries |= {
                "session.optimized_model_external_initializers_file_name": _WEIGHTS,
                "session.optimized_model_external_initializers_min_size_in_bytes": "64",
            }
    return dataclasses.replace(
        settings_of(config),
        config=tuple(entries.items()),
        profile_prefix=os.path.join(folder, "profile"),
        optimized_path=graph,
        explain=names != ["cpu"],
    )


def _peak(config: RunConfig, nodes: Sequence[NodeProfile]) -> MachinePeak | None:
    """The machine's peak for what these nodes compute with and move; TensorRT's is CUDA's, which compiles nothing."""
    shares: dict[str, float] = defaultdict(float)
    for node in nodes:
        shares[node.element_type] += node.share
    settings, device = settings_of(config), device_of(config)
    if device != Device() and resolve(config.providers[0]).name != "cuda":
        options = (ProviderOption(provider="cuda", name="device_id", value=str(device.number)),)
        settings = dataclasses.replace(settings, providers=("cuda",), provider_options=options)
    return measure_peak(
        settings,
        device,
        element_types=[each for each, share in shares.items() if share >= CALIBRATED_SHARE],
        working_set_bytes=max((node.memory_bytes or 0 for node in nodes), default=0),
    )


def _record(opened: Opened, run_count: int) -> JSON:
    """Run the model, and read onnxruntime's profile of it."""
    from onnxctl.runtime import library

    session = opened.session
    onnxruntime = library.load_onnxruntime()
    quiet = onnxruntime.RunOptions()
    quiet.log_severity_level = 4
    kernels_per_run = max(1, sum(len(each.nodes) for each in session.placement))
    run_count = min(run_count, max(LEAST_RUN_COUNT, MOST_KERNELS // kernels_per_run))
    try:
        for _ in range(UNTIMED_RUN_COUNT + run_count):
            session.inference.run(None, opened.feeds.values, quiet)
    except session.failures as error:
        raise run_failure(error, opened.session.path) from error
    with open(session.inference.end_profiling(), encoding="utf-8", errors="replace") as file:
        return json.load(file)


def _originals(opened: Opened, path: str, recording: Recording) -> Mapping[NodeKey, tuple[str, ...]]:
    """The model's nodes behind each node that ran; one without a record of the graph stands for its namesake."""
    from onnx import ModelProto

    graph = opened.model.proto.graph
    ran = dict.fromkeys(each.node for each in recording.kernels)
    found: dict[NodeKey, tuple[str, ...]] = {}
    labels = {own_label(node) for scope in opened.graphs.scopes() for node in scope.nodes}
    if os.path.exists(path):
        optimized = ModelProto()
        with open(path, "rb") as file:
            optimized.ParseFromString(file.read())
        found = _by_key(optimized.graph.node, original_nodes(graph, optimized.graph), ran)
    return {key: found.get(key) or ((key.name,) if key.name in labels else ()) for key in ran}


def _by_key(
    nodes: Sequence[Any], originals: Sequence[tuple[str, ...]], keys: Iterable[NodeKey]
) -> dict[NodeKey, tuple[str, ...]]:
    """Originals by node that ran: nodes are known by name and operator, namesakes by their order.

    The order is that in which they first ran, as the graph is written; indices are not: what onnxruntime adds comes
    last there. Where the numbers differ, nothing is said.
    """
    ran: dict[tuple[str, str], list[NodeKey]] = defaultdict(list)
    for key in keys:
        name = "" if key.name in (key.op_type, f"{key.op_type}_{key.index}") else key.name  # it has none
        ran[name, key.op_type].append(key)
    written: dict[tuple[str, str], list[tuple[str, ...]]] = defaultdict(list)
    for node, names in zip(nodes, originals, strict=True):
        written["" if node.name == node.op_type else node.name, node.op_type].append(names)
    found: dict[NodeKey, tuple[str, ...]] = {}
    for known_as, namesakes in ran.items():
        if len(namesakes) == len(written[known_as]):
            found |= dict(zip(namesakes, written[known_as], strict=True))
    return found


def _profiles(recording: Recording, originals: Mapping[NodeKey, tuple[str, ...]]) -> tuple[NodeProfile, ...]:
    """The nodes of the timed runs, the slowest first."""
    run_count = len(recording.run_us) - _FIRST_TIMED
    by_node: dict[NodeKey, list[KernelRun]] = defaultdict(list)
    memory: dict[NodeKey, int] = {}
    for kernel in recording.kernels:
        if kernel.run >= _FIRST_TIMED:
            by_node[kernel.node].append(kernel)
        elif kernel.run == 0 and kernel.memory_bytes is not None:  # later, all memory is reserved in one piece
            memory[kernel.node] = max(kernel.memory_bytes, memory.get(kernel.node, 0))
    times_us = {key: _time_us(runs, run_count) for key, runs in by_node.items()}
    total_us = sum(times_us.values()) or 1
    found = [
        NodeProfile(
            name=key.name,
            op_type=key.op_type,
            provider=runs[0].provider,
            original_nodes=originals.get(key, ()),
            element_type=runs[0].element_type,
            calls_per_run=len(runs) / run_count,
            time_ns=times_us[key] * 1e3,
            share=times_us[key] / total_us,
            moved_bytes=None if _is_compiled(runs[0], originals.get(key)) else _moved_bytes(runs, run_count),
            output_bytes=runs[0].output_bytes,
            parameter_bytes=runs[0].parameter_bytes,
            memory_bytes=memory.get(key),
        )
        for key, runs in by_node.items()
    ]
    return tuple(sorted(found, key=lambda each: -each.time_ns))


def _time_us(kernels: Sequence[KernelRun], run_count: int) -> float:
    """The time in a timed run of these together: a single run that was interrupted says nothing about them."""
    by_run = [0] * run_count
    for kernel in kernels:
        if kernel.run >= _FIRST_TIMED:
            by_run[kernel.run - _FIRST_TIMED] += kernel.own_us
    return middle_mean(by_run)


def _is_compiled(run: KernelRun, originals: Sequence[str] | None) -> bool:
    """Whether a provider made the node of many: of what these move, onnxruntime only knows what goes in and out."""
    return not originals and run.provider not in {resolve(each).provider for each in _WRITABLE}


def _moved_bytes(runs: Sequence[KernelRun], run_count: int) -> int | None:
    """What onnxruntime says that a node reads and writes, per run of the model."""
    counts = [each for run in runs for each in (run.input_bytes, run.parameter_bytes, run.output_bytes)]
    known = [each for each in counts if each is not None]
    return sum(known) // run_count if len(known) == len(counts) else None


def _shares(nodes: Sequence[NodeProfile]) -> tuple[tuple[str, float], ...]:
    shares: dict[str, float] = defaultdict(float)
    for each in nodes:
        shares[each.provider] += each.share
    return tuple(shares.items())


def _write_trace(path: str, trace: JSON) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(trace, file, separators=(",", ":"))
    except OSError as error:
        raise StorageError(f"the trace can't be written: {error.strerror}") from error
