"""Files are opened once, must be regular, and are read by position; external data stays in the model's folder.

Reads go through `os.pread` and not through a memory map: a file that another process truncates is then a clean error
and not a SIGBUS, and reading a payload never counts as memory of ours.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from onnxctl.errors import CorruptModel, ModelError, UnreadableFile, UnsafePath

_CHUNK_BYTES = 1 << 20


class FileSource:
    """An open regular file: its size when opened, and its bytes by position."""

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self.path = path
        status = os.fstat(descriptor)
        self.size = status.st_size
        self.identity = (status.st_dev, status.st_ino)
        self.mode = stat.S_IMODE(status.st_mode)

    def __del__(self) -> None:
        os.close(self._descriptor)

    @property
    def descriptor(self) -> int:
        """The open file descriptor; it closes with this object."""
        return self._descriptor

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of [offset, offset + length). Raises CorruptModel where the file has become shorter."""
        if length <= _CHUNK_BYTES:
            data = os.pread(self._descriptor, length, offset)
            if len(data) == length:
                return data
        buffer = bytearray(length)
        self.read_into(memoryview(buffer), offset)
        return bytes(buffer)

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill the buffer with the bytes from offset on. Raises CorruptModel where the file has become shorter."""
        filled = 0
        while filled < len(buffer):
            part = buffer[filled : filled + (1 << 26)]
            try:
                count = os.preadv(self._descriptor, [part], offset + filled)
            except OSError as error:
                raise UnreadableFile(f"{self.path}: {error.strerror} at offset {offset + filled}") from error
            if count == 0:
                raise CorruptModel(f"{self.path}: truncated: it became shorter while it was being read")
            filled += count


def open_regular(path: str) -> FileSource:
    """Open a file for reading that must be a regular one.

    Raises UnreadableFile for a directory, a FIFO, a device, a missing file or one without permission; never blocks.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        hint = "check the spelling and the folder" if isinstance(error, FileNotFoundError) else ""
        raise UnreadableFile(f"{path}: {error.strerror}", hint=hint) from error
    except ValueError as error:
        raise UnreadableFile(f"{path!r}: not a possible file name ({error})") from error
    _refuse_irregular(descriptor, path, UnreadableFile)
    return FileSource(descriptor, path)


def source_of(file: IO[bytes], name: str) -> FileSource:
    """An open (temporary) file as a FileSource under the name given; both may be closed independently."""
    return FileSource(os.dup(file.fileno()), name)


def _refuse_irregular(descriptor: int, path: str, kind: type[ModelError]) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return
    os.close(descriptor)
    what = "a directory" if stat.S_ISDIR(mode) else "a FIFO, socket or device"
    raise kind(f"{path}: not a regular file but {what}")


# ---------------------------------------------------------------- external data


@dataclass(slots=True)
class DataFile:
    """A file with payloads: the model's own (location "") or one named by external_data; opened when first needed.

    folders are those the data may lie in: see `model_folders`. Only the model's own file has none, and is open already.
    """

    location: str
    folders: tuple[str, str] | None = None
    opened: FileSource | None = field(default=None, repr=False)

    def source(self) -> FileSource:
        """The open file. Raises UnsafePath or UnreadableFile; the message names the location."""
        if self.opened is None:
            assert self.folders is not None
            self.opened = _open_inside(self.folders, self.location)
        return self.opened


def model_folders(path: str) -> tuple[str, str]:
    """The model's folder as named, and its real folder (the two differ where the model is a symbolic link)."""
    return os.path.dirname(path) or ".", os.path.dirname(os.path.realpath(path))


def check_location(location: str) -> None:
    """Raises UnsafePath where an external_data location could mean a file outside of the model's folder.

    Backslashes and drive letters are refused on every system: a model is safe everywhere or nowhere.
    """
    if "\0" in location:
        problem = "contains a NUL byte"
    elif location.startswith(("/", "\\")) or (len(location) > 1 and location[1] == ":"):
        problem = "is an absolute path"
    elif location.startswith("*/"):
        problem = "is a tag for data in memory, not a path"
    elif ".." in location.replace("\\", "/").split("/"):
        problem = "leaves the model's folder by '..'"
    elif "\\" in location:
        problem = "contains a backslash"
    else:
        return
    raise UnsafePath(
        f"external data location {location!r} {problem}",
        hint="external data must lie in the model's own folder; ask whoever made this file",
    )


def _open_inside(folders: tuple[str, str], location: str) -> FileSource:
    """Open `location` relative to the folder as named, following links only where they end inside one of the two.

    Both are allowed because caches link the model and its data into one store. The file is opened component by
    component without following links, so that a link put there after the check leads to an error and nowhere else.
    """
    check_location(location)
    named, real = folders
    try:
        target = Path(named, location).resolve(strict=True)
    except FileNotFoundError as error:
        raise UnreadableFile(
            f"external data file {location!r} is missing", hint=f"it belongs beside the model, in {named}"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableFile(f"external data location {location!r} is missing or unusable: {reason}") from error
    for root in dict.fromkeys((Path(named).resolve(), Path(real).resolve())):
        if target.is_relative_to(root):
            return _open_beneath(root, target, location)
    raise UnsafePath(
        f"external data location {location!r} is a symlink that leads out of the model's folder",
        hint="copy the data file beside the model if you trust it",
    )


def _open_beneath(root: Path, target: Path, location: str) -> FileSource:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    parts = target.relative_to(root).parts
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for index, part in enumerate(parts):
            above, last = descriptor, index == len(parts) - 1
            try:
                descriptor = os.open(part, flags if last else flags | os.O_DIRECTORY, dir_fd=above)
            finally:
                os.close(above)
    except OSError as error:
        raise UnreadableFile(f"external data file {location!r}: {error.strerror}") from error
    _refuse_irregular(descriptor, f"external data location {location!r}", UnsafePath)
    return FileSource(descriptor, os.fspath(target))
