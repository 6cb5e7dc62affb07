"""Inputs for a model made from its own graph, so that every model runs and the same seed gives the same inputs.

Sizes left open are settled by what reads them, by their symbols' names, or by habit (batch 1, images 224 x 224); values
by the operators that read them (rows of the table they index), by the input's name, or by its type.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto, TypeProto

from onnxctl.errors import InvalidModel, OnnxctlError, ResourceLimit, UnsupportedModel, UsageError
from onnxctl.memory import available_memory_bytes
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import Model
from onnxctl.model.names import as_text
from onnxctl.model.tensors import DTYPES, dtype_name, raw_byte_count
from onnxctl.model.types import innermost_tensor, unknown_dimension, unnamed_dimensions
from onnxctl.runtime.domains import (
    brightest_pixel,
    domain_by_name,
    domain_by_type,
    domain_of,
    reads_quantized,
)
from onnxctl.runtime.given import NOTHING_GIVEN, Given, RawBytes, shaped
from onnxctl.runtime.habits import ATTEMPT_COUNT, Place, choose_sizes, role_of
from onnxctl.runtime.sizes import Dim, Shape, Size, settle
from onnxctl.runtime.trace import Trace, Use, trace_inputs
from onnxctl.runtime.value_rules import Domain
from onnxctl.runtime.values import make_array, to_onnxruntime

MEMORY_SHARE = 0.5
"""How much of the memory available now the inputs may take together."""

COLLECTION_LENGTH = 2
"""How many items a sequence input gets, and how many keys a map."""

_UNNAMED = frozenset(("", "?", "-1", "None", "none", "unknown"))
"""What old exporters write as a symbol where they mean that nothing is known."""

_STRING_BYTES = 16
"""Memory of one string as planned: a reference and a share of a short text."""

_OBJECT_BYTES = 128
"""Memory of an array beside its elements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeds:
    """Inputs as onnxruntime takes them, how each was made, in words, and the size each symbol got.

    open_size_count counts the sizes that were chosen by habit: with 0 of them another attempt makes the same shapes.
    attempt is the one these are of.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    dims: Mapping[str, int]
    open_size_count: int = 0
    attempt: int = 0


def generate_feeds(
    model: Model,
    graphs: ModelGraphs,
    *,
    dims: Mapping[str, int],
    seed: int,
    attempt: int = 0,
    given: Given = NOTHING_GIVEN,
) -> Feeds:
    """Values for every input that has no default, and for those with one that something was given for.

    Conditions (a bool that stands alone) are the bits of the seed, so that seeds in a row visit the branches in turn.
    dims gives sizes for symbols, given arrays do as well; attempt (below habits.ATTEMPT_COUNT) chooses among the
    habitual sizes for the others.
    Raises UsageError for a symbol that no input has, ResourceLimit where the inputs would not fit in memory,
    InvalidModel or UnsupportedModel for types that no value can be made of.
    """
    plan = _plan(model, graphs, dims, attempt, given)
    check_memory({name: _bytes_of(name, plan) for name in plan.types})
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    conditions = 0
    for name, kind in plan.types.items():
        if name in given.values:
            values[name], sources[name] = _as_fed(name, kind, given.values[name], plan), given.sources[name]
            continue
        domain = given.domains.get(name) or _domain(name, plan)
        if domain.kind == "coin" and not plan.shapes[name]:
            domain = replace(domain, kind="constant", low=seed >> conditions & 1)
            conditions += 1
        random = np.random.default_rng([seed, zlib.crc32(str(name).encode(errors="replace"))])
        values[name], sources[name] = _value(name, kind, plan.shapes[name], domain, random), domain.words
    return Feeds(values=values, sources=sources, dims=plan.dims, open_size_count=plan.open_size_count, attempt=attempt)


def find_feeds(
    model: Model,
    graphs: ModelGraphs,
    run: Callable[[Mapping[str, Any]], object],
    *,
    dims: Mapping[str, int],
    seed: int,
    failures: tuple[type[Exception], ...],
    given: Given = NOTHING_GIVEN,
) -> Feeds:
    """The first feeds with which `run` succeeds, trying other habitual sizes where the first don't fit the model.

    Raises what `generate_feeds` raises, and the first failure where every attempt fails.
    """
    first: Exception | None = None
    for attempt in range(ATTEMPT_COUNT):
        feeds = generate_feeds(model, graphs, dims=dims, seed=seed, attempt=attempt, given=given)
        try:
            run(feeds.values)
            return feeds
        except failures as failure:
            first = first or failure
            if not feeds.open_size_count:
                break
    assert first is not None
    raise first


def required_inputs(model: Model) -> dict[str, TypeProto]:
    """The inputs that must be given, with their types: those without an initializer as default."""
    graph = model.proto.graph
    defaults = {tensor.name for tensor in graph.initializer}
    defaults.update(sparse.values.name for sparse in graph.sparse_initializer)
    return {value.name: value.type for value in graph.input if value.name not in defaults}


def required_symbols(model: Model) -> frozenset[str]:
    """The open dimensions of the inputs that must be given: symbols, and what unnamed ones are called."""
    named = frozenset(symbol for kind in required_inputs(model).values() for symbol in _symbols(kind))
    return named.union(unnamed_dimensions(model.proto.graph))


# ---------------------------------------------------------------- memory


def planned_bytes(number: int, shape: tuple[int, ...]) -> int:
    """The memory a tensor of this element type (TensorProto.DataType) and shape will take."""
    count = math.prod(shape)
    if number == TensorProto.STRING:
        return count * _STRING_BYTES
    dtype = DTYPES.get(number)
    return raw_byte_count(count, max(dtype.bits, 8)) if dtype else 0


def check_memory(byte_counts: Mapping[str, int], *, limit_bytes: int | None = None) -> None:
    """Raises ResourceLimit, naming the largest, where values of these sizes exceed the limit together.

    The limit is MEMORY_SHARE of the memory available now unless one is given.
    """
    if limit_bytes is None:
        available = available_memory_bytes()
        limit_bytes = None if available is None else int(available * MEMORY_SHARE)
    total = sum(byte_counts.values())
    if limit_bytes is None or total <= limit_bytes:
        return
    name, largest = max(byte_counts.items(), key=lambda item: item[1])
    raise ResourceLimit(
        f"the inputs would take {total} bytes of memory, {largest} of them input {name!r}; the limit is {limit_bytes}",
        hint="give smaller sizes with --dim NAME=VALUE",
    )


# ---------------------------------------------------------------- the plan


@dataclass(frozen=True, slots=True)
class _Plan:
    types: Mapping[str, TypeProto]
    shapes: Mapping[str, tuple[int, ...]]
    dims: Mapping[str, int]
    uses: Mapping[str, list[Use]]
    sequence: int
    images: frozenset[str]
    signals: frozenset[str]
    open_size_count: int


def _plan(model: Model, graphs: ModelGraphs, dims: Mapping[str, int], attempt: int, given: Given) -> _Plan:
    types = required_inputs(model)
    types |= {value.name: value.type for value in model.proto.graph.input if value.name in given.names}
    symbols = {symbol: Size(symbol) for kind in types.values() for symbol in _symbols(kind)}
    unnamed = unnamed_dimensions(model.proto.graph)
    _check_dims(dims, symbols, unnamed)
    symbols |= {name: Size(name) for name in dims if name not in symbols}
    for symbol, size in dims.items():
        symbols[symbol].settle(size)
    open_shapes = {name: _open_shape(name, _tensor_type(name, kind), symbols) for name, kind in types.items()}
    _settle_given(given, open_shapes, dims)
    trace = _traced(graphs, types, open_shapes, symbols)
    places = [
        Place(name, axis, tuple(map(settle, shape)), _dtype(name, types[name]))
        for name, shape in trace.shapes.items()
        if shape is not None
        for axis in range(len(shape))
    ]
    open_size_count = choose_sizes(places, symbols, attempt)
    shapes = {name: _closed(shape or ()) for name, shape in trace.shapes.items()}
    uses: dict[str, list[Use]] = {name: [] for name in types}
    for use in trace.uses:
        uses[use.origin.input_name].append(use)
    lengths = [shapes[p.input_name][p.axis] for p in places if role_of(p) in ("sequence", "signal")]
    return _Plan(
        types=types,
        shapes=shapes,
        dims={symbol: size.value or 0 for symbol, size in symbols.items() if symbol not in _UNNAMED},
        uses=uses,
        sequence=max(lengths, default=1),
        images=frozenset(name for name, shape in shapes.items() if _is_image(name, shape)),
        signals=frozenset(p.input_name for p in places if role_of(p) == "signal"),
        open_size_count=open_size_count,
    )


def _traced(
    graphs: ModelGraphs, types: Mapping[str, TypeProto], shapes: dict[str, Shape], symbols: dict[str, Size]
) -> Trace:
    """The trace; inputs that state no shape get the rank their readers expect and are traced again."""
    trace = trace_inputs(graphs, shapes, symbols)
    unranked = [name for name, shape in shapes.items() if shape is None and types[name].HasField("tensor_type")]
    if not unranked:
        return trace
    for name in unranked:
        shapes[name] = tuple(Size() for _ in range(trace.rank_hints.get(name, 2)))
    return trace_inputs(graphs, shapes, symbols)


def _check_dims(dims: Mapping[str, int], symbols: Mapping[str, Size], unnamed: Iterable[str]) -> None:
    known = sorted({symbol for symbol in symbols if symbol not in _UNNAMED}.union(unnamed))
    for symbol, size in dims.items():
        if symbol not in symbols and symbol not in known:
            raise unknown_dimension(symbol, known)
        if size < 0:
            raise UsageError(f"dimension {symbol!r} can't be {size}")


def _settle_given(given: Given, shapes: dict[str, Shape], dims: Mapping[str, int]) -> None:
    """Give open sizes of the arrays given those of the arrays. Raises UsageError where --dim says otherwise."""
    for name, value in given.values.items():
        if not isinstance(value, np.ndarray) or shapes[name] is None:
            continue
        for dim, size in zip(shapes[name] or (), value.shape, strict=False):
            if not isinstance(dim, Size):
                continue
            if dim.value is None:
                dim.settle(size)
            elif dim.symbol in dims and dims[dim.symbol] != size:
                asked = dims[dim.symbol]
                raise UsageError(f"dimension {dim.symbol!r} is {asked}, but {size} in the input {name!r} given")
        shapes[name] = tuple(value.shape)


def _symbols(kind: TypeProto) -> Iterator[str]:
    inner = innermost_tensor(kind)
    if inner is not None:
        for dim in inner.shape.dim:
            if dim.dim_param and dim.dim_param not in _UNNAMED:
                yield dim.dim_param


def _tensor_type(name: str, kind: TypeProto) -> TypeProto.Tensor | TypeProto.SparseTensor:
    tensor = innermost_tensor(kind)
    if tensor is None:
        raise UnsupportedModel(f"input {name!r} states no type that a value could be made of")
    if tensor.elem_type not in DTYPES or tensor.elem_type == TensorProto.UNDEFINED:
        raise InvalidModel(f"input {name!r} has an unknown element type: elem_type = {tensor.elem_type}")
    return tensor


def _dtype(name: str, kind: TypeProto) -> str:
    return dtype_name(_tensor_type(name, kind).elem_type)


def _open_shape(name: str, tensor: TypeProto.Tensor | TypeProto.SparseTensor, symbols: Mapping[str, Size]) -> Shape:
    if not tensor.HasField("shape"):
        return None
    dims: list[Dim] = []
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            dims.append(int(dim.dim_value))
        else:
            dims.append(symbols.get(dim.dim_param or f"{as_text(name)}.{axis}") or Size())
    return tuple(dims)


def _closed(shape: tuple[Dim, ...]) -> tuple[int, ...]:
    return tuple((dim.value or 0) if isinstance(dim, Size) else (dim or 0) for dim in shape)


def _is_image(name: str, shape: tuple[int, ...]) -> bool:
    """Whether shape and name are those of pictures: one, three or four channels, first or last, and enough pixels."""
    if len(shape) not in (3, 4) or min(shape) == 0:
        return False
    least = 4 if re.search(r"image|img|pixel", str(name).lower()) else 16
    channels = (1, 3, 4) if len(shape) == 4 else (3, 4)
    first, last = shape[-3], shape[-1]
    return (first in channels and min(shape[-2:]) >= least) or (last in channels and min(shape[-3:-1]) >= least)


# ---------------------------------------------------------------- one input


def _bytes_of(name: str, plan: _Plan) -> int:
    """The memory the input will take: in a sequence, COLLECTION_LENGTH times that of an item."""
    kind, count = plan.types[name], 1
    while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
        is_sequence = kind.HasField("sequence_type")
        count *= COLLECTION_LENGTH if is_sequence else 1
        kind = kind.sequence_type.elem_type if is_sequence else kind.optional_type.elem_type
    tensor = innermost_tensor(kind)
    assert tensor is not None, "the plan has looked at the types"
    return count * (_OBJECT_BYTES + planned_bytes(tensor.elem_type, plan.shapes[name]))


def _domain(name: str, plan: _Plan) -> Domain:
    dtype, shape, uses = _dtype(name, plan.types[name]), plan.shapes[name], plan.uses[name]
    brightest = brightest_pixel(uses) if name in plan.images else None
    by_type = domain_by_type(
        dtype, brightest=brightest, is_signal=name in plan.signals, is_quantized=reads_quantized(uses)
    )
    return domain_of(uses, by_type, domain_by_name(str(name), dtype, shape, plan.sequence))


def _as_fed(name: str, kind: TypeProto, value: Any, plan: _Plan) -> Any:
    """A given value as onnxruntime takes it."""
    if isinstance(value, RawBytes):
        number = _tensor_type(name, kind).elem_type
        return to_onnxruntime(shaped(name, value, number, plan.shapes[name]), number)
    if isinstance(value, np.ndarray):
        return to_onnxruntime(value, _tensor_type(name, kind).elem_type)
    return value


def _value(name: str, kind: TypeProto, shape: tuple[int, ...], domain: Domain, random: np.random.Generator) -> Any:
    try:
        return _made(kind, shape, domain, random)
    except OnnxctlError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise UnsupportedModel(f"no value of {_dtype(name, kind)} could be made for input {name!r}: {error}") from error


def _made(kind: TypeProto, shape: tuple[int, ...], domain: Domain, random: np.random.Generator) -> Any:
    which = kind.WhichOneof("value")
    if which == "sequence_type":
        return [_made(kind.sequence_type.elem_type, shape, domain, random) for _ in range(COLLECTION_LENGTH)]
    if which == "optional_type":
        return _made(kind.optional_type.elem_type, shape, domain, random)
    if which == "map_type":
        values = make_array(kind.map_type.value_type.tensor_type.elem_type, (COLLECTION_LENGTH,), domain, random)
        return dict(zip(_keys(kind.map_type.key_type, domain), values.tolist(), strict=True))
    if which == "sparse_tensor_type":
        return _sparse(kind.sparse_tensor_type.elem_type, shape, domain, random)
    number = kind.tensor_type.elem_type
    return to_onnxruntime(make_array(number, shape, domain, random), number)


def _keys(number: int, domain: Domain) -> list[Any]:
    kind = str if number == TensorProto.STRING else int
    known = [each for each in domain.listed if isinstance(each, kind)][:COLLECTION_LENGTH]
    spare = [f"key{index}" if kind is str else index for index in range(COLLECTION_LENGTH)]
    return known if len(known) == COLLECTION_LENGTH else spare


def _sparse(number: int, shape: tuple[int, ...], domain: Domain, random: np.random.Generator) -> Any:
    """A coordinate-format tensor with an eighth of its elements set."""
    import onnxruntime

    count = math.prod(shape)
    places = np.arange(0, count, 8, dtype=np.int64)
    device = onnxruntime.OrtDevice.make("cpu", 0)._get_c_device()
    values = make_array(number, (len(places),), domain, random)
    indices = np.stack(np.unravel_index(places, shape), axis=-1).reshape(-1).astype(np.int64)
    dense = np.array(shape, dtype=np.int64)
    return onnxruntime.SparseTensor.sparse_coo_from_numpy(dense, values, indices, device)
