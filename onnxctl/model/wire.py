"""The protobuf wire format of ONNX files: take the weights out (`scan`), put them back (`expand`).

`scan` walks a serialized ModelProto and returns its *skeleton*: the same message, but every tensor payload of at
least `threshold` bytes is replaced by a marker in the tensor's external_data, plus the field, offset and length of
each payload taken out. Only messages that are large enough to hold such a payload are looked into, so the cost grows
with the number of large messages, not with the bytes of the file. `expand` does the reverse on a serialized skeleton
and yields the bytes of a complete message, with references where payloads belong.

Field numbers: onnx.proto of onnx 1.23.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from onnxctl.errors import CorruptModel, InvalidModel
from onnxctl.model.fields import (
    FIXED32,
    LENGTH,
    MAXIMUM_NESTING,
    VARINT,
    FieldReader,
    MemorySource,
    Source,
    delimited,
    encoded_varint,
    tag,
)

PAYLOAD_THRESHOLD_BYTES = 1024
"""Payloads below this stay in the skeleton: shapes, axes and scalars are wanted at once and cost nothing."""

MARK = "onnxctl:" + os.urandom(8).hex()
"""external_data key of a payload taken out; unguessable, so that no file can name one of our payloads."""

_MARK_BYTES = MARK.encode()


class Kind(Enum):
    """The messages through which a tensor can be reached."""

    MODEL = "ModelProto"
    TRAINING = "TrainingInfoProto"
    FUNCTION = "FunctionProto"
    GRAPH = "GraphProto"
    NODE = "NodeProto"
    ATTRIBUTE = "AttributeProto"
    SPARSE = "SparseTensorProto"
    TENSOR = "TensorProto"


CHILDREN: dict[Kind, dict[int, Kind]] = {
    Kind.MODEL: {7: Kind.GRAPH, 20: Kind.TRAINING, 25: Kind.FUNCTION},
    Kind.TRAINING: {1: Kind.GRAPH, 2: Kind.GRAPH},
    Kind.FUNCTION: {7: Kind.NODE, 11: Kind.ATTRIBUTE},
    Kind.GRAPH: {1: Kind.NODE, 5: Kind.TENSOR, 15: Kind.SPARSE},
    Kind.NODE: {5: Kind.ATTRIBUTE},
    Kind.ATTRIBUTE: {5: Kind.TENSOR, 6: Kind.GRAPH, 10: Kind.TENSOR, 11: Kind.GRAPH, 22: Kind.SPARSE, 23: Kind.SPARSE},
    Kind.SPARSE: {1: Kind.TENSOR, 2: Kind.TENSOR},
    Kind.TENSOR: {},
}
"""For each message, the fields that lead towards a tensor."""

_SINGULAR = {(Kind.MODEL, 7), (Kind.TRAINING, 1), (Kind.TRAINING, 2), (Kind.ATTRIBUTE, 5), (Kind.ATTRIBUTE, 6)}
_SINGULAR |= {(Kind.ATTRIBUTE, 22), (Kind.SPARSE, 1), (Kind.SPARSE, 2)}

_WITH_SINGULAR = frozenset(kind for kind, _ in _SINGULAR)

FLOAT_DATA, INT32_DATA, INT64_DATA, RAW_DATA, DOUBLE_DATA, UINT64_DATA = 4, 5, 7, 9, 10, 11
_PAYLOAD_FIELDS = frozenset({FLOAT_DATA, INT32_DATA, INT64_DATA, RAW_DATA, DOUBLE_DATA, UINT64_DATA})
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


_ATTRIBUTE_RUNS: Mapping[int, re.Pattern[bytes]] = MappingProxyType(
    {
        7 << 3 | FIXED32: re.compile(rb"(?:\x3d.{4})*", re.DOTALL),
        8 << 3 | VARINT: re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])*"),
    }
)
"""AttributeProto's floats and ints are not packed: tree ensembles have millions, each a field of its own."""


class Cut(NamedTuple):
    """A payload taken out: its TensorProto field, and where its bytes lie in the file.

    location_written is True where the tensor said `data_location = DEFAULT` in so many words.
    """

    field: int
    offset: int
    length: int
    location_written: bool


class Skeleton(NamedTuple):
    """A serialized ModelProto without large payloads, and the payloads' places; markers hold indices into `cuts`."""

    data: bytes
    cuts: tuple[Cut, ...]


class Inline(NamedTuple):
    """`expand` writes payload `number` back as TensorProto field `field`."""

    number: int
    field: int
    length: int
    location_written: bool


class External(NamedTuple):
    """`expand` writes the payload as external data with these entries."""

    entries: tuple[tuple[str, str], ...]


class PayloadReference(NamedTuple):
    """Here the bytes of payload `number` belong."""

    number: int
    length: int


Piece = bytes | PayloadReference


def scan(source: Source, threshold: int = PAYLOAD_THRESHOLD_BYTES) -> Skeleton:
    """Take every payload of at least `threshold` bytes (and at least 1) out of the serialized ModelProto in `source`.

    Raises CorruptModel where the bytes are not well-formed, InvalidModel where a singular message that holds a payload
    is given twice (readers would merge the two).
    """
    reader = FieldReader(source)
    scanner = _Scanner(reader, max(threshold, 1))
    pieces = scanner.message(Kind.MODEL, 0, source.size, 0)
    if pieces is None:
        pieces = [(0, source.size)]
    data = b"".join(
        piece if isinstance(piece, bytes) else source.read(piece[0], piece[1] - piece[0]) for piece in pieces
    )
    return Skeleton(data, tuple(scanner.cuts))


def expand(skeleton: bytes, place: Callable[[int], Inline | External]) -> Iterator[Piece]:
    """The complete message of a serialized skeleton, in pieces; `place` says where payload number N goes."""
    marks = list(_occurrences(skeleton, _MARK_BYTES))
    reader = FieldReader(MemorySource(skeleton))
    pieces = _Expander(reader, marks, place).message(Kind.MODEL, 0, len(skeleton))
    return _merged(skeleton, pieces)


# ---------------------------------------------------------------- taking payloads out


Range = tuple[int, int]


class _Scanner:
    def __init__(self, reader: FieldReader, threshold: int) -> None:
        self._reader = reader
        self._threshold = threshold
        self.cuts: list[Cut] = []

    def message(self, kind: Kind, start: int, end: int, depth: int) -> list[bytes | Range] | None:
        """The skeleton of one message as bytes and ranges of the source, or None where nothing was taken out."""
        if depth > MAXIMUM_NESTING:
            raise CorruptModel(f"messages are nested more than {MAXIMUM_NESTING} deep at offset {start}")
        if kind is Kind.TENSOR:
            return self._tensor(start, end)
        children, threshold = CHILDREN[kind], self._threshold
        least = 0 if kind in _WITH_SINGULAR else threshold
        pieces: list[bytes | Range] = []
        kept, seen = start, set[int]()
        runs = _ATTRIBUTE_RUNS if kind is Kind.ATTRIBUTE else MappingProxyType({})
        for number, wire_type, at, begin, stop in self._reader.fields(start, end, least, runs):
            if wire_type != LENGTH or number not in children:
                continue
            if (kind, number) in _SINGULAR:
                if number in seen:
                    raise InvalidModel(
                        f"{kind.value} holds its field {_field_name(kind, number)} twice (again at offset {at}): "
                        "readers would merge or duplicate what is in them"
                    )
                seen.add(number)
            if stop - begin < threshold:
                continue
            if children[number] is Kind.NODE and not self._reader.may_hold_large(begin, stop, threshold):
                continue
            inner = self.message(children[number], begin, stop, depth + 1)
            if inner is None:
                continue
            length = sum(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in inner)
            pieces += [(kept, at), tag(number) + encoded_varint(length), *inner]
            kept = stop
        if not pieces:
            return None
        pieces.append((kept, end))
        return pieces

    def _tensor(self, start: int, end: int) -> list[bytes | Range] | None:
        payload: tuple[int, int, int, int] | None = None
        location_written = False
        for number, wire_type, at, begin, stop in self._reader.fields(start, end):
            if number == _DATA_LOCATION and wire_type == VARINT and not location_written:
                location_written = True
                if self._reader.source.read(begin, stop - begin) != b"\0":
                    return None  # external data: no payload of ours
            elif number == _EXTERNAL_DATA or (number == _DATA_LOCATION and location_written):
                return None
            elif number in _PAYLOAD_FIELDS:
                if payload is not None or wire_type != LENGTH:
                    return None  # given more than once, or unpacked: the library's parser knows how to merge it
                payload = number, at, begin, stop
        if payload is None or payload[3] - payload[2] < self._threshold:
            return None
        number, at, begin, stop = payload
        entry = delimited(1, _MARK_BYTES) + delimited(2, b"%d" % len(self.cuts))
        marker = delimited(_EXTERNAL_DATA, entry) + tag(_DATA_LOCATION, VARINT) + b"\1"
        self.cuts.append(Cut(number, begin, stop - begin, location_written))
        return [(start, at), (stop, end), marker]


def _field_name(kind: Kind, number: int) -> str:
    return CHILDREN[kind][number].value.removesuffix("Proto").lower()


# ---------------------------------------------------------------- putting payloads back


class _Expander:
    def __init__(self, reader: FieldReader, marks: Sequence[int], place: Callable[[int], Inline | External]) -> None:
        self._reader = reader
        self._marks = marks
        self._place = place

    def message(self, kind: Kind, start: int, end: int) -> list[Piece | Range]:
        if kind is Kind.TENSOR:
            return self._tensor(start, end)
        pieces: list[Piece | Range] = []
        kept = start
        for number, wire_type, at, begin, stop in self._reader.fields(start, end):
            if wire_type != LENGTH or number not in CHILDREN[kind] or not self._marked(begin, stop):
                continue
            inner = self.message(CHILDREN[kind][number], begin, stop)
            pieces += [(kept, at), tag(number) + encoded_varint(sum(map(_size, inner))), *inner]
            kept = stop
        pieces.append((kept, end))
        return pieces

    def _tensor(self, start: int, end: int) -> list[Piece | Range]:
        pieces: list[Piece | Range] = []
        index = -1
        for number, _, at, begin, stop in self._reader.fields(start, end):
            if number == _EXTERNAL_DATA:
                entry = {n: self._reader.source.read(b, s - b) for n, _, _, b, s in self._reader.fields(begin, stop)}
                if entry.get(1) != _MARK_BYTES:
                    return [(start, end)]
                index = int(entry[2])
            elif number != _DATA_LOCATION:
                pieces.append((at, stop))
        if index < 0:
            return [(start, end)]
        place = self._place(index)
        if isinstance(place, External):
            entries = (delimited(1, key.encode()) + delimited(2, value.encode()) for key, value in place.entries)
            location = tag(_DATA_LOCATION, VARINT) + b"\1"
            return [*pieces, b"".join(delimited(_EXTERNAL_DATA, entry) for entry in entries) + location]
        payload = PayloadReference(place.number, place.length)
        pieces += [tag(place.field) + encoded_varint(place.length), payload]
        if place.location_written:
            pieces.append(tag(_DATA_LOCATION, VARINT) + b"\0")
        return pieces

    def _marked(self, begin: int, stop: int) -> bool:
        nearest = bisect_left(self._marks, begin)
        return nearest < len(self._marks) and self._marks[nearest] < stop


def _size(piece: Piece | Range) -> int:
    if isinstance(piece, bytes):
        return len(piece)
    return piece.length if isinstance(piece, PayloadReference) else piece[1] - piece[0]


def _merged(data: bytes, pieces: Iterable[Piece | Range]) -> Iterator[Piece]:
    """The pieces with ranges filled from data, and neighbouring bytes joined."""
    waiting: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, PayloadReference):
            if waiting:
                yield b"".join(waiting)
                waiting = []
            yield piece
        else:
            waiting.append(piece if isinstance(piece, bytes) else data[piece[0] : piece[1]])
    if waiting:
        yield b"".join(waiting)


def _occurrences(data: bytes, wanted: bytes) -> Iterator[int]:
    at = data.find(wanted)
    while at >= 0:
        yield at
        at = data.find(wanted, at + 1)
