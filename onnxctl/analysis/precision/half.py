"""What float16 would make of the weights: values too large become infinite, small ones denormal or zero.

Source: IEEE 754 binary16 and rounding to nearest, ties to even, as all converters do. From 65520 on a value rounds to
infinity, up to 2^-25 to zero; what then lies below 2^-14 is denormal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from onnxctl.analysis.statistics import raw_chunks
from onnxctl.analysis.weights import Weight, place_of, weights_of
from onnxctl.errors import ModelError
from onnxctl.model.arrays import Array
from onnxctl.model.loading import Model
from onnxctl.model.names import as_text
from onnxctl.model.tensors import dtype_name
from onnxctl.reports import HalfReport, HalfTensor

FIRST_INFINITE = 65520.0
LAST_ZERO = 2.0**-25
FIRST_NORMAL = 2.0**-14 - 2.0**-25

_WIDER = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.BFLOAT16})
_CHUNK_BYTES = 1 << 20
_SHOWN = 10


def look_at_half(model: Model, news: Callable[[str], None]) -> HalfReport | None:
    """The wider weights held against float16; None where there are none. Reads them in chunks, shared bytes once."""
    weights = [weight for weight in weights_of(model) if weight.data_type in _WIDER and weight.stored is not None]
    if not weights:
        return None
    tensors: list[HalfTensor] = []
    known: dict[object, HalfTensor] = {}
    unread = 0
    for index, weight in enumerate(weights):
        news(f"reading weights ({index + 1} of {len(weights)})")
        try:
            place = place_of(model, weight)
            if place not in known:
                known[place] = _look_at(model, weight)
        except ModelError:
            unread += 1
        else:
            tensors.append(dataclasses.replace(known[place], scope=weight.scope, name=as_text(weight.name)))
    hit = [each for each in tensors if each.overflow_count or each.zero_count or each.denormal_count]
    worst = sorted(hit, key=lambda each: (-each.overflow_count, -each.zero_count, -each.denormal_count))
    return HalfReport(
        tensor_count=len(tensors),
        element_count=sum(each.element_count for each in tensors),
        overflow_count=sum(each.overflow_count for each in tensors),
        zero_count=sum(each.zero_count for each in tensors),
        denormal_count=sum(each.denormal_count for each in tensors),
        unread_count=unread,
        worst=tuple(worst[:_SHOWN]),
    )


def _look_at(model: Model, weight: Weight) -> HalfTensor:
    assert weight.stored is not None
    overflow = zero = denormal = 0
    largest = 0.0
    for chunk in raw_chunks(model.tensor(weight.stored), _CHUNK_BYTES):
        sizes = _magnitudes(chunk, weight.data_type)
        sizes = sizes[np.isfinite(sizes)]
        overflow += int(np.count_nonzero(sizes >= FIRST_INFINITE))
        small = sizes[(sizes < FIRST_NORMAL) & (sizes > 0)]
        to_zero = int(np.count_nonzero(small <= LAST_ZERO))
        zero, denormal = zero + to_zero, denormal + len(small) - to_zero
        largest = max(largest, float(sizes.max(initial=0)))
    return HalfTensor(
        scope=weight.scope,
        name=as_text(weight.name),
        dtype=dtype_name(weight.data_type),
        element_count=weight.element_count,
        overflow_count=overflow,
        zero_count=zero,
        denormal_count=denormal,
        largest=largest,
    )


def _magnitudes(chunk: bytes, data_type: int) -> Array:
    if data_type == TensorProto.BFLOAT16:  # the upper half of a float32
        widened: Array = (np.frombuffer(chunk, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        widened = np.frombuffer(chunk, "<f8" if data_type == TensorProto.DOUBLE else "<f4")
    return np.abs(widened)
