"""The values of tensors as text: all of them, or a digest of their bytes in their place."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
from onnx import TensorProto

from onnxctl.analysis.statistics import element_codes, raw_chunks
from onnxctl.analysis.text.syntax import quoted
from onnxctl.errors import ModelError, ResourceLimit
from onnxctl.model.loading import Model, tensors_of_model
from onnxctl.model.tensors import Tensor

SHOWN_ELEMENTS = 16
"""Tensors of at most so many elements are written out always."""

LARGEST_TEXT_ELEMENTS = 1 << 25
"""Elements that are written out in all: each takes some ten characters, and thirty bytes on the way."""

DIGESTED_BYTES = 2 << 30
"""Where the weights together have more bytes than this, no digests are made."""

_CHUNK_BYTES = 1 << 20

_NUMBERS: dict[int, str] = {
    TensorProto.FLOAT: "<f4",
    TensorProto.COMPLEX64: "<f4",
    TensorProto.DOUBLE: "<f8",
    TensorProto.COMPLEX128: "<f8",
    TensorProto.INT8: "i1",
    TensorProto.INT16: "<i2",
    TensorProto.INT32: "<i4",
    TensorProto.INT64: "<i8",
    TensorProto.UINT16: "<u2",
    TensorProto.UINT32: "<u4",
    TensorProto.UINT64: "<u8",
    TensorProto.FLOAT16: "<u2",
    TensorProto.BFLOAT16: "<u2",
}
"""How elements are written as numbers; those of all other types as their bytes, packed ones byte by byte.

float16 and its like are written as their bits, as the syntax has it: what stands there is what int32_data would hold.
"""


class Values:
    """Writes the values of a model's tensors; `whole` says that none is elided.

    Raises ResourceLimit where whole is wanted of more than LARGEST_TEXT_ELEMENTS elements.
    """

    def __init__(self, model: Model, *, whole: bool) -> None:
        self._model = model
        self._whole = whole
        self.elided = False
        tensors = [model.tensor(proto) for proto in tensors_of_model(model.proto)]
        self.digested = sum(tensor.byte_count for tensor in tensors) <= DIGESTED_BYTES
        count = sum(tensor.element_count for tensor in tensors)
        if whole and count > LARGEST_TEXT_ELEMENTS:
            raise ResourceLimit(
                f"the text would hold {count:,} numbers; {LARGEST_TEXT_ELEMENTS:,} is the most that is written",
                hint="leave --full-text out: --text gives a digest in place of large weights",
            )

    def written(self, proto: TensorProto) -> str:
        """What stands for the tensor's values: "{1, 2, 3}", or entries of external data that say what was elided.

        Data in a file keeps its location, offset and length, unless the whole is wanted. Raises what `Payload.check`
        raises where the whole is wanted and can't be had.
        """
        tensor = self._model.tensor(proto)
        payload = tensor.payload
        outside = payload is not None and bool(payload.file.location)
        if self._whole or (not outside and tensor.element_count <= SHOWN_ELEMENTS):
            return "{" + ", ".join(self._elements(tensor)) + "}"
        self.elided = True
        entries: dict[str, str] = {}
        if payload is not None and payload.file.location:
            entries = {
                "location": payload.file.location,
                "offset": str(payload.offset),
                "length": str(payload.length),
            }
        if self.digested and (digest := _digest(tensor)):
            entries["sha256"] = digest
        entries["elided"] = f"{tensor.byte_count} bytes"
        return "[" + ", ".join(f"{quoted(key)}: {quoted(value)}" for key, value in entries.items()) + "]"

    def _elements(self, tensor: Tensor) -> Iterator[str]:
        number = tensor.proto.data_type
        if number == TensorProto.STRING:
            yield from map(quoted, tensor.proto.string_data)
            return
        native = np.dtype(_NUMBERS.get(number, "u1"))
        left = tensor.element_count
        for chunk in raw_chunks(tensor):
            if tensor.dtype.bits == 6:  # packed in raw_data, but one to a number where numbers are written
                codes = element_codes(chunk, 6)[:left]
                left -= len(codes)
                yield from map(str, codes.tolist())
                continue
            array = np.frombuffer(chunk, dtype=native)
            if native.kind != "f":
                yield from map(str, array.tolist())
            else:
                yield from (_number(value) for value in array)


def _number(value: np.floating) -> str:
    if math.isnan(value):
        return "-nan" if np.signbit(value) else "nan"
    return str(value)


def _digest(tensor: Tensor) -> str:
    """The SHA-256 of the bytes that raw_data would hold, "" where they can't be had."""
    if tensor.proto.data_type == TensorProto.STRING:
        return ""
    digest = hashlib.sha256()
    try:
        for chunk in raw_chunks(tensor, _CHUNK_BYTES):
            digest.update(chunk)
    except ModelError:
        return ""
    return digest.hexdigest()
