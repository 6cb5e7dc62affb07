"""Sessions: a model opened on exactly the provider that was asked for, or the reason why not."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxctl.child import Answer, Blob, Progress
from onnxctl.errors import OnnxctlError, ProviderUnavailable, UnsupportedModel, UsageError
from onnxctl.reports import JSON, GraphOptimization, NodeOnCpu, NodePlacement, ProviderOption
from onnxctl.runtime import library
from onnxctl.runtime.failures import cleaned, load_failure, provider_failure, run_failure
from onnxctl.runtime.placement import AssignedNode, ProviderNodes, describe_placement, nodes_left_to_cpu
from onnxctl.runtime.plugins import check_options, options_of, plugins_of
from onnxctl.runtime.providers import CPU, ExecutionProvider, how_to_get, resolve, unusable

_FATAL_ONLY = 4
_INFORMATION = 1
_RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
_STANDARD_OUTPUTS = (1, 2)
_LOG_BYTES = 1 << 24
_SMALL_FLOAT_OR_INTEGER = re.compile(r"\b(bfloat|float[48]|u?int[24]\b)")
"""In onnxruntime's names of types: those numpy has no name for."""
_BAD_OPTION = re.compile(r"[Ii]nvalid \w+ EP option|Unknown provider option|Failed to parse provider option")


@dataclass(frozen=True, slots=True)
class ValueType:
    """One input or output as the session has it; type in words, "float32[batch, 3]"."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How to open a session. providers is the chain: the first that takes a node runs it.

    onnxruntime adds the CPU for what is left: see `Session.placement`. provider_libraries are (name, path) of plugins;
    without memory_arena buffers are freed at once, not pooled; config are onnxruntime's session config entries. With
    explain the session's log tells why providers left nodes. profile_prefix begins the path of onnxruntime's profile,
    optimized_path is where it writes the graph it runs.
    """

    providers: tuple[str, ...] = (CPU.name,)
    provider_options: tuple[ProviderOption, ...] = ()
    provider_libraries: tuple[tuple[str, str], ...] = ()
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None
    graph_optimization: GraphOptimization = "all"
    memory_arena: bool = True
    config: Sequence[tuple[str, str]] = ()
    custom_ops: Sequence[str] = ()
    explain: bool = False
    profile_prefix: str | None = None
    optimized_path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open session. providers are onnxruntime's names in their order; load_ns is the time it took to open.

    chain are the providers asked for. placement is empty where this onnxruntime does not record it. log is what
    onnxruntime wrote meanwhile, empty on the CPU.
    """

    path: str
    chain: tuple[ExecutionProvider, ...]
    providers: tuple[str, ...]
    placement: tuple[ProviderNodes, ...]
    load_ns: int
    inputs: tuple[ValueType, ...]
    outputs: tuple[ValueType, ...]
    inference: Any
    failures: tuple[type[Exception], ...]
    log: str = ""

    @property
    def provider(self) -> ExecutionProvider:
        """The first provider of the chain."""
        return self.chain[0]

    @property
    def nodes_by_provider(self) -> tuple[NodePlacement, ...]:
        """The placement as reports have it."""
        return describe_placement(self.placement)

    @property
    def nodes_on_cpu(self) -> tuple[NodeOnCpu, ...]:
        """The nodes that fell to the CPU although another provider was asked for first, and why."""
        return nodes_left_to_cpu(self.placement, [each.provider for each in self.chain], self.log)

    def bare_run(self, feeds: Mapping[str, object]) -> Callable[[], object]:
        """onnxruntime's own run on these inputs, with nothing of ours around it: it raises one of `failures`."""
        inference = self.inference

        def run() -> object:  # no functools.partial: Python calls it a tenth of a microsecond more slowly
            return inference.run(None, feeds)

        return run

    def run(self, feeds: Mapping[str, object]) -> Sequence[object]:
        """The outputs in the model's order: arrays, lists for sequences, None for an absent optional.

        Raises ResourceLimit or UnsupportedModel.
        """
        try:
            if not any(_SMALL_FLOAT_OR_INTEGER.search(each.type) for each in self.inference.get_outputs()):
                found: Sequence[object] = self.inference.run(None, feeds)
                return found
            from onnxctl.runtime.values import fetch_outputs

            return fetch_outputs(self.inference, feeds)
        except self.failures as error:
            raise run_failure(error, self.path) from error


def open_session(
    model: str | bytes,
    settings: SessionSettings = SessionSettings(),
    *,
    path: str = "",
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Session:
    """Open a model, a file's path or its bytes, on exactly the providers asked for. path names it in errors.

    External data is read by onnxruntime under its own rules; check it first.

    Raises UsageError for an unknown provider or option; MissingPackage or ProviderUnavailable when a provider can't be
    had, or the first was given no node of the model at all; ModelError or ResourceLimit for a model that can't be
    opened.
    """
    onnxruntime = library.load_onnxruntime()
    plugins = plugins_of(onnxruntime, settings.provider_libraries)
    chain = tuple(plugins.get(each.lower()) or resolve(each) for each in settings.providers)
    check_options(chain, settings.provider_options)
    for each in chain:
        if each.provider not in {plugin.provider for plugin in plugins.values()}:
            _expect_built_in(onnxruntime, each)
    name = path or (model if isinstance(model, str) else "model")
    failures = library.failure_types(onnxruntime)
    with _native_log(chain) as read_log:
        for each in chain:
            _preload(onnxruntime, each)
        start_ns = clock()
        try:
            options = _session_options(onnxruntime, settings)
            inference = _inference(onnxruntime, model, options, chain, settings, by_device=bool(plugins))
        except failures as error:
            raise _refusal(error, read_log(), name, chain) from error
        load_ns = clock() - start_ns
        log = read_log()
    providers = tuple(inference.get_providers())
    for each in chain:
        if each.provider not in providers:
            raise _unavailable(each, provider_failure(log) or "onnxruntime left it out and did not say why")
    return Session(
        path=name,
        chain=chain,
        providers=providers,
        placement=_placement(inference, chain, name),
        load_ns=load_ns,
        inputs=_value_types(inference.get_inputs(), name),
        outputs=_value_types(inference.get_outputs(), name),
        inference=inference,
        failures=failures,
        log=log,
    )


def _session_options(onnxruntime: Any, settings: SessionSettings) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _INFORMATION if settings.explain else _FATAL_ONLY
    options.graph_optimization_level = _optimization_level(onnxruntime, settings.graph_optimization)
    options.enable_cpu_mem_arena = settings.memory_arena
    options.intra_op_num_threads = settings.intra_op_threads or 0
    options.inter_op_num_threads = settings.inter_op_threads or 0
    if settings.inter_op_threads is not None and settings.inter_op_threads > 1:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL  # otherwise the threads would be idle
    for key, value in ((_RECORD_PLACEMENT, "1"), *settings.config):
        options.add_session_config_entry(key, value)
    for custom in settings.custom_ops:
        try:
            options.register_custom_ops_library(os.path.abspath(custom))
        except library.failure_types(onnxruntime) as error:
            raise UsageError(f"--custom-ops {custom}: {cleaned(str(error))}") from error
    if settings.profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = settings.profile_prefix
    if settings.optimized_path is not None:
        options.optimized_model_filepath = settings.optimized_path
    return options


def _inference(
    onnxruntime: Any,
    model: str | bytes,
    options: Any,
    chain: Sequence[ExecutionProvider],
    settings: SessionSettings,
    *,
    by_device: bool,
) -> Any:
    """onnxruntime's session; a plugin's providers can only be chosen by_device."""
    chosen = [(each.provider, options_of(each, chain, settings.provider_options)) for each in chain]
    if not by_device:
        return onnxruntime.InferenceSession(model, options, chosen, enable_fallback=0)
    for name, provider_options in chosen:
        devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]
        options.add_provider_for_devices(devices[:1], provider_options)
    return onnxruntime.InferenceSession(model, options, enable_fallback=0)


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


def _refusal(error: Exception, log: str, name: str, chain: Sequence[ExecutionProvider]) -> OnnxctlError:
    """The provider's failure where onnxruntime's log or message tells of one, else the model's."""
    wanted = chain[0]
    said = f"{log}\n{error}"
    if _BAD_OPTION.search(str(error)):
        return UsageError(f"{wanted.name} does not take these options: {cleaned(str(error))}")
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
def _native_log(chain: Sequence[ExecutionProvider]) -> Iterator[Callable[[], str]]:
    """Catch what native code writes to standard output and error: only there does it say why a provider fails.

    Not for the CPU: it has nothing to say, and the last words of a crash must reach the parent process.
    """
    if all(each is CPU for each in chain):
        yield lambda: ""
        return
    with tempfile.TemporaryFile() as log:
        kept = [os.dup(descriptor) for descriptor in _STANDARD_OUTPUTS]
        try:
            for descriptor in _STANDARD_OUTPUTS:
                os.dup2(log.fileno(), descriptor)
            yield lambda: os.pread(log.fileno(), _LOG_BYTES, 0).decode(errors="replace")
        finally:
            for saved, descriptor in zip(kept, _STANDARD_OUTPUTS, strict=True):
                os.dup2(saved, descriptor)
                os.close(saved)


def _placement(inference: Any, chain: Sequence[ExecutionProvider], path: str) -> tuple[ProviderNodes, ...]:
    """The nodes each provider was given, in the chain's order.

    Raises ProviderUnavailable where the graph has nodes and the first provider got none of them.
    """
    if not hasattr(inference, "get_provider_graph_assignment_info"):
        return ()
    nodes: dict[str, list[AssignedNode]] = {each.provider: [] for each in chain}
    for subgraph in inference.get_provider_graph_assignment_info():
        found = [_assigned_node(each) for each in subgraph.get_nodes()]
        nodes.setdefault(subgraph.ep_name, []).extend(found)
    if any(nodes.values()) and not nodes[chain[0].provider]:
        others = ", ".join(f"{name} would run {len(each)}" for name, each in nodes.items() if each)
        raise ProviderUnavailable(
            f"{chain[0].name} supports no node of {path}: {others}",
            hint="nothing would run on it; try --provider cpu",
        )
    return tuple(ProviderNodes(name, tuple(each)) for name, each in nodes.items())


def _value_types(values: Sequence[Any], path: str) -> tuple[ValueType, ...]:
    try:
        return tuple(ValueType(each.name, _type_in_words(each)) for each in values)
    except UnicodeDecodeError as error:
        raise UnsupportedModel(f"{path}: onnxruntime's Python binding takes no names that are not UTF-8") from error


def _assigned_node(node: Any) -> AssignedNode:
    try:
        name = node.name
    except UnicodeDecodeError:  # the binding can't hand on a name that is not UTF-8
        name = ""
    return AssignedNode(name, node.op_type, node.domain)


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
    session = open_session(model, SessionSettings(providers=(request["provider"],)), path="the trial model")
    session.run({"x": np.ones((1, 4), np.float32)})
    return {}, ()
