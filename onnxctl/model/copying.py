"""Bytes from file to file: inside the kernel where it can, holes stay holes, checksums are checked on the way."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator

from onnxctl.errors import InvalidModel
from onnxctl.model.arrays import byte_view
from onnxctl.model.files import FileSource
from onnxctl.model.tensors import Payload

_COPY_BYTES = 1 << 27
_NO_COPY_FILE_RANGE = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.EPERM}


def write_bytes(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of the bytes."""
    view = memoryview(data)
    while len(view):
        view = view[os.write(descriptor, view) :]


def copy_payload(descriptor: int, payload: Payload) -> None:
    """Append a payload's bytes; holes of a sparse file stay holes."""
    if payload.derivation is not None:
        write_bytes(descriptor, byte_view(payload.derivation.values()))
        return
    if payload.checksum:
        check_checksum(payload)
    source = payload.file.source()
    at, end = payload.offset, payload.offset + payload.length
    for start, stop in _extents(source, at, end):
        os.lseek(descriptor, start - at, os.SEEK_CUR)
        _copy_range(descriptor, source, start, stop)
        at = stop
    os.lseek(descriptor, end - at, os.SEEK_CUR)


def _extents(source: FileSource, at: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of [at, end) that are not holes, as far as the file system can tell."""
    if sys.platform == "win32":
        yield at, end
        return
    while at < end:
        try:
            start = os.lseek(source.descriptor, at, os.SEEK_DATA)
            stop = os.lseek(source.descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: nothing but a hole from here on
                yield at, end
            return
        if start < end:
            yield start, min(stop, end)
        at = stop


def _copy_range(descriptor: int, source: FileSource, at: int, stop: int) -> None:
    """Write the bytes of [at, stop): inside the kernel where both files allow it, else through a small buffer."""
    while at < stop and sys.platform == "linux":
        try:
            count = os.copy_file_range(source.descriptor, descriptor, min(stop - at, _COPY_BYTES), at)
        except OSError as error:
            if error.errno not in _NO_COPY_FILE_RANGE:
                raise
            break
        if count == 0:
            break
        at += count
    while at < stop:
        chunk = source.read(at, min(stop - at, 1 << 22))
        write_bytes(descriptor, chunk)
        at += len(chunk)


def check_checksum(payload: Payload) -> None:
    """Raises InvalidModel where the whole data file's SHA-1 is not the checksum that external_data gives."""
    import hashlib

    source, digest = payload.file.source(), hashlib.sha1(usedforsecurity=False)
    for at in range(0, source.size, 1 << 22):
        digest.update(source.read(at, min(1 << 22, source.size - at)))
    if digest.hexdigest() != payload.checksum.lower():
        raise InvalidModel(
            f"tensor {payload.tensor_name!r}: the checksum of {payload.file.location!r} is {digest.hexdigest()}, but "
            f"external_data says {payload.checksum!r}",
            hint="the data file belongs to another model or is damaged: download it again",
        )
