"""Lazy tensors: what a TensorProto says is checked at once, its values are read when somebody asks for them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from onnx import TensorProto

from onnxctl.errors import InvalidModel, ModelError
from onnxctl.model import wire
from onnxctl.model.fields import delimited
from onnxctl.model.files import DataFile

if TYPE_CHECKING:
    from onnxctl.model.arrays import Array
    from onnxctl.model.derivation import Derivation

_CHUNK_BYTES = 1 << 22
_SAMPLE_BYTES = 64


class Dtype(NamedTuple):
    """An ONNX element type: its field's standard name and how many bits one element takes (0 for strings)."""

    number: int
    name: str
    bits: int


def _dtypes() -> dict[int, Dtype]:
    bits = {"float": 32, "double": 64, "bool": 8, "string": 0, "float16": 16, "bfloat16": 16, "complex64": 64}
    bits |= {"complex128": 128, "undefined": 0}
    names = {"float": "float32", "double": "float64"}
    table = {}
    for upper, number in TensorProto.DataType.items():
        name = upper.lower()
        if name not in bits:  # int8, uint4, float8e4m3fn, float4e2m1, ...: the first number in the name is its bits
            digits = name.lstrip("abcdefghijklmnopqrstuvwxyz")
            bits[name] = int(digits[:2] if digits[:2].isdigit() else digits[:1])
        table[number] = Dtype(number, names.get(name, name), bits[name])
    return table


DTYPES = _dtypes()
"""Every element type of the installed onnx, by TensorProto.DataType number."""


def dtype_name(number: int) -> str:
    """The element type's name, or "dtype 99" for a number that onnx does not know."""
    known = DTYPES.get(number)
    return known.name if known else f"dtype {number}"


@dataclass(slots=True)
class Payload:
    """The bytes of one tensor, on disk. field is the TensorProto field whose encoding they have (wire.RAW_DATA, ...).

    With a derivation they are on no disk but computed from other tensors whenever they are read; file is nothing then.

    location_written: see `wire.Cut`. checksum is external_data's own (SHA-1, hexadecimal), "" where none is given.
    problem is why external_data can't be used as written; reading raises it. other_keys are those of its keys that the
    specification does not have.
    """

    file: DataFile
    field: int
    offset: int
    length: int
    location_written: bool = False
    tensor_name: str = ""
    checksum: str = ""
    problem: ModelError | None = None
    other_keys: tuple[str, ...] = ()
    derivation: Derivation | None = None
    _sample: bytes = b""
    _digest: bytes = b""

    def check(self) -> None:
        """Raises UnsafePath, UnreadableFile or InvalidModel where the bytes can't be had; reads none of them."""
        if self.problem is not None:
            raise self.problem
        if self.derivation is not None:
            for tensor in self.derivation.sources:
                if tensor.payload is not None:
                    tensor.payload.check()
            return
        try:
            size = self.file.source().size
        except ModelError as error:
            raise type(error)(f"tensor {self.tensor_name!r}: {error.message}", hint=error.hint) from error
        if self.offset + self.length > size:
            raise InvalidModel(
                f"tensor {self.tensor_name!r}: external data {self.file.location!r} has {size} bytes, but offset "
                f"{self.offset} + length {self.length} = {self.offset + self.length} are asked for"
            )

    def read(self) -> bytes:
        """All bytes. Raises as `check` does."""
        return self.read_part(0, self.length)

    def read_part(self, start: int, length: int) -> bytes:
        """The bytes [start, start + length); of what is derived, those elements only. Raises as `check` does."""
        self.check()
        if self.derivation is None:
            return self.file.source().read(self.offset + start, length)
        import numpy as np

        from onnxctl.model.arrays import byte_view

        if length == self.length:
            return bytes(byte_view(self.derivation.values()))
        width = self.length // math.prod(self.derivation.shape)
        first, last = start // width, -(-(start + length) // width)
        elements = byte_view(self.derivation.elements(np.arange(first, last)))
        return bytes(elements[start - first * width :][:length])

    def sample(self) -> bytes:
        """A few bytes from four places: equal where the content is, and seldom otherwise. Read once."""
        if not self._sample:
            last = max(self.length - _SAMPLE_BYTES, 0)
            size = min(_SAMPLE_BYTES, self.length)
            self._sample = b"".join(self.read_part(at, size) for at in (0, last // 3, last // 3 * 2, last))
        return self._sample

    def digest(self) -> bytes:
        """A cryptographic digest of the bytes (BLAKE2b). Read once."""
        if not self._digest:
            import hashlib

            digest = hashlib.blake2b()
            for chunk in self.chunks():
                digest.update(chunk)
            self._digest = digest.digest()
        return self._digest

    def restore(self, proto: TensorProto) -> None:
        """Put the bytes back into the message, as the field they came from. Raises as `check` does."""
        proto.MergeFromString(delimited(self.field, self.read()))

    def chunks(self, size: int = _CHUNK_BYTES) -> Iterator[bytes]:
        """The bytes, at most `size` at a time. Raises as `check` does."""
        self.check()
        if self.derivation is not None:
            from onnxctl.model.arrays import byte_view

            view = byte_view(self.derivation.values())
            yield from (bytes(view[start : start + size]) for start in range(0, self.length, size))
            return
        source = self.file.source()
        for start in range(0, self.length, size):
            yield source.read(self.offset + start, min(size, self.length - start))


class Tensor(NamedTuple):
    """A TensorProto and, where its values are not in it, the payload that holds them."""

    proto: TensorProto
    payload: Payload | None

    @property
    def name(self) -> str:
        return self.proto.name

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.proto.dims)

    @property
    def dtype(self) -> Dtype:
        """Raises InvalidModel for an element type that onnx does not know."""
        known = DTYPES.get(self.proto.data_type)
        if known is None or known.number == TensorProto.UNDEFINED:
            raise InvalidModel(f"tensor {self.name!r} has an unknown element type: data_type = {self.proto.data_type}")
        return known

    @property
    def element_count(self) -> int:
        return math.prod(self.proto.dims)

    @property
    def byte_count(self) -> int:
        """Bytes of the elements as raw_data holds them (4-bit types packed in pairs); for strings, of their text."""
        if self.proto.data_type == TensorProto.STRING:
            return sum(map(len, self.proto.string_data))
        return raw_byte_count(self.element_count, self.dtype.bits)

    def check(self) -> None:
        """Raises InvalidModel where shape, element type and the amount of data disagree; reads no payload."""
        _check(self)

    def numpy(self) -> Array:
        """The values as an array of `shape`, read from disk; strings as an object array of str.

        4- and 2-bit, 8-bit float and bfloat16 types come as the ml_dtypes of the same name. Raises what `Payload.check`
        raises, and UnsupportedModel for more dimensions than NumPy has (arrays.MAXIMUM_RANK).
        """
        from onnxctl.model.arrays import array_of

        return array_of(self)

    def elements(self, positions: Array) -> Array:
        """The values at these positions, counted in row-major order; where they can be, the only ones read."""
        from onnxctl.model.arrays import elements_of

        return elements_of(self, positions)


def raw_byte_count(element_count: int, bits: int) -> int:
    """Bytes that raw_data takes for so many elements: those below a byte are packed, and the last byte is padded."""
    return (element_count * bits + 7) // 8


# ---------------------------------------------------------------- checks

_MAXIMUM_ELEMENTS = 2**62

_DATA_FIELDS = {
    "float_data": {TensorProto.FLOAT, TensorProto.COMPLEX64},
    "double_data": {TensorProto.DOUBLE, TensorProto.COMPLEX128},
    "int64_data": {TensorProto.INT64},
    "uint64_data": {TensorProto.UINT32, TensorProto.UINT64},
    "string_data": {TensorProto.STRING},
}
_PLAIN_NAMES = ("dims", "data_type", "name", "doc_string", "raw_data")
_INT32_TYPES = frozenset(DTYPES) - {TensorProto.UNDEFINED} - frozenset().union(*_DATA_FIELDS.values())
_PLAIN_FIELDS = frozenset(TensorProto.DESCRIPTOR.fields_by_name[name].number for name in _PLAIN_NAMES)
_FIELD_NAMES = {
    wire.FLOAT_DATA: "float_data",
    wire.INT32_DATA: "int32_data",
    wire.INT64_DATA: "int64_data",
    wire.DOUBLE_DATA: "double_data",
    wire.UINT64_DATA: "uint64_data",
    wire.RAW_DATA: "raw_data",
}


def _allowed(field_name: str) -> Collection[int]:
    return _INT32_TYPES if field_name == "int32_data" else _DATA_FIELDS[field_name]


def _check(tensor: Tensor) -> None:
    proto, payload = tensor.proto, tensor.payload
    if payload is None and _is_plainly_right(proto):
        return
    what = f"tensor {tensor.name!r}"
    dtype = tensor.dtype
    if any(dim < 0 for dim in proto.dims):
        raise InvalidModel(f"{what} has a negative dimension: dims = {_short(proto.dims)}")
    if tensor.element_count > _MAXIMUM_ELEMENTS:
        raise InvalidModel(
            f"{what} has impossible dims = {_short(proto.dims)}: more elements of data than memory can have"
        )
    if proto.HasField("segment"):
        raise InvalidModel(f"{what} is stored in segments (field segment), which no runtime supports")
    if payload is not None and payload.file.location:
        if dtype.number == TensorProto.STRING:
            raise InvalidModel(f"{what}: strings can't be external data")
        return
    held = [name for name in (*_DATA_FIELDS, "int32_data") if len(getattr(proto, name))]
    if proto.HasField("raw_data") or (payload is not None and payload.field == wire.RAW_DATA):
        held.append("raw_data")
    if payload is not None and payload.field != wire.RAW_DATA:
        held.append(_FIELD_NAMES[payload.field])
    if len(held) > 1 and held != ["raw_data"]:
        raise InvalidModel(
            f"{what} has data in two fields, {' and '.join(held)}: readers would differ on which one counts"
        )
    if not held:
        if tensor.element_count:
            raise InvalidModel(f"{what} has dims = {_short(proto.dims)} but no data")
        return
    _check_amount(tensor, held[0])


def _is_plainly_right(proto: TensorProto) -> bool:
    """Whether it has just as much raw_data as it should and nothing odd: a quick look, enough for nearly all."""
    known = DTYPES.get(proto.data_type)
    if known is None or not known.bits or not {field.number for field, _ in proto.ListFields()} <= _PLAIN_FIELDS:
        return False
    dims = proto.dims
    fits = len(proto.raw_data) == raw_byte_count(math.prod(dims), known.bits)
    return fits and (not dims or min(dims) > 0) and proto.HasField("raw_data")


def _check_amount(tensor: Tensor, held: str) -> None:
    proto, payload, dtype = tensor.proto, tensor.payload, tensor.dtype
    if held == "raw_data":
        if dtype.number == TensorProto.STRING:
            raise InvalidModel(f"tensor {tensor.name!r}: strings can't be stored as raw_data")
        found = payload.length if payload is not None else len(proto.raw_data)
        if found != tensor.byte_count:
            raise InvalidModel(_wrong_size(tensor, f"{found} bytes of raw_data"))
        return
    if dtype.number not in _allowed(held):
        raise InvalidModel(f"tensor {tensor.name!r} of {dtype.name} has its data in {held}, which is not for this type")
    expected = tensor.element_count
    if dtype.bits in (2, 4):
        expected = raw_byte_count(expected, dtype.bits)
    elif dtype.number in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        expected *= 2
    if payload is None:
        if len(getattr(proto, held)) != expected:
            raise InvalidModel(_wrong_size(tensor, f"{len(getattr(proto, held))} elements of {held}"))
    elif payload.field in (wire.FLOAT_DATA, wire.DOUBLE_DATA):
        width = 4 if payload.field == wire.FLOAT_DATA else 8
        if payload.length != expected * width:
            raise InvalidModel(_wrong_size(tensor, f"{payload.length} bytes of {held}"))
    elif not expected <= payload.length <= expected * 10:  # varints: one to ten bytes each
        raise InvalidModel(_wrong_size(tensor, f"{payload.length} bytes of {held}"))


def _wrong_size(tensor: Tensor, found: str) -> str:
    return (
        f"tensor {tensor.name!r} has {found}, but dims = {_short(tensor.proto.dims)} of {tensor.dtype.name} "
        f"need {tensor.byte_count} bytes"
    )


def _short(dims: object) -> str:
    shown = list(dims)  # type: ignore[call-overload]
    return str(shown) if len(shown) <= 8 else f"[{', '.join(map(str, shown[:8]))}, ...] (rank {len(shown)})"
