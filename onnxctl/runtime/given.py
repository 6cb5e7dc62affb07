"""Inputs that somebody gave: values from files (.npy, .npz, .pb, raw bytes), or how to make them ("random:normal").

An ONNX test data set is a folder of input_0.pb, input_1.pb, ... and the output_0.pb, ... expected of them. Nothing is
ever unpickled.
"""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto, TypeProto, ValueInfoProto, numpy_helper

from onnxctl.errors import ModelError, UnreadableFile, UnsupportedModel, UsageError
from onnxctl.model.arrays import Array, numpy_dtype
from onnxctl.model.files import open_regular
from onnxctl.model.loading import Model
from onnxctl.model.tensors import DTYPES
from onnxctl.runtime.value_rules import Domain

DATA_SET_PREFIX = "test_data_set_"

_NUMBERED = re.compile(r"(input|output)_([0-9]{1,6})\.pb")
_FILL = re.compile(r"(?:random:)?(normal|uniform|integers|ones|zeros|range|constant)((?::[-+.0-9e]+)*)")
_FILLS = "random:normal, random:uniform[:LOW:HIGH], random:integers:LOW:HIGH, ones, zeros, range, constant:VALUE"
_BAD_FILE = (OSError, ValueError, EOFError, KeyError, SyntaxError, DecodeError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBytes:
    """The bytes of a file that says nothing of type or shape."""

    data: bytes
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was given for inputs, by name: values or domains to draw from; sources tell in words where each is from.

    Values are arrays, lists for sequences, None for an absent optional, or RawBytes.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    domains: Mapping[str, Domain] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that something was given for."""
        return (*self.values, *self.domains)


NOTHING_GIVEN = Given()


def read_inputs(model: Model, sources: Sequence[tuple[str, str]]) -> Given:
    """What `NAME=SOURCE` pairs give. Raises UsageError for an unknown name, kind or unfit values; UnreadableFile."""
    inputs = {value.name: value.type for value in model.proto.graph.input}
    values: dict[str, Any] = {}
    domains: dict[str, Domain] = {}
    for name, text in sources:
        if name not in inputs:
            known = ", ".join(map(repr, inputs))
            what = f"its inputs are {known}" if known else "it has none"
            raise UsageError(f"--input {name}={text}: the model has no such input: {what}")
        filling = _FILL.fullmatch(text)
        if filling is not None:
            numbers = [each for each in filling[2].split(":") if each]
            domains[name] = _domain(f"--input {name}={text}", filling[1], numbers)
            _check_holds(f"--input {name}={text}", inputs[name], domains[name])
        elif text.startswith("random:") or (not re.search(r"[./\\]", text) and not os.path.lexists(text)):
            raise UsageError(f"--input {name}={text}: neither a file nor a way to make values", hint=f"one of {_FILLS}")
        else:
            values[name] = fitted(name, inputs[name], read_value(text, name, inputs[name]), text)
    words = {name: domain.words for name, domain in domains.items()}
    given = {name: os.path.basename(text) for name, text in sources if name in values}
    return Given(values=values, domains=domains, sources=words | given)


def _domain(text: str, kind: str, numbers: Sequence[str]) -> Domain:
    wanted = {"normal": (0,), "uniform": (0, 2), "integers": (2,), "constant": (1,)}.get(kind, (0,))
    try:
        parameters = [float(each) for each in numbers]
    except ValueError:
        parameters = [math.nan]
    if len(parameters) not in wanted or not all(map(math.isfinite, parameters)):
        counts = " or ".join("no" if count == 0 else str(count) for count in wanted)
        numbers_wanted = "1 number" if wanted == (1,) else f"{counts} numbers"
        raise UsageError(f"{text}: {kind} takes {numbers_wanted}", hint=f"one of {_FILLS}")
    low, high = (*parameters, 0.0, 1.0)[:2] if parameters else (0.0, 1.0)
    if len(parameters) == 2 and low > high:
        raise UsageError(f"{text}: {low:g} is above {high:g}")
    if kind == "ones":
        return Domain(kind="constant", low=1, words="ones")
    if kind == "zeros":
        return Domain(kind="constant", low=0, words="zeros")
    if kind == "constant":
        return Domain(kind="constant", low=parameters[0], words=f"all {parameters[0]:g}")
    if kind == "range":
        return Domain(kind="ascending", low=0, high=2**31, words="0, 1, 2, ... (all differ)")
    if kind == "normal":
        return Domain(kind="normal", words="normal")
    return Domain(kind=kind, low=low, high=high, words=f"{kind} {low:g}..{high:g}")  # type: ignore[arg-type]


def _check_holds(text: str, kind: TypeProto, domain: Domain) -> None:
    """Raises UsageError for numbers where the input takes strings, or those that its integers can't hold."""
    number = kind.tensor_type.elem_type
    if number == TensorProto.STRING:
        raise UsageError(f"{text}: the input takes strings", hint="give a .npy, .npz or .pb file of them")
    dtype = numpy_dtype(number) if number in DTYPES else np.dtype(np.float32)
    if dtype.kind in "iu":
        least, most = np.iinfo(dtype.name).min, np.iinfo(dtype.name).max
        if domain.kind in ("constant", "integers", "uniform") and not least <= domain.low <= domain.high <= most:
            raise UsageError(f"{text}: the input takes {dtype.name}, which holds {least} to {most}")


# ---------------------------------------------------------------- files


def read_value(path: str, name: str, kind: TypeProto) -> Any:
    """The value a file holds for the input `name` of this type; "FILE.npz:KEY" names an array of an archive.

    Raises UnreadableFile where it can't be read as what its ending says.
    """
    path, _, key = path.rpartition(":") if re.search(r"\.npz:[^/]+$", path) else (path, "", "")
    ending = os.path.splitext(path)[1].lower()
    source = open_regular(path)
    try:
        if ending == ".npy":
            with open(source.descriptor, "rb", closefd=False) as file:
                return _strings(np.load(file, allow_pickle=False))
        if ending == ".npz":
            with open(source.descriptor, "rb", closefd=False) as file, np.load(file, allow_pickle=False) as archive:
                return _strings(archive[_key(path, archive.files, key, name)])
        data = source.read(0, source.size)
        return _value_of(data, kind, path) if ending == ".pb" else RawBytes(data=data, path=path)
    except ModelError:
        raise
    except _BAD_FILE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "pickle" in reason:  # what numpy says of every file that it does not know
            reason = "it holds no array of numbers or text, and pickled objects are never read"
        raise UnreadableFile(f"{path}: can't be read as {ending or 'a file'}: {reason}") from error


def _key(path: str, keys: Sequence[str], wanted: str, name: str) -> str:
    found = wanted or (name if name in keys else keys[0] if len(keys) == 1 else "")
    if found not in keys:
        raise UnreadableFile(
            f"{path}: holds no array {wanted or name!r}, only {', '.join(map(repr, keys))}",
            hint=f"name one: --input {name}={path}:KEY",
        )
    return found


def _strings(array: Array) -> Array:
    return array.astype(object) if array.dtype.kind in "US" else array


_MESSAGES: Mapping[str, tuple[Callable[[], Message], Callable[[Any], Any]]] = {
    "tensor_type": (TensorProto, numpy_helper.to_array),
    "sequence_type": (onnx.SequenceProto, numpy_helper.to_list),
    "optional_type": (onnx.OptionalProto, numpy_helper.to_optional),
    "map_type": (onnx.MapProto, numpy_helper.to_dict),
}


def _value_of(data: bytes, kind: TypeProto, path: str) -> Any:
    """The value of a serialized TensorProto, SequenceProto, OptionalProto or MapProto, as the type asks."""
    return _named_value_of(data, kind, path).value


@dataclass(frozen=True, slots=True)
class _NamedValue:
    name: str
    value: Any


def _named_value_of(data: bytes, kind: TypeProto, path: str) -> _NamedValue:
    which = kind.WhichOneof("value") or "tensor_type"
    if which not in _MESSAGES:
        raise UnsupportedModel(f"{path}: values of {which} can't be read from a file")
    make, convert = _MESSAGES[which]
    message: Any = make()
    message.ParseFromString(data)
    if which == "optional_type" and not _is_optional(message, kind.optional_type.elem_type, len(data)):
        return _named_value_of(data, kind.optional_type.elem_type, path)
    if b"\x70\x01" in data and _is_external(message):  # field 14, data_location: EXTERNAL
        raise UnreadableFile(f"{path}: its values are in another file, which is not read")
    value = _as_onnxruntime_gives_it(convert(message))
    return _NamedValue(message.name, value.astype(object) if _is_bytes(value) else value)


def _is_optional(message: Any, held: TypeProto, byte_count: int) -> bool:
    """Whether the message is an OptionalProto, and not the value itself that it would hold.

    They are told apart by fields that an OptionalProto does not have, and by the kind of value it says it holds.
    """
    kinds = {"tensor_type": onnx.OptionalProto.TENSOR, "sequence_type": onnx.OptionalProto.SEQUENCE}
    message.DiscardUnknownFields()
    known = (onnx.OptionalProto.UNDEFINED, kinds.get(held.WhichOneof("value"), message.elem_type))
    return message.ByteSize() == byte_count and message.elem_type in known


def _as_onnxruntime_gives_it(value: Any) -> Any:
    """The value with plain numbers and strings in its maps, where onnx has arrays of no dimensions and bytes."""
    if isinstance(value, list):
        return [_as_onnxruntime_gives_it(each) for each in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if getattr(value, "ndim", 1) == 0 else value


def _is_external(message: Any) -> bool:
    if isinstance(message, TensorProto):
        return message.data_location == TensorProto.EXTERNAL
    parts = [each for field_, each in message.ListFields() if field_.message_type is not None]
    flat = [item for part in parts for item in (part if isinstance(part, Sequence) else [part])]
    return any(_is_external(item) for item in flat)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "US"


# ---------------------------------------------------------------- does it fit?


def fitted(name: str, kind: TypeProto, value: Any, source: str) -> Any:
    """The value, if the input takes its type, rank and fixed sizes. Raises UsageError otherwise."""
    if not isinstance(value, np.ndarray) or not kind.HasField("tensor_type"):
        return value
    tensor = kind.tensor_type
    value = _as_written(value, tensor.elem_type)
    found = "string" if value.dtype == object else value.dtype.name
    wanted = _numpy_name(tensor.elem_type)
    if found != wanted:
        hint = f"convert it: numpy.save(FILE, array.astype({wanted!r}))" if "string" not in (found, wanted) else ""
        raise UsageError(f"{source}: input {name!r} takes {wanted}, this is {found}", hint=hint)
    if not tensor.HasField("shape"):
        return value
    dims = tensor.shape.dim
    fits = len(dims) == value.ndim and all(
        not dim.HasField("dim_value") or dim.dim_value in (size, -1)
        for dim, size in zip(dims, value.shape, strict=False)
    )
    if not fits:
        shape = ", ".join(str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims)
        raise UsageError(
            f"{source}: input {name!r} takes the shape [{shape}], this is {list(value.shape)}",
            hint="reshape it: numpy.save(FILE, array.reshape(...))",
        )
    return value


def _numpy_name(number: int) -> str:
    if number == TensorProto.STRING or number not in DTYPES:
        return "string" if number == TensorProto.STRING else "?"
    return numpy_dtype(number).name


def _as_written(array: Array, number: int) -> Array:
    """The array, of a type that numpy has no name for if need be: .npy keeps bfloat16 as two bytes, "V2"."""
    if array.dtype.kind != "V" or number not in DTYPES:
        return array
    dtype = numpy_dtype(number)
    return array.view(dtype) if dtype.itemsize == array.dtype.itemsize else array


def shaped(name: str, raw: RawBytes, number: int, shape: Sequence[int]) -> Array:
    """Raw bytes as an array of the planned shape. Raises UsageError where their number does not fit."""
    dtype = numpy_dtype(number)
    expected = math.prod(shape) * dtype.itemsize
    if number == TensorProto.STRING or DTYPES[number].bits < 8 or expected != len(raw.data):
        what = f"{dtype.name}{list(shape)}"
        raise UsageError(
            f"{raw.path}: {len(raw.data)} bytes are not the {expected} that input {name!r} takes as {what}",
            hint="say the sizes with --dim NAME=SIZE, or give a .npy file, which knows its shape",
        )
    return np.frombuffer(raw.data, dtype).reshape(tuple(shape))


# ---------------------------------------------------------------- test data sets


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A test data set: what it feeds, and the outputs it expects, by name."""

    path: str
    given: Given
    expected: Mapping[str, Any]


def data_set_folders(folder: str) -> tuple[str, ...]:
    """The test data sets of a folder: those inside it by number, or the folder itself where it is one."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise UnreadableFile(f"{folder}: {error.strerror}") from error
    if any(_NUMBERED.fullmatch(name) for name in names):
        return (folder,)
    sets = [name for name in names if name.startswith(DATA_SET_PREFIX) and os.path.isdir(os.path.join(folder, name))]
    return tuple(os.path.join(folder, name) for name in sorted(sets, key=lambda name: (len(name), name)))


def read_data_set(model: Model, folder: str) -> DataSet:
    """Read a test data set. A value belongs to the input or output it is named after, else to the one at its number."""
    graph = model.proto.graph
    defaults = {tensor.name for tensor in graph.initializer}
    required = [value for value in graph.input if value.name not in defaults]
    given = _numbered_values(folder, "input", required, graph.input)
    for name, kind in ((each.name, each.type) for each in graph.input):
        if name in given:
            given[name] = fitted(name, kind, given[name], folder)
    words = dict.fromkeys(given, os.path.basename(os.path.abspath(folder)))
    expected = _numbered_values(folder, "output", graph.output, graph.output)
    return DataSet(path=folder, given=Given(values=given, sources=words), expected=expected)


def _numbered_values(
    folder: str, kind: str, by_number: Sequence[ValueInfoProto], by_name: Sequence[ValueInfoProto]
) -> dict[str, Any]:
    """The values of the files of this kind. An output that the model does not have keeps its name."""
    found = [each for name in os.listdir(folder) if (each := _NUMBERED.fullmatch(name)) and each[1] == kind]
    known = {value.name for value in by_name}
    held: dict[int, _NamedValue] = {}
    for each in found:
        number, path = int(each[2]), os.path.join(folder, each[0])
        place = by_number[number].type if number < len(by_number) else TypeProto()
        source = open_regular(path)
        try:
            held[number] = _named_value_of(source.read(0, source.size), place, path)
        except (ValueError, TypeError, DecodeError) as error:
            raise UnreadableFile(f"{path}: can't be read as an ONNX value: {error}") from error
    named = {each.name for each in held.values()} & known
    values: dict[str, Any] = {}
    for number, each_held in sorted(held.items()):
        name = each_held.name
        if name not in named and number < len(by_number) and by_number[number].name not in named:
            name = by_number[number].name
        elif name not in named and kind == "input":
            path = os.path.join(folder, f"input_{number}.pb")
            called = f", and none is called {name!r}" if name else ""
            raise UsageError(f"{path}: the model has only {len(by_number)} inputs{called}")
        values[name or f"output {number}"] = each_held.value
    return values
