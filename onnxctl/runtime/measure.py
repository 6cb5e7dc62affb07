"""One measurement, in a child process of its own: the model is opened, fed, run and timed there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import ChildCrashed, ModelError, ResourceLimit, UnreadableFile, UnsupportedModel
from onnxctl.reports import JSON, Finding, RunConfig, RunReport, decode, encode
from onnxctl.runtime.environment import (
    available_memory_bytes,
    describe_environment,
    peak_memory_bytes,
    usable_cpu_count,
)
from onnxctl.runtime.failures import run_failure
from onnxctl.runtime.providers import CPU, resolve
from onnxctl.runtime.session import Session, open_session
from onnxctl.runtime.statistics import summarize_latency
from onnxctl.runtime.timing import doubts, load_average, time_runs, timer_step_ns

if TYPE_CHECKING:
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import Model

DEFAULT_TIMEOUT_S = 600.0
MEMORY_SHARE = 0.9
"""How much of the available memory a model may use."""

NATIVE_CODE_OPERATORS = frozenset({("com.microsoft", "EPContext"), ("com.microsoft", "PyOp"), ("pyop", "PyOp")})
"""Operators that carry code or compiled programs for a device: they are never run."""

_BAD_ALLOC = re.compile(r"bad_alloc|MemoryError|out of memory", re.I)


def measure_in_child(
    config: RunConfig, *, progress: Callable[[str], None] = lambda news: None, memory_bytes: int | None = None
) -> RunReport:
    """Run the model as the config says and report what was measured; progress is told what is being done, in words.

    The child may use memory_bytes of private memory, by default most of what is available now, and
    config.timeout_s of time, by default DEFAULT_TIMEOUT_S. On a device with memory of its own only the device's limit
    counts: its driver reserves far more than it uses.

    Raises ProviderUnavailable or MissingPackage; ModelError; ResourceLimit when memory or time run out; ChildCrashed.
    """
    provider = resolve(config.provider)
    if memory_bytes is None and not provider.has_own_memory:
        available = available_memory_bytes()
        memory_bytes = None if available is None else int(available * MEMORY_SHARE)
    request = {"config": encode(config), "load_average": load_average(), "memory_bytes": memory_bytes}
    with Child(preload=("onnxruntime", "onnxctl.model.graph"), memory_bytes=memory_bytes) as child:
        try:
            answer, _ = child.call(
                "onnxctl.runtime.measure:measure",
                request,
                timeout_s=config.timeout_s or DEFAULT_TIMEOUT_S,
                progress=progress,
                doing=f"running {config.path}",
            )
        except ChildCrashed as error:
            if _BAD_ALLOC.search(error.message):
                raise ResourceLimit(f"{config.path}: not enough memory to run the model ({error.message})") from error
            raise
    return decode(RunReport, answer)


def measure(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: measure as request["config"] says; the answer is a RunReport."""
    config = decode(RunConfig, request["config"])
    return encode(_measure(config, request["load_average"], request["memory_bytes"], progress)), ()


def _measure(config: RunConfig, load: float, memory_bytes: int | None, news: Callable[[str], None]) -> RunReport:
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import open_model
    from onnxctl.runtime.feeds import find_feeds, generate_feeds
    from onnxctl.runtime.values import summarize_value

    news("reading the model")
    model = open_model(config.path)
    graphs = ModelGraphs(model)
    check_tensors(model, memory_bytes)
    refuse_native_code(graphs)
    generate_feeds(
        model, graphs, dims=dict(config.dims), seed=config.seed
    )  # what is asked wrongly is told before loading
    news(f"loading the model on {config.provider}")
    session = open_session(
        _as_onnxruntime_opens_it(model),
        config.provider,
        path=config.path,
        intra_op_threads=config.intra_op_threads,
        inter_op_threads=config.inter_op_threads,
    )
    first = _FirstRun(session)
    news("first run")
    feeds = find_feeds(model, graphs, first.run, dims=dict(config.dims), seed=config.seed, failures=(UnsupportedModel,))
    try:
        timing = time_runs(
            session.bare_run(feeds.values),
            warmup_count=config.warmup_count,
            run_count=config.run_count,
            duration_s=config.duration_s,
            news=news,
        )
    except session.failures as error:
        raise run_failure(error, config.path) from error
    latency = summarize_latency(timing.samples_ns)
    return RunReport(
        path=config.path,
        provider=session.provider.name,
        session_providers=session.providers,
        placement=session.placement,
        seed=config.seed,
        dims=tuple(sorted(feeds.dims.items())),
        inputs=tuple(
            summarize_value(each.name, each.type, feeds.values[each.name], feeds.sources[each.name])
            for each in session.inputs
            if each.name in feeds.values
        ),
        outputs=tuple(
            summarize_value(each.name, each.type, value)
            for each, value in zip(session.outputs, first.outputs, strict=True)
        ),
        load_ns=session.load_ns,
        first_run_ns=first.elapsed_ns,
        warmup_count=timing.warmup_count,
        latency=latency,
        throughput_per_second=1e9 / latency.mean_ns,
        peak_memory_bytes=peak_memory_bytes(),
        intra_op_threads=config.intra_op_threads,
        inter_op_threads=config.inter_op_threads,
        environment=describe_environment(session.provider),
        findings=(
            *_left_to_the_cpu(session),
            *doubts(timing, timer_ns=timer_step_ns(), load=load, cpu_count=usable_cpu_count()),
        ),
        samples_ns=timing.samples_ns,
    )


class _FirstRun:
    """Runs a session, and keeps the outputs and the time of the last run that worked."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.outputs: Sequence[object] = ()
        self.elapsed_ns = 0

    def run(self, feeds: Mapping[str, object]) -> None:
        start_ns = time.perf_counter_ns()
        self.outputs = self._session.run(feeds)
        self.elapsed_ns = time.perf_counter_ns() - start_ns


def check_tensors(model: Model, memory_bytes: int | None = None) -> None:
    """Look at every tensor before onnxruntime does, which follows external data and trusts sizes.

    Raises InvalidModel, UnreadableFile or UnsafePath for a tensor whose bytes can't be had as described, and
    ResourceLimit where the tensors take more than memory_bytes together.
    """
    from onnxctl.model.loading import tensors_of_model
    from onnxctl.model.saving import check_checksum

    total, largest, largest_name = 0, 0, ""
    checked: set[tuple[str, str]] = set()
    try:
        for proto in tensors_of_model(model.proto):
            tensor = model.tensor(proto)
            tensor.check()
            total += tensor.byte_count
            if tensor.byte_count > largest:
                largest, largest_name = tensor.byte_count, tensor.name
            if tensor.payload is None:
                continue
            tensor.payload.check()
            key = (tensor.payload.file.location, tensor.payload.checksum)
            if tensor.payload.checksum and key not in checked:
                check_checksum(tensor.payload)
                checked.add(key)
    except ModelError as error:
        raise type(error)(f"{model.path}: {error.message}", hint=error.hint) from error
    if memory_bytes is not None and total > memory_bytes:
        raise ResourceLimit(
            f"{model.path}: its tensors take {total} bytes of memory, {largest} of them {largest_name!r}; "
            f"{memory_bytes} are available"
        )


def refuse_native_code(graphs: ModelGraphs) -> None:
    """Raises UnsupportedModel for a node of NATIVE_CODE_OPERATORS, wherever it is."""
    for scope in graphs.scopes():
        for node in scope.nodes:
            if (node.domain, node.op_type) in NATIVE_CODE_OPERATORS:
                raise UnsupportedModel(
                    f"{graphs.model.path}: node {scope.node_label(node)!r} is {node.domain}.{node.op_type}: it carries "
                    "native code or a program for one device, which onnxctl does not run",
                    hint="run the model it was compiled from",
                )


def _as_onnxruntime_opens_it(model: Model) -> str | bytes:
    """The model's path; its bytes where onnxruntime can't take the path, which must be UTF-8."""
    try:
        model.path.encode()
    except UnicodeEncodeError as error:
        if not model.data_files:
            return model.source.read(0, model.source.size)
        raise UnreadableFile(
            f"{model.path}: onnxruntime opens no external data beside a path that is not UTF-8", hint="rename it"
        ) from error
    return model.path


def _left_to_the_cpu(session: Session) -> tuple[Finding, ...]:
    total = sum(each.node_count for each in session.placement)
    on_cpu = sum(each.node_count for each in session.placement if each.provider == CPU.provider)
    if session.provider is CPU or not on_cpu:
        return ()
    return (
        Finding(
            code="nodes-on-cpu",
            severity="warning",
            message=f"{session.provider.name} did not take {on_cpu} of {total} nodes: they run on the CPU",
        ),
    )
