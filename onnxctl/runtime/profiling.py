"""Where the time goes: runs in a session of its own with onnxruntime's profiler on, in a child process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnxctl.child import Answer, Blob, Progress
from onnxctl.errors import StorageError
from onnxctl.model.names import own_label
from onnxctl.reports import JSON, MachinePeak, NodeOnCpu, NodeProfile, RunConfig, decode, encode
from onnxctl.runtime.calibration import measure_peak
from onnxctl.runtime.failures import run_failure
from onnxctl.runtime.fusion import original_nodes
from onnxctl.runtime.measure import call_child, memory_limit
from onnxctl.runtime.opening import Opened, open_for_run, settings_of
from onnxctl.runtime.placement import nodes_left_to_cpu
from onnxctl.runtime.recording import COPIES, KernelRun, Recording, read_events, trace_events
from onnxctl.runtime.saving import stage_outputs
from onnxctl.runtime.session import SessionSettings

UNTIMED_RUN_COUNT = 3
LEAST_RUN_COUNT = 5
MOST_RUN_COUNT = 200
PROFILED_NS = 1e9
"""About how long the profiled runs may take together."""

MOST_KERNELS = 400_000
"""Kernels in all that are recorded: onnxruntime stops at a million events."""

_WEIGHTS = "weights"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRecord:
    """What one profiling found. time_shares is by provider, of the time of all nodes."""

    run_count: int
    run_ns: float
    nodes: tuple[NodeProfile, ...]
    nodes_on_cpu: tuple[NodeOnCpu, ...]
    copy_count: int
    time_shares: tuple[tuple[str, float], ...]
    peak: MachinePeak | None
    files_written: tuple[str, ...] = ()


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
    if request["trace_to"] is not None:
        _write_trace(request["trace_to"], trace_events(events, originals))
    peak = None
    if request["calibrate"]:
        progress("measuring the machine's peak")
        peak = measure_peak(settings_of(config), config.providers)
    session = opened.session
    asked = [each.provider for each in session.chain]
    timed = [each for each in recording.kernels if each.run >= UNTIMED_RUN_COUNT + 1]
    run_us = recording.run_us[UNTIMED_RUN_COUNT + 1 :]
    nodes = _profiles(timed, len(run_us), originals)
    record = ProfileRecord(
        run_count=len(run_us),
        run_ns=sum(run_us) * 1e3 / max(len(run_us), 1),
        nodes=nodes,
        nodes_on_cpu=nodes_left_to_cpu(session.placement, asked, session.log),
        copy_count=sum(each.op_type in COPIES for each in nodes),
        time_shares=_shares(nodes),
        peak=peak,
    )
    return encode(record), ()


def _settings(config: RunConfig, folder: str) -> SessionSettings:
    """The session asked for, profiled and explained, its optimized graph written without the weights."""
    entries = dict(config.session_config)
    graph = None
    with contextlib.suppress(OSError):  # where there are no links the weights would be written for nothing
        os.symlink(os.devnull, os.path.join(folder, _WEIGHTS))
        graph = os.path.join(folder, "graph.onnx")
        entries |= {
            "session.optimized_model_external_initializers_file_name": _WEIGHTS,
            "session.optimized_model_external_initializers_min_size_in_bytes": "64",
        }
    if config.providers != ("cpu",):
        graph = None  # compiled nodes of other providers can't be written
    return dataclasses.replace(
        settings_of(config),
        config=tuple(entries.items()) if graph else config.session_config,
        profile_prefix=os.path.join(folder, "profile"),
        optimized_path=graph,
        explain=config.providers != ("cpu",),
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


def _originals(opened: Opened, path: str, recording: Recording) -> Mapping[int, tuple[str, ...]]:
    """The model's nodes behind each node index; a node without a record of the graph stands for its namesake."""
    from onnx import ModelProto

    graph = opened.model.proto.graph
    first = {each.index: each for each in reversed(recording.kernels)}
    found: dict[int, tuple[str, ...]] = {}
    labels = {own_label(node) for scope in opened.graphs.scopes() for node in scope.nodes}
    if os.path.exists(path):
        optimized = ModelProto()
        with open(path, "rb") as file:
            optimized.ParseFromString(file.read())
        found = _by_index(optimized.graph.node, original_nodes(graph, optimized.graph), recording)
    return {
        index: found.get(index) or ((kernel.name,) if kernel.name in labels else ()) for index, kernel in first.items()
    }


def _by_index(
    nodes: Sequence[Any], originals: Sequence[tuple[str, ...]], recording: Recording
) -> dict[int, tuple[str, ...]]:
    """Originals by node index: nodes are known by name and operator, namesakes by their order.

    The order is that in which they run first, which is the graph's; where their numbers differ, nothing is said.
    """
    first: dict[int, KernelRun] = {}
    for kernel in recording.kernels:
        first.setdefault(kernel.index, kernel)
    ran: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, kernel in sorted(first.items()):
        ran[kernel.name if kernel.name != kernel.op_type else "", kernel.op_type].append(index)
    written: dict[tuple[str, str], list[tuple[str, ...]]] = defaultdict(list)
    for node, names in zip(nodes, originals, strict=True):
        written[node.name, node.op_type].append(names)
    found: dict[int, tuple[str, ...]] = {}
    for key, indices in ran.items():
        if len(indices) == len(written[key]):
            found |= dict(zip(indices, written[key], strict=True))
    return found


def _profiles(
    kernels: Sequence[KernelRun], run_count: int, originals: Mapping[int, tuple[str, ...]]
) -> tuple[NodeProfile, ...]:
    by_node: dict[tuple[int, str, str], list[KernelRun]] = defaultdict(list)
    for kernel in kernels:
        by_node[kernel.index, kernel.name, kernel.op_type].append(kernel)
    total = sum(each.own_us for each in kernels) or 1
    found = []
    for (index, name, op_type), runs in by_node.items():
        own_us = sum(each.own_us for each in runs)
        found.append(
            NodeProfile(
                name=name,
                op_type=op_type,
                provider=runs[0].provider,
                original_nodes=originals.get(index, ()),
                calls_per_run=len(runs) / run_count,
                mean_ns=own_us * 1e3 / run_count,
                share=own_us / total,
                moved_bytes=_moved_bytes(runs, run_count),
                output_bytes=runs[0].output_bytes,
                parameter_bytes=runs[0].parameter_bytes,
                memory_bytes=max((each.memory_bytes or 0 for each in runs), default=0) or None,
            )
        )
    return tuple(sorted(found, key=lambda each: -each.mean_ns))


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
