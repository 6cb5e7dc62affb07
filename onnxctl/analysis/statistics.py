"""What is in the weights: range, mean, spread, zeros, NaN and a histogram, streamed from disk in small chunks.

Types of up to 16 bits are counted code by code (at most 65,536 of them), and every figure follows from the counts
exactly; wider ones are read once for their moments and once more for the histogram, whose range is known only then.
Memory is bounded by the chunk, whatever the tensor's size. Moments are
summed in float64, those of float32 after their distance from a value near the mean was rounded to float32.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
from onnx import TensorProto

from onnxctl.model import wire
from onnxctl.model.arrays import Array, native_dtype, new_inline_tensor
from onnxctl.model.tensors import Dtype, Tensor
from onnxctl.reports import WeightStatistics

CHUNK_BYTES = 3 << 20
"""A whole number of elements of every type, also of those of 6 bits."""

BIN_COUNT = 24
"""Bins of the histogram, of equal width from the minimum to the maximum."""

_COMPLEX = (TensorProto.COMPLEX64, TensorProto.COMPLEX128)


def weight_statistics(tensor: Tensor) -> WeightStatistics | None:
    """The statistics of a tensor's values, read from disk; None for strings, complex numbers and empty tensors.

    Mean and standard deviation (of the population) are over the finite values, as are minimum and maximum. digest is
    the SHA-256 of element type, shape and raw bytes: equal digests mean equal tensors. Raises what `Payload.check`
    raises.
    """
    dtype = tensor.dtype
    if dtype.number == TensorProto.STRING or dtype.number in _COMPLEX or not tensor.element_count:
        return None
    digest = hashlib.sha256(f"{dtype.name}{list(tensor.shape)}".encode())
    with np.errstate(
        all="ignore"
    ):  # sums of the largest numbers overflow to infinity, and are then said to be infinite
        return _from_codes(tensor, dtype, digest) if dtype.bits <= 16 else _from_values(tensor, dtype, digest)


def raw_chunks(tensor: Tensor, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The tensor's elements as raw_data would hold them, `size` bytes at a time, however they are stored."""
    payload = tensor.payload
    if payload is not None and payload.field in (wire.RAW_DATA, wire.FLOAT_DATA, wire.DOUBLE_DATA):
        yield from payload.chunks(size)
    elif tensor.proto.HasField("raw_data"):
        yield from (tensor.proto.raw_data[at : at + size] for at in range(0, tensor.byte_count, size))
    else:
        data = new_inline_tensor("", tensor.numpy()).raw_data
        yield from (data[at : at + size] for at in range(0, len(data), size))


# ---------------------------------------------------------------- up to 16 bits: by codes


def _from_codes(tensor: Tensor, dtype: Dtype, digest: hashlib._Hash) -> WeightStatistics:
    counts = np.zeros(1 << dtype.bits, dtype=np.int64)
    left = tensor.element_count
    for chunk in raw_chunks(tensor):
        digest.update(chunk)
        codes = element_codes(chunk, dtype.bits)[:left]
        left -= len(codes)
        counts += np.bincount(codes, minlength=len(counts))
    used = np.flatnonzero(counts)
    values, counts = _values_of_codes(dtype)[used], counts[used]
    finite = np.isfinite(values)
    numbers, weights = values[finite], counts[finite]
    total = int(weights.sum())
    mean = float((numbers * weights).sum() / total) if total else math.nan
    variance = float((weights * (numbers - mean) ** 2).sum() / total) if total else math.nan
    low, high = (float(numbers.min()), float(numbers.max())) if total else (math.nan, math.nan)
    return WeightStatistics(
        minimum=low,
        maximum=high,
        mean=mean,
        std=math.sqrt(variance),
        zero_count=int(counts[values == 0].sum()),
        nan_count=int(counts[np.isnan(values)].sum()),
        inf_count=int(counts[np.isinf(values)].sum()),
        histogram=_histogram(numbers, low, high, weights),
        digest=digest.hexdigest(),
    )


def element_codes(chunk: bytes, bits: int) -> Array:
    """The unsigned codes of the elements, padding included; sub-byte elements lie from the low bits up."""
    if bits == 16:
        return np.frombuffer(chunk, dtype="<u2")
    data = np.frombuffer(chunk, dtype=np.uint8)
    if bits == 8:
        return data
    if bits == 6:  # four elements in three bytes, as one little-endian stream of bits
        whole = np.frombuffer(chunk + bytes(-len(chunk) % 3), dtype=np.uint8).reshape(-1, 3).astype(np.uint32)
        joined = whole[:, 0] | whole[:, 1] << 8 | whole[:, 2] << 16
        return np.stack([(joined >> shift) & 63 for shift in (0, 6, 12, 18)], axis=1).reshape(-1)
    shifts = range(0, 8, bits)
    return np.stack([(data >> shift) & ((1 << bits) - 1) for shift in shifts], axis=1).reshape(-1)


def _values_of_codes(dtype: Dtype) -> Array:
    """The value of each code of an element type, as float64."""
    if dtype.number == TensorProto.BOOL:
        return np.asarray(np.arange(256) != 0, dtype=np.float64)
    codes = np.arange(1 << dtype.bits)
    bits = (codes[:, np.newaxis] >> np.arange(dtype.bits)) & 1
    packed = np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()
    proto = TensorProto(dims=[len(codes)], data_type=dtype.number, raw_data=packed)
    return np.asarray(Tensor(proto, None).numpy(), dtype=np.float64)


# ---------------------------------------------------------------- 32 and 64 bits: by values


def _from_values(tensor: Tensor, dtype: Dtype, digest: hashlib._Hash) -> WeightStatistics:
    native = native_dtype(dtype.number)
    count = zeros = nans = infinities = 0
    total = squares = 0.0
    low, high = math.inf, -math.inf
    shift = 0.0
    for chunk in raw_chunks(tensor):
        digest.update(chunk)
        values = np.frombuffer(chunk, dtype=native)
        zeros += len(values) - int(np.count_nonzero(values))
        finite, nans_here = _finite(values)
        nans, infinities = nans + nans_here, infinities + len(values) - len(finite) - nans_here
        if not len(finite):
            continue
        low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        if not count:  # moments around a value near the mean lose no digits to cancellation
            shift = float(finite.mean(dtype=np.float64))
        centred = _working(finite) - shift
        count, total = count + len(finite), total + float(centred.sum(dtype=np.float64))
        squares += _sum_of_squares(centred)
    mean = total / count if count else math.nan
    std = math.sqrt(max(squares / count - mean * mean, 0.0)) if count else math.nan
    if not count:
        low = high = math.nan
    bins = np.zeros(BIN_COUNT, dtype=np.int64)
    for chunk in raw_chunks(tensor) if count else ():
        finite, _ = _finite(np.frombuffer(chunk, dtype=native))
        bins += np.asarray(_histogram(finite, low, high))
    return WeightStatistics(
        minimum=low,
        maximum=high,
        mean=mean + shift,
        std=std,
        zero_count=zeros,
        nan_count=nans,
        inf_count=infinities,
        histogram=tuple(int(each) for each in bins),
        digest=digest.hexdigest(),
    )


def _finite(values: Array) -> tuple[Array, int]:
    """The finite values, and how many are NaN."""
    if values.dtype.kind != "f":
        return values, 0
    finite = np.isfinite(values)
    if finite.all():
        return values, 0
    return values[finite], int(np.isnan(values).sum())


def _working(values: Array) -> Array:
    """The values in the precision that sums are formed in: float32 stays as it is, in blocks, for speed."""
    return values if values.dtype == np.float32 else values.astype(np.float64)


def _sum_of_squares(values: Array) -> float:
    """The sum of squares; blocks of 1,024 are summed in the values' own precision, the blocks in float64."""
    whole = len(values) // 1024 * 1024
    blocks = values[:whole].reshape(-1, 1024)
    rest = values[whole:].astype(np.float64)
    return float(np.einsum("ij,ij->i", blocks, blocks).sum(dtype=np.float64) + rest @ rest)


def _histogram(values: Array, low: float, high: float, weights: Array | None = None) -> tuple[int, ...]:
    """How many values fall into each bin; all into the first where they are all equal."""
    if not len(values):
        return (0,) * BIN_COUNT
    if low == high:
        total = len(values) if weights is None else int(weights.sum())
        return (total, *(0,) * (BIN_COUNT - 1))
    half = _working(values) / 2  # the distance from the lowest to the highest number is no number itself
    places = ((half - low / 2) * (BIN_COUNT / (high / 2 - low / 2))).astype(np.intp)
    np.clip(places, 0, BIN_COUNT - 1, out=places)
    counts = np.bincount(places, weights=weights, minlength=BIN_COUNT)
    return tuple(int(each) for each in counts)
