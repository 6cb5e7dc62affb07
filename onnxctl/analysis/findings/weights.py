"""Stored bytes that are there twice, or for nothing. Reads only tensors of equal shape with equal samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from onnx import TensorProto

from onnxctl.analysis.findings.sightings import counted
from onnxctl.analysis.statistics import raw_chunks
from onnxctl.analysis.weights import Weight, weights_of
from onnxctl.errors import ModelError
from onnxctl.model.loading import Model
from onnxctl.model.names import as_text
from onnxctl.reports import Finding

DUPLICATE_BYTES = 1 << 16
"""Duplicates that waste less, all of them together, are not worth telling."""

DUPLICATE_SHARE = 0.01
"""Nor are those that waste a smaller part of all stored bytes: a large model has many equal biases of zeros."""

SMALLEST_BYTES = 1 << 10
"""Tensors below this size are not compared: every model has many equal scalars."""

GAP_BYTES = 1 << 16
"""Smaller gaps between tensors in a data file are alignment."""

LARGEST_PROTOBUF_BYTES = (1 << 31) - 1
"""What protobuf's own parsers read at most."""

_SAMPLE_BYTES = 256
_CHUNK_BYTES = 1 << 20


def weight_findings(model: Model) -> Iterator[Finding]:
    """Duplicate weights, data files with bytes that no tensor uses, and a model file too large to be read elsewhere."""
    yield from _duplicates(model)
    yield from _unused_data(model)
    if model.source.size > LARGEST_PROTOBUF_BYTES:
        yield Finding(
            code="protobuf-too-large",
            severity="error",
            message=f"the model file has {model.source.size:,} bytes: most other software can't read more than 2 GiB",
            hint="`onnxctl optimize --external-data` puts the weights into a file beside it",
        )


# ---------------------------------------------------------------- duplicates


def _duplicates(model: Model) -> Iterator[Finding]:
    copies: list[Weight] = []
    first = ""
    for group in _alike(model, _candidates(model)):
        first = first or f"{as_text(group[0].name)} = {as_text(group[1].name)}"
        copies += group[1:]
    wasted = sum(weight.byte_count for weight in copies)
    stored = sum(weight.byte_count for weight in weights_of(model)) if copies else 0
    if wasted >= max(DUPLICATE_BYTES, DUPLICATE_SHARE * stored):
        yield Finding(
            code="duplicate-initializer",
            severity="warning",
            message=f"{counted(copies, 'stored tensor is', 'stored tensors are')} a copy of another one "
            f"({wasted:,} bytes)",
            where=first,
            hint="`onnxctl optimize` keeps one of each (pass share_initializers)",
        )


def _candidates(model: Model) -> list[list[Weight]]:
    """Tensors that could be equal: same type and shape, not too small, not the same bytes on disk already."""
    groups: dict[tuple[int, tuple[int, ...]], list[Weight]] = {}
    places: set[tuple[int, int]] = set()
    for weight in weights_of(model):
        if weight.stored is None or weight.is_sparse or weight.data_type == TensorProto.STRING:
            continue
        if weight.byte_count < SMALLEST_BYTES:
            continue
        payload = model.payload(weight.stored)
        if payload is not None:
            place = id(payload.file), payload.offset
            if place in places:
                continue
            places.add(place)
        groups.setdefault((weight.data_type, weight.shape), []).append(weight)
    return [group for group in groups.values() if len(group) > 1]


def _alike(model: Model, groups: list[list[Weight]]) -> Iterator[list[Weight]]:
    """Those of each group with equal contents: told apart by samples first, by a digest of all bytes then."""
    for group in groups:
        for sampled in _grouped(model, group, _sample):
            if len(sampled) > 1:
                yield from (equal for equal in _grouped(model, sampled, _digest) if len(equal) > 1)


class _Read(NamedTuple):
    """How to tell tensors apart: by a few bytes, or by all."""

    whole: bool


_sample, _digest = _Read(False), _Read(True)


def _grouped(model: Model, weights: list[Weight], read: _Read) -> list[list[Weight]]:
    found: dict[bytes, list[Weight]] = {}
    for weight in weights:
        assert weight.stored is not None
        try:
            key = _whole_digest(model, weight.stored) if read.whole else _few_bytes(model, weight.stored)
        except ModelError:  # data that is missing is told elsewhere
            continue
        found.setdefault(key, []).append(weight)
    return list(found.values())


def _whole_digest(model: Model, proto: TensorProto) -> bytes:
    digest = hashlib.sha256()
    for chunk in raw_chunks(model.tensor(proto), _CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()


def _few_bytes(model: Model, proto: TensorProto) -> bytes:
    """Bytes of the beginning, middle and end, however they are encoded (equal bytes may be encoded differently).

    Those in the message itself are few enough to compare as a whole.
    """
    payload = model.payload(proto)
    if payload is None:
        return b""
    payload.check()
    length = min(_SAMPLE_BYTES, payload.length)
    starts = (0, (payload.length - length) // 2, payload.length - length)
    return b"%d" % payload.field + b"".join(
        payload.file.source().read(payload.offset + start, length) for start in starts
    )


# ---------------------------------------------------------------- data files


def _unused_data(model: Model) -> Iterator[Finding]:
    for file in model.data_files:
        try:
            size = file.source().size
        except ModelError:
            continue  # told by check_structure
        used = sorted((p.offset, p.offset + p.length) for p in model.payloads if p.file is file and p.problem is None)
        unused, at = 0, 0
        for start, end in (*used, (size, size)):
            if start - at >= GAP_BYTES:
                unused += start - at
            at = max(at, end)
        if unused:
            yield Finding(
                code="external-data-unused-bytes",
                severity="warning",
                message=f"{unused:,} of the {size:,} bytes of {as_text(file.location)!r} belong to no tensor",
                where=as_text(file.location),
                hint="`onnxctl optimize` writes a data file with nothing else in it",
            )
