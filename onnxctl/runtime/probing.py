"""Two parts of models run side by side in a child process, and the values between compared: bisection's probes.

The parts come as messages whose weights are mapped from the model files (see `mapping`); the values never leave the
child but into files.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import ChildCrashed, ModelError, OnnxctlError, ResourceLimit
from onnxctl.reports import (
    JSON,
    BisectSide,
    OutputDifference,
    PartProbe,
    Probe,
    ProbeConfig,
    ProbedValue,
    decode,
    encode,
)
from onnxctl.runtime.children import child_for_models
from onnxctl.runtime.compare import TIMEOUT_S
from onnxctl.runtime.difference import difference_of_values

if TYPE_CHECKING:
    from onnx import ModelProto

    from onnxctl.model.graph import ModelGraphs
    from onnxctl.runtime.feeds import Feeds
    from onnxctl.runtime.session import Session

BEFORE, AFTER = "the first side", "the second side"


class Prober:
    """Runs probes in one child process and counts them. Use it as a context manager."""

    def __init__(self, *, timeout_s: float | None = None, memory_bytes: int | None = None) -> None:
        self.count = 0
        self._child: Child = child_for_models(memory_bytes)
        self._timeout_s = TIMEOUT_S if timeout_s is None else timeout_s

    def __enter__(self) -> Prober:
        self._child.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._child.close()

    def probe(self, config: ProbeConfig, before: bytes, after: bytes) -> Probe:
        """Run two models on the same generated inputs; a crash of the second side is its failure.

        Raises what the first side raises.
        """
        found = self._call("onnxctl.runtime.probing:probe", {"config": encode(config)}, [before, after])
        if isinstance(found, str):
            return Probe(failure=found, attempt=config.attempt or 0, dims=config.dims, tolerance=0.0, values=())
        return decode(Probe, found)

    def probe_part(
        self, config: ProbeConfig, making: bytes, before: bytes, after: bytes, *, folder: str | None = None
    ) -> PartProbe:
        """Run `making` on generated inputs, and two parts on the values it makes; config.output_names are the parts'.

        The outputs of `making` are the inputs of `before`, by name; config.input_names says what they are to `after`.
        In the folder, which must not exist, what `before` is fed and gives is written as an ONNX test data set.
        """
        request = {"config": encode(config), "folder": folder}
        found = self._call("onnxctl.runtime.probing:probe_part", request, [making, before, after])
        return PartProbe(failure=found, inputs=(), values=()) if isinstance(found, str) else decode(PartProbe, found)

    def _call(self, target: str, request: JSON, blobs: Sequence[bytes]) -> JSON:
        """The answer; a text where the second side crashed."""
        self.count += 1
        told: list[str] = []
        try:
            answer, _ = self._child.call(
                target,
                request,
                blobs,
                timeout_s=self._timeout_s,
                progress=lambda news: told.append(str(news)),
                doing="a probe",
            )
        except ChildCrashed as error:
            if told[-1:] != [AFTER]:
                raise
            return f"{AFTER} crashes: {error.message}"
        return answer


# ---------------------------------------------------------------- the child's side


def probe(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: what `Prober.probe` asks for."""
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import open_model
    from onnxctl.runtime.tolerance import tolerance_of

    config = decode(ProbeConfig, request["config"])
    whole = ModelGraphs(open_model(config.before.path))
    tolerance = tolerance_of(whole) if config.tolerance is None else config.tolerance
    progress(BEFORE)
    session = _open(bytes(blobs[0]), config.before)
    feeds = _feeds(config, whole, session)
    first = _run(session, feeds.values, [name for name, _ in config.output_names])
    del session
    gc.collect()
    progress(AFTER)
    fed = {new: feeds.values[old] for old, new in config.input_names if old in feeds.values}
    second, failure = _run_second(bytes(blobs[1]), config, fed)
    found = Probe(
        failure=failure,
        attempt=feeds.attempt,
        dims=tuple(feeds.dims.items()),
        tolerance=tolerance,
        values=_compared(config, whole, first, second, tolerance),
    )
    return encode(found), ()


def probe_part(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: what `Prober.probe_part` asks for."""
    from onnx import ModelProto

    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import open_model
    from onnxctl.runtime.saving import write_outputs
    from onnxctl.runtime.tolerance import tolerance_of

    config = decode(ProbeConfig, request["config"])
    whole = ModelGraphs(open_model(config.before.path))
    tolerance = tolerance_of(whole) if config.tolerance is None else config.tolerance
    making, before, after = (ModelProto.FromString(bytes(blob)) for blob in blobs)
    progress(BEFORE)
    feeds = _feeds(config, whole, None).values
    made = [value.name for value in making.graph.output]
    values = dict(feeds)
    if made:
        values |= zip(made, _run(_open(making.SerializeToString(), config.before), feeds, made), strict=True)
    del making
    inputs = {value.name for value in before.graph.input}
    fed = {name: value for name, value in values.items() if name in inputs}
    described = _described(fed)
    renamed = dict(config.input_names)
    others = {renamed[name]: value for name, value in values.items() if name in renamed}
    _state_types(before, described)
    _state_types(after, [_renamed(each, renamed[each.name]) for each in described if each.name in renamed])
    names = [name for name, _ in config.output_names]
    first = _run(_open(before.SerializeToString(), config.before), fed, names)
    gc.collect()
    if request["folder"] is not None:
        write_outputs(request["folder"], fed, names, first)
    progress(AFTER)
    second, failure = _run_second(after.SerializeToString(), config, others)
    found = _compared(config, whole, first, second, tolerance)
    return encode(PartProbe(failure=failure, inputs=tuple(described), values=found)), ()


def _open(model: bytes, side: BisectSide) -> Session:
    from onnxctl.runtime.mapping import MAPPED_CONFIG
    from onnxctl.runtime.session import SessionSettings, open_session

    settings = SessionSettings(
        providers=(side.provider,),
        graph_optimization=side.graph_optimization,
        memory_arena=False,
        config=(*MAPPED_CONFIG, ("session.disable_prepacking", "1")),
    )
    return open_session(model, settings, path=side.path)


def _feeds(config: ProbeConfig, whole: Any, session: Session | None) -> Feeds:
    """The inputs of the whole model: those found when both were run as a whole, or else the first that run."""
    from onnxctl.runtime.feeds import find_feeds, generate_feeds, required_symbols
    from onnxctl.runtime.given import read_inputs

    model = whole.model
    dims = {symbol: size for symbol, size in config.dims if symbol in required_symbols(model)}
    given = read_inputs(model, config.inputs)
    if config.attempt is not None or session is None:
        return generate_feeds(model, whole, dims=dims, seed=config.seed, attempt=config.attempt or 0, given=given)
    return find_feeds(
        model, whole, session.run, dims=dims, seed=config.seed, failures=(ModelError, ResourceLimit), given=given
    )


def _run(session: Session, feeds: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    taken = {value.name for value in session.inputs}
    outputs = session.run({name: value for name, value in feeds.items() if name in taken})
    places = [value.name for value in session.outputs]
    return [outputs[places.index(name)] for name in names]


def _run_second(model: bytes, config: ProbeConfig, feeds: Mapping[str, Any]) -> tuple[list[Any], str]:
    """The second side's values, or why there are none."""
    try:
        session = _open(model, config.after)
        return _run(session, feeds, [name for _, name in config.output_names]), ""
    except (ModelError, ResourceLimit) as error:
        return [], f"{AFTER} gives no values: {_message(error, config)}"


def _message(error: OnnxctlError, config: ProbeConfig) -> str:
    return error.message.removeprefix(f"{config.after.path}: ")


def _compared(
    config: ProbeConfig, whole: ModelGraphs, first: Sequence[Any], second: Sequence[Any], tolerance: float
) -> tuple[OutputDifference, ...]:
    from onnxctl.runtime.tolerance import decides_by_floats

    may_flip = decides_by_floats(whole)
    found = []
    for (before, after), x, y in zip(config.output_names, first, second, strict=False):
        alike = y.reshape(x.shape) if before in config.rows and x.size == y.size else y
        ranked = whole.top.is_output(before)
        found.append(difference_of_values(before, after, [(x, alike)], tolerance, may_flip, ranked=ranked))
    return tuple(found)


# ---------------------------------------------------------------- the inputs of a part


def _described(values: Mapping[str, Any]) -> list[ProbedValue]:
    """The types of tensors; what is none is left out."""
    import numpy as np

    from onnxctl.model.arrays import element_type

    found = []
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            number = 8 if value.dtype == object else element_type(value.dtype)
            found.append(ProbedValue(name=name, element_type=number, shape=tuple(value.shape)))
    return found


def _renamed(value: ProbedValue, name: str) -> ProbedValue:
    return ProbedValue(name=name, element_type=value.element_type, shape=value.shape)


def _state_types(model: ModelProto, values: Sequence[ProbedValue]) -> None:
    """Give the inputs without a type the one of their value: onnxruntime demands one."""
    from onnx import helper

    types = {each.name: each for each in values}
    for value in model.graph.input:
        if not value.HasField("type") and value.name in types:
            known = types[value.name]
            value.CopyFrom(helper.make_tensor_value_info(value.name, known.element_type, list(known.shape)))
