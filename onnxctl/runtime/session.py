"""Sessions: a model opened on exactly the provider that was asked for, or the reason why not."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from onnxctl.child import Answer, Blob, Progress
from onnxctl.errors import OnnxctlError, ProviderUnavailable
from onnxctl.reports import JSON, NodePlacement
from onnxctl.runtime import library
from onnxctl.runtime.failures import load_failure, provider_failure, run_failure
from onnxctl.runtime.providers import CPU, ExecutionProvider, how_to_get, resolve, unusable

GraphOptimization = Literal["disable", "basic", "extended", "layout", "all"]

_FATAL_ONLY = 4
_RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
_STANDARD_OUTPUTS = (1, 2)


@dataclass(frozen=True, slots=True)
class ValueType:
    """One input or output as the session has it; type in words, "float32[batch, 3]"."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open session. providers are onnxruntime's names, first the one asked for; load_ns is the time it took to open.

    placement is empty where this onnxruntime does not record it.
    """

    path: str
    provider: ExecutionProvider
    providers: tuple[str, ...]
    placement: tuple[NodePlacement, ...]
    load_ns: int
    inputs: tuple[ValueType, ...]
    outputs: tuple[ValueType, ...]
    inference: Any
    failures: tuple[type[Exception], ...]

    def bare_run(self, feeds: Mapping[str, object]) -> Callable[[], object]:
        """onnxruntime's own run on these inputs, with nothing of ours around it: it raises one of `failures`."""
        return functools.partial(self.inference.run, None, feeds)

    def run(self, feeds: Mapping[str, object]) -> Sequence[object]:
        """The outputs in the model's order: arrays, lists for sequences, None for an absent optional.

        Raises ResourceLimit or UnsupportedModel.
        """
        from onnxctl.runtime.values import fetch_outputs

        try:
            return fetch_outputs(self.inference, feeds)
        except self.failures as error:
            raise run_failure(error, self.path) from error


def open_session(
    model: str | bytes,
    provider: str = CPU.name,
    *,
    path: str = "",
    intra_op_threads: int | None = None,
    inter_op_threads: int | None = None,
    graph_optimization: GraphOptimization = "all",
    memory_arena: bool = True,
    config: Sequence[tuple[str, str]] = (),
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Session:
    """Open a model, a file's path or its bytes, on exactly this provider. path names it in errors.

    onnxruntime adds the CPU for nodes that the provider does not take: see `Session.placement`. External data is read
    by onnxruntime under its own rules; check it first. Without memory_arena buffers are freed at once, not pooled.
    config are onnxruntime's session config entries.

    Raises UsageError for an unknown provider; MissingPackage or ProviderUnavailable when it can't be had, or when it
    was given no node of the model at all; ModelError or ResourceLimit for a model that can't be opened.
    """
    wanted = resolve(provider)
    onnxruntime = library.load_onnxruntime()
    _expect_built_in(onnxruntime, wanted)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.graph_optimization_level = _optimization_level(onnxruntime, graph_optimization)
    options.enable_cpu_mem_arena = memory_arena
    options.intra_op_num_threads = intra_op_threads or 0
    options.inter_op_num_threads = inter_op_threads or 0
    for key, value in ((_RECORD_PLACEMENT, "1"), *config):
        options.add_session_config_entry(key, value)
    name = path or (model if isinstance(model, str) else "model")
    failures = library.failure_types(onnxruntime)
    with _native_log(wanted) as read_log:
        _preload(onnxruntime, wanted)
        start_ns = clock()
        try:
            inference = onnxruntime.InferenceSession(model, options, [wanted.provider], enable_fallback=0)
        except failures as error:
            raise _refusal(error, read_log(), name, wanted) from error
        load_ns = clock() - start_ns
        log = read_log()
    providers = tuple(inference.get_providers())
    if providers[0] != wanted.provider:
        raise _unavailable(wanted, provider_failure(log) or "onnxruntime left it out and did not say why")
    return Session(
        path=name,
        provider=wanted,
        providers=providers,
        placement=_placement(inference, wanted, name),
        load_ns=load_ns,
        inputs=tuple(ValueType(each.name, _type_in_words(each)) for each in inference.get_inputs()),
        outputs=tuple(ValueType(each.name, _type_in_words(each)) for each in inference.get_outputs()),
        inference=inference,
        failures=failures,
    )


def _expect_built_in(onnxruntime: Any, wanted: ExecutionProvider) -> None:
    available = onnxruntime.get_available_providers()
    if wanted.provider in available:
        return
    installed = library.installed_distributions()
    what = " and ".join(each.name for each in installed) or "onnxruntime"
    raise _unavailable(
        wanted, f"not in this build of onnxruntime ({what} {onnxruntime.__version__} has {', '.join(available)})"
    )


def _unavailable(wanted: ExecutionProvider, reason: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"{unusable(wanted)}{reason}", hint=how_to_get(wanted, library.installed_distributions(), reason)
    )


def _refusal(error: Exception, log: str, name: str, wanted: ExecutionProvider) -> OnnxctlError:
    """The provider's failure where onnxruntime's log or message tells of one, else the model's."""
    said = f"{log}\n{error}"
    reason = provider_failure(said)
    if wanted is not CPU and (reason.startswith(("library missing", "no device")) or isinstance(error, RuntimeError)):
        return _unavailable(wanted, reason)
    return load_failure(error, name, wanted.name)


def _optimization_level(onnxruntime: Any, level: GraphOptimization) -> Any:
    names = {"disable": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED"}
    names |= {"layout": "ORT_ENABLE_LAYOUT", "all": "ORT_ENABLE_ALL"}
    return getattr(onnxruntime.GraphOptimizationLevel, names[level])


def _preload(onnxruntime: Any, wanted: ExecutionProvider) -> None:
    """Load the libraries that pip installed: the loader of the system does not look for them where they are."""
    if wanted.name in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it did not find; onnxruntime tells it again
            onnxruntime.preload_dlls()
    if wanted.name == "tensorrt":
        with contextlib.suppress(ImportError):
            importlib.import_module("tensorrt_libs")


@contextlib.contextmanager
def _native_log(wanted: ExecutionProvider) -> Iterator[Callable[[], str]]:
    """Catch what native code writes to standard output and error: only there does it say why a provider fails.

    Not for the CPU: it has nothing to say, and the last words of a crash must reach the parent process.
    """
    if wanted is CPU:
        yield lambda: ""
        return
    with tempfile.TemporaryFile() as log:
        kept = [os.dup(descriptor) for descriptor in _STANDARD_OUTPUTS]
        try:
            for descriptor in _STANDARD_OUTPUTS:
                os.dup2(log.fileno(), descriptor)
            yield lambda: os.pread(log.fileno(), 1 << 16, 0).decode(errors="replace")
        finally:
            for saved, descriptor in zip(kept, _STANDARD_OUTPUTS, strict=True):
                os.dup2(saved, descriptor)
                os.close(saved)


def _placement(inference: Any, wanted: ExecutionProvider, path: str) -> tuple[NodePlacement, ...]:
    """How many nodes each provider was given, the wanted one first.

    Raises ProviderUnavailable where the graph has nodes and the provider got none of them.
    """
    if not hasattr(inference, "get_provider_graph_assignment_info"):
        return ()
    counts = Counter({wanted.provider: 0})
    for subgraph in inference.get_provider_graph_assignment_info():
        counts[subgraph.ep_name] += len(subgraph.get_nodes())
    if counts.total() and not counts[wanted.provider]:
        others = ", ".join(f"{name} would run {count}" for name, count in counts.items() if count)
        raise ProviderUnavailable(
            f"{wanted.name} supports no node of {path}: {others}",
            hint="nothing would run on it; try --provider cpu",
        )
    return tuple(NodePlacement(provider=name, node_count=count) for name, count in counts.items())


def _type_in_words(value: Any) -> str:
    names = {"float": "float32", "double": "float64"}
    words = re.sub(r"tensor\((\w+)\)", lambda match: names.get(match[1], match[1]), value.type)
    if not value.type.startswith("tensor("):
        return words
    return f"{words}[{', '.join('?' if dim is None else str(dim) for dim in value.shape)}]"


# ---------------------------------------------------------------- in a child process, for `providers.describe`

_PROBE_MODEL = """<ir_version: 8, opset_import: ["": 13]>
probe (float[1, 4] x) => (float[1, 4] y)
<float[4, 4] w = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}> { y = MatMul(x, w) }"""


def list_built_in(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: the version of onnxruntime and the providers it was built with."""
    onnxruntime = library.load_onnxruntime()
    return {"version": onnxruntime.__version__, "providers": list(onnxruntime.get_available_providers())}, ()


def probe(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: run a model of one MatMul, which every provider has, on request["provider"]."""
    import numpy as np
    import onnx.parser

    model = onnx.parser.parse_model(_PROBE_MODEL).SerializeToString()
    session = open_session(model, request["provider"], path="the trial model")
    session.run({"x": np.ones((1, 4), np.float32)})
    return {}, ()
