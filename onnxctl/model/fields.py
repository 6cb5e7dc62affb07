"""The protobuf encoding itself: field headers read from anywhere in a file, and varints, tags and fields written.

Encoding: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from onnxctl.errors import CorruptModel

MAXIMUM_NESTING = 100
"""Messages inside messages, as deep as the protobuf library itself accepts."""

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
"""The wire types."""


class Source(Protocol):
    """Bytes that can be read at any position."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...


class MemorySource:
    """Bytes in memory as a Source."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of [offset, offset + length)."""
        return self._data[offset : offset + length]


_SMALLEST_WINDOW_BYTES, _LARGEST_WINDOW_BYTES = 1 << 12, 1 << 18
_NODE_ATTRIBUTE_TAG = 5 << 3 | LENGTH
_LONGEST_HEADER = 20  # two varints of ten bytes


class FieldReader:
    """Reads field headers through a window that moves over the source, so that payloads are stepped over unread."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._window = b""
        self._from = 0

    def fields(
        self, start: int, end: int, least: int = 0, runs: Mapping[int, re.Pattern[bytes]] = MappingProxyType({})
    ) -> Iterator[tuple[int, int, int, int, int]]:
        """The fields of the message in [start, end): number, wire type, begin of the tag, begin and end of the value.

        The value of a length-delimited field is its content, that of a group everything up to its end tag. Values of
        fewer than `least` bytes are left out, and after a field whose tag is in `runs` whatever more the pattern
        matches. Raises CorruptModel.
        """
        at = start
        window, base = self._window, self._from
        while at < end:
            if self._window is not window:
                window, base = self._window, self._from
            i = at - base
            if i < 0 or i + _LONGEST_HEADER > len(window):
                window, base, i = self._moved_to(at), at, 0
            # A tag, and then a length, of one or two bytes are by far the most frequent: read them without a call.
            try:
                tag = window[i]
                i += 1
                if tag > 127:
                    tag, i = _varint(window, i - 1, at)
                wire_type = tag & 7
                if wire_type == LENGTH:
                    length = window[i]
                    i += 1
                    if length > 127:
                        length, i = _varint(window, i - 1, at)
                    begin = base + i
                    stop = begin + length
                elif wire_type == VARINT:
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
                raise _past_end(number, at, stop - begin, end, self.source.size)
            if stop - begin >= least:
                yield number, wire_type, at, begin, stop
            if tag in runs:
                run = runs[tag].match(window, stop - base, end - base) if self._window is window else None
                stop = base + run.end() if run is not None else stop
            at = stop if wire_type != GROUP else self._after_group(stop)

    def _moved_to(self, at: int) -> bytes:
        """The window, moved: small after a step over a payload, then twice as large as long as it is read through."""
        is_near = 0 <= at - self._from <= len(self._window) + _SMALLEST_WINDOW_BYTES
        size = min(2 * len(self._window), _LARGEST_WINDOW_BYTES) if is_near else _SMALLEST_WINDOW_BYTES
        size = min(max(size, _SMALLEST_WINDOW_BYTES), max(self.source.size - at, 0))
        self._window, self._from = self.source.read(at, size), at
        return self._window

    def may_hold_large(self, start: int, end: int, threshold: int) -> bool:
        """Whether the NodeProto in [start, end) may have an attribute of `threshold` bytes; sure only of a False.

        Exporters write a kilobyte of metadata to each node. This looks over such nodes many times faster than `fields`,
        and no further than to where so large an attribute could still begin.
        """
        window, i, stop = self._window, start - self._from, end - self._from
        if i < 0 or stop > len(window):
            return True
        while i <= stop - threshold and i < stop - 1:
            tag, length = window[i], window[i + 1]
            i += 2
            if length > 127:
                if i >= stop or window[i] > 127:
                    return True
                length += (window[i] << 7) - 128
                i += 1
            if tag & 135 != LENGTH or (tag == _NODE_ATTRIBUTE_TAG and length >= threshold):
                return True
            i += length
        return i > stop

    def _other(self, wire_type: int, number: int, at: int, end: int) -> tuple[int, int]:
        if wire_type == FIXED32:
            return at, at + 4
        if wire_type == FIXED64:
            return at, at + 8
        if wire_type == GROUP:
            return at, self._group_end(number, at, end)
        what = "a group ends that never began" if wire_type == END_GROUP else f"unknown wire type {wire_type}"
        raise CorruptModel(f"not a well-formed protobuf: {what} at offset {at}")

    def _group_end(self, number: int, start: int, end: int) -> int:
        """Where the end tag of the group begins; groups within are stepped over without recursion."""
        open_groups, at = [number], start
        while open_groups:
            if len(open_groups) > MAXIMUM_NESTING:
                raise CorruptModel(f"groups are nested more than {MAXIMUM_NESTING} deep at offset {start}")
            if at >= end:
                raise CorruptModel(f"the file is truncated: the group at offset {start} never ends")
            header = self.source.read(at, min(_LONGEST_HEADER, end - at))
            try:
                tag, i = _varint(header, 0, at)
                if tag & 7 == LENGTH:
                    length, i = _varint(header, i, at)
                    i += length
                elif tag & 7 == VARINT:
                    _, i = _varint(header, i, at)
                elif tag & 7 in (FIXED32, FIXED64):
                    i += 4 if tag & 7 == FIXED32 else 8
                elif tag & 7 == GROUP:
                    open_groups.append(tag >> 3)
                elif tag & 7 == END_GROUP and tag >> 3 == open_groups[-1]:
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
        header = self.source.read(end_tag, min(_LONGEST_HEADER, self.source.size - end_tag))
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


# ---------------------------------------------------------------- writing


def encoded_varint(value: int) -> bytes:
    """The value as a varint."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, wire_type: int = LENGTH) -> bytes:
    """The tag of a field."""
    return encoded_varint(number << 3 | wire_type)


def delimited(number: int, content: bytes) -> bytes:
    """A length-delimited field, whole."""
    return tag(number) + encoded_varint(len(content)) + content
