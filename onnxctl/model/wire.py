"""The protobuf wire format of ONNX files: take the weights out (`scan`), put them back (`expand`).

`scan` walks a serialized ModelProto and returns its *skeleton*: the same message, but every tensor payload of at
least `threshold` bytes is replaced by a marker in the tensor's external_data, plus the field, offset and length of
each payload taken out. Only messages that are large enough to hold such a payload are looked into, so the cost grows
with the number of large messages, not with the bytes of the file. `expand` does the reverse on a serialized skeleton
and yields the bytes of a complete message, with references where payloads belong.

Encoding: https://protobuf.dev/programming-guides/encoding/. Field numbers: onnx.proto of onnx 1.23.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Protocol

from onnxctl.errors import CorruptModel, InvalidModel

PAYLOAD_THRESHOLD_BYTES = 1024
"""Payloads below this stay in the skeleton: shapes, axes and scalars are wanted at once and cost nothing."""

MAXIMUM_NESTING = 100
"""Messages inside messages, as deep as the protobuf library itself accepts."""

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

FLOAT_DATA, INT32_DATA, INT64_DATA, RAW_DATA, DOUBLE_DATA, UINT64_DATA = 4, 5, 7, 9, 10, 11
_PAYLOAD_FIELDS = frozenset({FLOAT_DATA, INT32_DATA, INT64_DATA, RAW_DATA, DOUBLE_DATA, UINT64_DATA})
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14

_VARINT, _FIXED64, _LENGTH, _GROUP, _END_GROUP, _FIXED32 = range(6)


class Source(Protocol):
    """Bytes that can be read at any position."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Cut:
    """A payload taken out: its TensorProto field, and where its bytes lie in the file.

    location_written is True where the tensor said `data_location = DEFAULT` in so many words.
    """

    field: int
    offset: int
    length: int
    location_written: bool


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A serialized ModelProto without large payloads, and the payloads' places; markers hold indices into `cuts`."""

    data: bytes
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class Inline:
    """`expand` writes the payload number `index` back as TensorProto field `field`."""

    index: int
    field: int
    length: int
    location_written: bool


@dataclass(frozen=True, slots=True)
class External:
    """`expand` writes the payload as external data with these entries."""

    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PayloadReference:
    """Here the bytes of payload number `index` belong."""

    index: int
    length: int


Piece = bytes | PayloadReference


def scan(source: Source, threshold: int = PAYLOAD_THRESHOLD_BYTES) -> Skeleton:
    """Take every payload of at least `threshold` bytes (and at least 1) out of the serialized ModelProto in `source`.

    Raises CorruptModel where the bytes are not well-formed, InvalidModel where a singular message that holds a payload
    is given twice (readers would merge the two).
    """
    reader = _Reader(source)
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
    reader = _Reader(_Bytes(skeleton))
    pieces = _Expander(reader, marks, place).message(Kind.MODEL, 0, len(skeleton))
    return _merged(skeleton, pieces)


def field_ranges(source: Source, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int, int]]:
    """The fields of the message in [start, end): number, wire type, begin of the tag, begin and end of the value.

    The value of a length-delimited field is its content, that of a group everything up to its end tag. Raises
    CorruptModel.
    """
    return _Reader(source).fields(start, source.size if end is None else end)


# ---------------------------------------------------------------- reading


class _Bytes:
    """Bytes in memory as a Source."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


_ATTRIBUTE_RUNS: Mapping[int, re.Pattern[bytes]] = MappingProxyType(
    {
        7 << 3 | _FIXED32: re.compile(rb"(?:\x3d.{4})*", re.DOTALL),
        8 << 3 | _VARINT: re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])*"),
    }
)
"""AttributeProto's floats and ints are not packed: tree ensembles have millions, each a field of its own."""

_WINDOW_BYTES = 1 << 16
_NODE_ATTRIBUTE_TAG = 5 << 3 | _LENGTH
_LONGEST_HEADER = 20  # two varints of ten bytes


class _Reader:
    """Reads field headers through a window that moves over the source, so that payloads are stepped over unread."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._window = b""
        self._from = 0

    def fields(
        self, start: int, end: int, runs: Mapping[int, re.Pattern[bytes]] = MappingProxyType({})
    ) -> Iterator[tuple[int, int, int, int, int]]:
        """See `field_ranges`. After a field whose tag is in `runs`, whatever more the pattern matches is left out."""
        at = start
        window, base = self._window, self._from
        while at < end:
            if self._window is not window:
                window, base = self._window, self._from
            i = at - base
            if i < 0 or i + _LONGEST_HEADER > len(window):
                self._window = window = self._source.read(at, max(min(_WINDOW_BYTES, self._source.size - at), 0))
                self._from = base = at
                i = 0
            # A tag, and then a length, of one or two bytes are by far the most frequent: read them without a call.
            try:
                tag = window[i]
                i += 1
                if tag > 127:
                    tag, i = _varint(window, i - 1, at)
                wire_type = tag & 7
                if wire_type == _LENGTH:
                    length = window[i]
                    i += 1
                    if length > 127:
                        length, i = _varint(window, i - 1, at)
                    begin = base + i
                    stop = begin + length
                elif wire_type == _VARINT:
                    begin = base + i
                    _, i = _varint(window, i, at)
                    stop = base + i
                else:
                    begin, stop = self._other(wire_type, tag >> 3, base + i, end)
            except IndexError:
                raise CorruptModel(f"the file is truncated: it ends inside a field header at offset {at}") from None
            number = tag >> 3
            if number == 0 or number > 0x1FFFFFFF:
                raise CorruptModel(f"not a well-formed protobuf: field number {number} at offset {at}")
            if stop > end:
                raise _past_end(number, at, stop - begin, end, self._source.size)
            yield number, wire_type, at, begin, stop
            if tag in runs:
                run = runs[tag].match(window, stop - base, end - base) if self._window is window else None
                stop = base + run.end() if run is not None else stop
            at = stop if wire_type != _GROUP else self._after_group(stop)

    def may_hold_large(self, start: int, end: int, threshold: int) -> bool:
        """Whether the NodeProto in [start, end) may have an attribute of `threshold` bytes; sure only of a False.

        Exporters write a kilobyte of metadata to each node. This looks over such nodes many times faster than `fields`.
        """
        window, i, stop = self._window, start - self._from, end - self._from
        if i < 0 or stop > len(window):
            return True
        while i < stop - 1:
            tag, length = window[i], window[i + 1]
            i += 2
            if length > 127:
                if i >= stop or window[i] > 127:
                    return True
                length += (window[i] << 7) - 128
                i += 1
            if tag & 135 != _LENGTH or (tag == _NODE_ATTRIBUTE_TAG and length >= threshold):
                return True
            i += length
        return i != stop

    def _other(self, wire_type: int, number: int, at: int, end: int) -> tuple[int, int]:
        if wire_type == _FIXED32:
            return at, at + 4
        if wire_type == _FIXED64:
            return at, at + 8
        if wire_type == _GROUP:
            return at, self._group_end(number, at, end)
        what = "a group ends that never began" if wire_type == _END_GROUP else f"unknown wire type {wire_type}"
        raise CorruptModel(f"not a well-formed protobuf: {what} at offset {at}")

    def _group_end(self, number: int, start: int, end: int) -> int:
        """Where the end tag of the group begins; groups within are stepped over without recursion."""
        open_groups, at = [number], start
        while open_groups:
            if len(open_groups) > MAXIMUM_NESTING:
                raise CorruptModel(f"groups are nested more than {MAXIMUM_NESTING} deep at offset {start}")
            if at >= end:
                raise CorruptModel(f"the file is truncated: the group at offset {start} never ends")
            header = self._source.read(at, min(_LONGEST_HEADER, end - at))
            try:
                tag, i = _varint(header, 0, at)
                if tag & 7 == _LENGTH:
                    length, i = _varint(header, i, at)
                    i += length
                elif tag & 7 == _VARINT:
                    _, i = _varint(header, i, at)
                elif tag & 7 in (_FIXED32, _FIXED64):
                    i += 4 if tag & 7 == _FIXED32 else 8
                elif tag & 7 == _GROUP:
                    open_groups.append(tag >> 3)
                elif tag & 7 == _END_GROUP and tag >> 3 == open_groups[-1]:
                    open_groups.pop()
                    if not open_groups:
                        return at
                else:
                    raise CorruptModel(f"not a well-formed protobuf: wrong wire type in a group at offset {at}")
            except IndexError:
                raise CorruptModel(f"the file is truncated: it ends inside a group at offset {at}") from None
            at += i
        raise AssertionError("the loop returns at the outermost end tag")

    def _after_group(self, end_tag: int) -> int:
        header = self._source.read(end_tag, min(_LONGEST_HEADER, self._source.size - end_tag))
        return end_tag + _varint(header, 0, end_tag)[1]


def _varint(data: bytes, at: int, offset: int) -> tuple[int, int]:
    """The varint at data[at] and the index after it. IndexError where the data ends before the varint does."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 64:
                raise CorruptModel(f"not a well-formed protobuf: a varint exceeds 64 bits near offset {offset}")
            return value, at
        shift += 7
        if shift > 63:
            raise CorruptModel(f"not a well-formed protobuf: a varint of more than ten bytes near offset {offset}")


def _past_end(number: int, at: int, length: int, end: int, size: int) -> CorruptModel:
    where = "the file" if end == size else "its message"
    return CorruptModel(
        f"the file is truncated or damaged: field {number} at offset {at} has a length of {length} bytes, "
        f"past the end of {where} at {end}",
        hint="compare the file's size and checksum with the original and download it again",
    )


# ---------------------------------------------------------------- taking payloads out


Range = tuple[int, int]


class _Scanner:
    def __init__(self, reader: _Reader, threshold: int) -> None:
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
        pieces: list[bytes | Range] = []
        kept, seen = start, set[int]()
        runs = _ATTRIBUTE_RUNS if kind is Kind.ATTRIBUTE else MappingProxyType({})
        for number, wire_type, at, begin, stop in self._reader.fields(start, end, runs):
            if wire_type != _LENGTH or number not in children:
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
            pieces += [(kept, at), _tag(number) + encoded_varint(length), *inner]
            kept = stop
        if not pieces:
            return None
        pieces.append((kept, end))
        return pieces

    def _tensor(self, start: int, end: int) -> list[bytes | Range] | None:
        payload: tuple[int, int, int, int] | None = None
        location_written = False
        for number, wire_type, at, begin, stop in self._reader.fields(start, end):
            if number == _DATA_LOCATION and wire_type == _VARINT and not location_written:
                location_written = True
                if self._reader._source.read(begin, stop - begin) != b"\0":
                    return None  # external data: no payload of ours
            elif number == _EXTERNAL_DATA or (number == _DATA_LOCATION and location_written):
                return None
            elif number in _PAYLOAD_FIELDS:
                if payload is not None or wire_type != _LENGTH:
                    return None  # given more than once, or unpacked: the library's parser knows how to merge it
                payload = number, at, begin, stop
        if payload is None or payload[3] - payload[2] < self._threshold:
            return None
        number, at, begin, stop = payload
        entry = _delimited(1, _MARK_BYTES) + _delimited(2, b"%d" % len(self.cuts))
        marker = _delimited(_EXTERNAL_DATA, entry) + _tag(_DATA_LOCATION, _VARINT) + b"\1"
        self.cuts.append(Cut(number, begin, stop - begin, location_written))
        return [(start, at), (stop, end), marker]


def _field_name(kind: Kind, number: int) -> str:
    return CHILDREN[kind][number].value.removesuffix("Proto").lower()


# ---------------------------------------------------------------- putting payloads back


class _Expander:
    def __init__(self, reader: _Reader, marks: Sequence[int], place: Callable[[int], Inline | External]) -> None:
        self._reader = reader
        self._marks = marks
        self._place = place

    def message(self, kind: Kind, start: int, end: int) -> list[Piece | Range]:
        if kind is Kind.TENSOR:
            return self._tensor(start, end)
        pieces: list[Piece | Range] = []
        kept = start
        for number, wire_type, at, begin, stop in self._reader.fields(start, end):
            if wire_type != _LENGTH or number not in CHILDREN[kind] or not self._marked(begin, stop):
                continue
            inner = self.message(CHILDREN[kind][number], begin, stop)
            pieces += [(kept, at), _tag(number) + encoded_varint(sum(map(_size, inner))), *inner]
            kept = stop
        pieces.append((kept, end))
        return pieces

    def _tensor(self, start: int, end: int) -> list[Piece | Range]:
        pieces: list[Piece | Range] = []
        index = -1
        for number, _, at, begin, stop in self._reader.fields(start, end):
            if number == _EXTERNAL_DATA:
                entry = {n: self._reader._source.read(b, s - b) for n, _, _, b, s in self._reader.fields(begin, stop)}
                if entry.get(1) != _MARK_BYTES:
                    return [(start, end)]
                index = int(entry[2])
            elif number != _DATA_LOCATION:
                pieces.append((at, stop))
        if index < 0:
            return [(start, end)]
        place = self._place(index)
        if isinstance(place, External):
            entries = (_delimited(1, key.encode()) + _delimited(2, value.encode()) for key, value in place.entries)
            location = _tag(_DATA_LOCATION, _VARINT) + b"\1"
            return [*pieces, b"".join(_delimited(_EXTERNAL_DATA, entry) for entry in entries) + location]
        payload = PayloadReference(place.index, place.length)
        pieces += [_tag(place.field) + encoded_varint(place.length), payload]
        if place.location_written:
            pieces.append(_tag(_DATA_LOCATION, _VARINT) + b"\0")
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


# ---------------------------------------------------------------- writing


def encoded_varint(value: int) -> bytes:
    """The value as a varint."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, wire_type: int = _LENGTH) -> bytes:
    return encoded_varint(number << 3 | wire_type)


def _delimited(number: int, content: bytes) -> bytes:
    return _tag(number) + encoded_varint(len(content)) + content
