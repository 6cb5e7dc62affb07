"""Two stored tensors: whether they are equal, and how far apart their values are; read in small chunks, never whole.

A fingerprint is made of element type, shape and samples of the bytes: unequal fingerprints mean unequal tensors, equal
ones that a look at every byte is due, unless both are the same bytes of the same file, or small enough that the samples
were all of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from onnxctl.analysis.statistics import CHUNK_BYTES, raw_chunks
from onnxctl.errors import ModelError
from onnxctl.model import wire
from onnxctl.model.arrays import Array, native_dtype
from onnxctl.model.tensors import Tensor

SAMPLE_COUNT = 16
SAMPLE_BYTES = 256
"""A tensor of more than SAMPLE_COUNT x SAMPLE_BYTES is told by so many samples, evenly spaced, its ends included."""

_AS_RAW = frozenset((wire.RAW_DATA, wire.FLOAT_DATA, wire.DOUBLE_DATA))
_COMPLEX = (TensorProto.COMPLEX64, TensorProto.COMPLEX128)


class ValueDistance(NamedTuple):
    """How far two tensors of one shape are apart: cosine is None where one of them is all zeros or not finite.

    max_relative is max_absolute over the largest magnitude in the first.
    """

    changed_count: int
    max_absolute: float
    max_relative: float
    cosine: float | None


def fingerprint(tensor: Tensor) -> bytes:
    """Element type, shape and sampled content in 16 bytes; data that can't be had counts by its place."""
    digest = hashlib.blake2b(f"{tensor.proto.data_type}{list(tensor.shape)}".encode(), digest_size=16)
    payload = tensor.payload
    try:
        if payload is not None and payload.field in _AS_RAW:
            payload.check()
            source = payload.file.source()
            for start, length in _samples(payload.length):
                digest.update(source.read(payload.offset + start, length))
        elif tensor.proto.data_type == TensorProto.STRING:
            for text in tensor.proto.string_data:
                digest.update(len(text).to_bytes(8, "little") + text)
        else:
            for chunk in raw_chunks(tensor):
                digest.update(chunk)
    except ModelError:
        if payload is not None:
            digest.update(f"missing {payload.file.location} {payload.offset} {payload.length}".encode(errors="replace"))
    return digest.digest()


def _samples(size: int) -> Iterator[tuple[int, int]]:
    if size <= SAMPLE_COUNT * SAMPLE_BYTES:
        yield 0, size
        return
    for index in range(SAMPLE_COUNT):
        yield (size - SAMPLE_BYTES) * index // (SAMPLE_COUNT - 1), SAMPLE_BYTES


def is_sampled_whole(tensor: Tensor) -> bool:
    """Whether the fingerprint has seen every byte."""
    return (
        tensor.payload is None
        or tensor.payload.field not in _AS_RAW
        or tensor.byte_count <= SAMPLE_COUNT * SAMPLE_BYTES
    )


def is_same_place(a: Tensor, b: Tensor) -> bool:
    """Whether both are the same bytes of one file: nothing need be read. Raises what `Payload.check` raises."""
    if a.payload is None or b.payload is None:
        return False
    a.payload.check()
    b.payload.check()
    places = [(each.file.source().identity, each.offset, each.length, each.field) for each in (a.payload, b.payload)]
    return places[0] == places[1] and (a.proto.data_type, a.shape) == (b.proto.data_type, b.shape)


def has_equal_bytes(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one type and shape are equal byte by byte. Raises what `Payload.check` raises."""
    return all(x == y for x, y in zip_longest(raw_chunks(a), raw_chunks(b)))


def measure_distance(a: Tensor, b: Tensor) -> ValueDistance | None:
    """The distance of two tensors of one shape; None for strings, other types and shapes, and types below a byte.

    Streams both; raises what `Payload.check` raises.
    """
    kinds = [_element_type(each) for each in (a, b)]
    if a.shape != b.shape or kinds[0] is None or kinds[1] is None:
        return None
    return _Distance().over(_numbers(a, kinds[0]), _numbers(b, kinds[1]))


def _element_type(tensor: Tensor) -> np.dtype[np.generic] | None:
    return None if tensor.proto.data_type in _COMPLEX else native_dtype(tensor.dtype.number)


_CHUNK_ELEMENTS = CHUNK_BYTES // 8
_BLOCK_ELEMENTS = 1 << 14
"""What is worked on at a time stays in the processor's cache."""


def _numbers(tensor: Tensor, kind: np.dtype[np.generic]) -> Iterator[Array]:
    """The elements as float64, so many at a time whatever their width is."""
    for chunk in raw_chunks(tensor, _CHUNK_ELEMENTS * kind.itemsize):
        values = np.frombuffer(chunk, dtype=kind)
        for start in range(0, len(values), _BLOCK_ELEMENTS):
            yield values[start : start + _BLOCK_ELEMENTS].astype(np.float64)


class _Distance:
    """Sums up, chunk by chunk."""

    def __init__(self) -> None:
        self.changed = 0
        self.largest_difference = self.largest = 0.0
        self.product = self.square_a = self.square_b = 0.0

    def over(self, a: Iterator[Array], b: Iterator[Array]) -> ValueDistance:
        with np.errstate(all="ignore"):
            for x, y in zip(a, b, strict=True):
                self._add(x, y)
            norms = math.sqrt(self.square_a) * math.sqrt(self.square_b)
        cosine = self.product / norms if norms and math.isfinite(norms) and math.isfinite(self.product) else None
        relative = self.largest_difference / self.largest if self.largest else math.inf
        return ValueDistance(
            changed_count=self.changed,
            max_absolute=self.largest_difference,
            max_relative=relative if self.largest_difference else 0.0,
            cosine=None if cosine is None else max(-1.0, min(1.0, cosine)),
        )

    def _add(self, x: Array, y: Array) -> None:
        # not `@`: on short blocks the threads of its library wait for each other longer than they work
        self.product += float(np.einsum("i,i->", x, y))
        self.square_a += float(np.einsum("i,i->", x, x))
        self.square_b += float(np.einsum("i,i->", y, y))
        difference = x - y
        if not np.isfinite(difference).all():
            self._add_odd(x, y)
            return
        self.changed += int(np.count_nonzero(difference))
        self.largest_difference = max(self.largest_difference, float(difference.max()), -float(difference.min()))
        self.largest = max(self.largest, float(x.max()), -float(x.min()))

    def _add_odd(self, x: Array, y: Array) -> None:
        """A block with NaN or infinities: NaN equals NaN, and is infinitely far from everything else."""
        unequal = (x != y) & ~(np.isnan(x) & np.isnan(y))
        self.changed += int(np.count_nonzero(unequal))
        difference = np.abs(x - y)[unequal]
        if len(difference):
            largest = math.inf if np.isnan(difference).any() else float(difference.max())
            self.largest_difference = max(self.largest_difference, largest)
        finite = np.abs(x[np.isfinite(x)])
        self.largest = max(self.largest, float(finite.max()) if len(finite) else 0.0)
