"""From a config to a session that has run once: the model is checked, opened, fed, and its first outputs kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxctl.errors import ModelError, OnnxctlError, ResourceLimit, UnreadableFile, UnsupportedModel, UsageError
from onnxctl.model.tensors import dtype_name
from onnxctl.reports import RunConfig
from onnxctl.runtime.session import Session, SessionSettings, open_session

if TYPE_CHECKING:
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import Model
    from onnxctl.runtime.feeds import Feeds
    from onnxctl.runtime.given import DataSet, Given

ModelCheck = Callable[["Model"], object]
"""What looks at a model before anything is done with it, and raises what it finds."""

DEFAULT_TIMEOUT_S = 600.0

PROCESS_BYTES = 200_000_000
"""What a process needs that has opened a small model."""

NATIVE_CODE_OPERATORS = frozenset({("com.microsoft", "EPContext"), ("com.microsoft", "PyOp"), ("pyop", "PyOp")})
"""Operators that carry code or compiled programs for a device: they are never run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model that runs: its session, the inputs it ran on first, and what came out."""

    model: Model
    graphs: ModelGraphs
    session: Session
    feeds: Feeds
    data_sets: tuple[DataSet, ...]
    outputs: Sequence[Any]
    first_run_ns: int


def estimate_memory_bytes(path: str) -> int:
    """About what a process needs that runs the model: its weights as they are read, and as they are packed.

    0 for a file that can't be read: who opens it will say why.
    """
    from onnxctl.model.loading import open_model

    try:
        model = open_model(path)
        weights_bytes = model.source.size + sum(each.source().size for each in model.data_files)
    except OnnxctlError:
        return 0
    return 2 * weights_bytes + PROCESS_BYTES


def settings_of(config: RunConfig) -> SessionSettings:
    """The session that the config asks for."""
    return SessionSettings(
        providers=config.providers,
        provider_options=config.provider_options,
        provider_libraries=config.provider_libraries,
        intra_op_threads=config.intra_op_threads,
        inter_op_threads=config.inter_op_threads,
        graph_optimization=config.graph_optimization,
        config=config.session_config,
        custom_ops=config.custom_ops,
    )


def open_for_run(
    config: RunConfig,
    memory_bytes: int | None,
    news: Callable[[str], None],
    settings: SessionSettings | None = None,
    check: ModelCheck = lambda model: None,
) -> Opened:
    """Check and open the model, make its inputs (or read those given), and run it once.

    settings replace those of the config; check sees the model first. Raises what check, `read_inputs`,
    `generate_feeds`, `check_tensors`, `open_session` and `Session.run` raise; what is asked wrongly is told before
    anything is loaded.
    """
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import open_model
    from onnxctl.runtime.feeds import find_feeds, generate_feeds

    news("reading the model")
    model = open_model(config.path)
    check(model)
    graphs = ModelGraphs(model)
    check_tensors(model, memory_bytes)
    refuse_native_code(graphs)
    data_sets = data_sets_of(config, model)
    given = _given(config, model, data_sets)
    planned = generate_feeds(model, graphs, dims=dict(config.dims), seed=config.seed, given=given)
    check_values(graphs, planned.dims, memory_bytes)
    news(f"loading the model on {', '.join(config.providers)}")
    session = open_session(as_onnxruntime_opens_it(model), settings or settings_of(config), path=config.path)
    first = FirstRun(session)
    news("first run")
    feeds = find_feeds(
        model,
        graphs,
        first.run,
        dims=dict(config.dims),
        seed=config.seed,
        failures=(UnsupportedModel,),
        given=given,
    )
    return Opened(
        model=model,
        graphs=graphs,
        session=session,
        feeds=feeds,
        data_sets=data_sets,
        outputs=first.outputs,
        first_run_ns=first.elapsed_ns,
    )


class FirstRun:
    """Runs a session, and keeps the outputs and the time of the last run that worked."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.outputs: Sequence[object] = ()
        self.elapsed_ns = 0

    def run(self, feeds: Mapping[str, object]) -> None:
        start_ns = time.perf_counter_ns()
        self.outputs = self._session.run(feeds)
        self.elapsed_ns = time.perf_counter_ns() - start_ns


def data_sets_of(config: RunConfig, model: Model) -> tuple[DataSet, ...]:
    """The test data sets of the folder named, or with verify those beside the model."""
    import os

    from onnxctl.runtime.given import data_set_folders, read_data_set

    if config.data_folder is not None:
        folders = data_set_folders(config.data_folder)
        if not folders:
            raise UsageError(
                f"{config.data_folder}: no test data set: neither input_0.pb nor a folder test_data_set_0 is in it"
            )
    elif config.verify:
        folders = data_set_folders(os.path.dirname(os.path.abspath(config.path)))
    else:
        folders = ()
    return tuple(read_data_set(model, folder) for folder in folders)


def _given(config: RunConfig, model: Model, data_sets: Sequence[DataSet]) -> Given:
    from onnxctl.runtime.given import read_inputs

    if not config.inputs and data_sets:
        return data_sets[0].given
    if config.inputs and config.data_folder is not None:
        raise UsageError("--input and --data exclude each other", hint="leave one of them out")
    return read_inputs(model, config.inputs)


def check_tensors(model: Model, memory_bytes: int | None = None) -> None:
    """Look at every tensor before onnxruntime does, which follows external data and trusts sizes.

    Raises InvalidModel, UnreadableFile or UnsafePath for a tensor whose bytes can't be had as described, and
    ResourceLimit where the tensors take more than memory_bytes together.
    """
    from onnxctl.model.copying import check_checksum
    from onnxctl.model.loading import tensors_of_model

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
            f"{memory_bytes} may be used",
            hint=_MORE_MEMORY,
        )


def check_values(graphs: ModelGraphs, dims: Mapping[str, int], memory_bytes: int | None) -> None:
    """Look at every value that a run makes in the top graph, as far as its size is known with these dims.

    onnxruntime makes those too that nothing reads. Raises ResourceLimit for the first that takes more than memory_bytes
    by itself. What is made in subgraphs is not looked at: they may never run.
    """
    from onnxctl.model.propagation import byte_count, propagate

    if memory_bytes is None:
        return
    found = propagate(graphs, dims=dims).top
    for node in graphs.top.nodes:
        for name in node.output:
            fact = found.fact(name)
            size = byte_count(fact)
            if isinstance(size, int) and size > memory_bytes:
                shape = ", ".join(map(str, fact.shape or ()))
                raise ResourceLimit(
                    f"{graphs.model.path}: node {graphs.top.node_label(node)!r} ({node.op_type}) makes {name!r}, "
                    f"{dtype_name(fact.dtype or 0)}[{shape}]: {size} bytes of memory; {memory_bytes} may be used",
                    hint=_MORE_MEMORY,
                )


_MORE_MEMORY = "--max-memory sets the limit, which is most of what is available now; --dim NAME=SIZE smaller sizes"


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


def as_onnxruntime_opens_it(model: Model) -> str | bytes:
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
