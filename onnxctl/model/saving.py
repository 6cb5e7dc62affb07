"""Saving: the skeleton is written with its payloads streamed from file to file; an output appears whole or not at all.

Everything goes to temporary names in the target's folder, is flushed to disk and then renamed. A model with external
data is two files that can't be replaced at one moment, so the data always gets a name nothing refers to yet and the
model is renamed last: an old model never points into new data. Peak disk use is the old output plus the new one.
Publishing is done under a lock on the folder, and files on their way are locked as well: of many writers, none removes
what another is about to publish, and what a killed one left the next save of that output removes.

Flushing goes on in the background while a file is written and while the caller verifies it; `Staged.commit` waits for
it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from onnxctl.errors import ModelError, OutputExists, ResourceLimit, StorageError, UsageError
from onnxctl.model import wire
from onnxctl.model.copying import copy_payload, write_bytes
from onnxctl.model.flushing import Flush
from onnxctl.model.loading import Model, tensors_of_model
from onnxctl.model.locks import is_locked, lock, locked
from onnxctl.model.tensors import Payload

PROTOBUF_LIMIT_BYTES = 2**31 - 1
"""What a protobuf message can hold; a larger model keeps its weights beside it."""

ALIGNMENT_BYTES = 4096
"""Where the payloads of a data file begin if the original's did too, so that runtimes can map them."""


class Target(NamedTuple):
    """Where a model may be written: the path and the mode its file gets.

    Where it replaces an output, that one's data files go with it, but for those that the input goes on using.
    """

    path: str
    mode: int
    replaces: bool = False
    kept_data: frozenset[tuple[int, int]] = frozenset()


def check_target(model: Model, path: str, *, force: bool = False, in_place: bool = False) -> Target:
    """Whether the model may be written to `path`, before any work is done.

    Raises UsageError where the path is one of the input's own files without `in_place`, is a link, or no regular file;
    OutputExists where it exists without `force`; StorageError where its folder can't be written to.
    """
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise StorageError(f"{path}: its folder does not exist", hint=f"create it first: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"{path}: no permission to write in its folder", hint="choose another folder with -o")
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return Target(path, 0o666 & ~_umask())
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    if stat.S_ISLNK(status.st_mode):
        raise UsageError(
            f"{path}: the output is a symbolic link, which would be replaced or written through",
            hint=f"name the file itself: {os.path.realpath(path)}",
        )
    if not stat.S_ISREG(status.st_mode):
        hint = "write into a folder with --out-dir DIR" if stat.S_ISDIR(status.st_mode) else ""
        raise UsageError(f"{path}: the output exists and is no regular file", hint=hint)
    identity = (status.st_dev, status.st_ino)
    if identity == model.source.identity:
        if not in_place:
            raise UsageError(f"{path}: the output is the input itself", hint="replace it with --in-place")
    elif identity in _data_identities(model):
        raise UsageError(f"{path}: the output is a data file of the input", hint="choose another name")
    elif not force:
        raise OutputExists(f"{path}: the output exists", hint="replace it with --force")
    kept = frozenset() if identity == model.source.identity else frozenset(_data_identities(model))
    return Target(path, stat.S_IMODE(status.st_mode), replaces=True, kept_data=kept)


def _data_identities(model: Model) -> set[tuple[int, int]]:
    found = set()
    for file in model.data_files:
        with contextlib.suppress(ModelError):  # what can't be opened can't be overwritten as its input either
            found.add(file.source().identity)
    return found


def _own_data_files(path: str) -> Iterator[str]:
    """The data files beside `path` that an earlier save there made, by their names."""
    folder, name = os.path.split(path)
    for entry in os.scandir(folder or "."):
        middle = entry.name.removeprefix(name).removesuffix(".data")
        if entry.name == f"{name}{middle}.data" and (not middle or _is_generation(middle)) and entry.is_file():
            yield entry.path


def _is_generation(middle: str) -> bool:
    return middle[0] == "." and middle[1:].isdigit()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# ---------------------------------------------------------------- laying out


@dataclass(slots=True)
class _Layout:
    """Which payloads go to the data file, and where; the rest goes into the model. The file's name comes last."""

    data_name: str = ""
    offsets: dict[int, int] = field(default_factory=dict)
    data_bytes: int = 0


def _layout(model: Model, used: Sequence[int]) -> _Layout:
    layout = _Layout()
    align = ALIGNMENT_BYTES if _is_aligned(model, used) else 1
    known: dict[tuple[int, int, int], int] = {}
    for index in used:
        payload = model.payloads[index]
        if payload.field in (wire.RAW_DATA, wire.FLOAT_DATA, wire.DOUBLE_DATA):
            offset = known.setdefault(_place_on_disk(payload), -(-layout.data_bytes // align) * align)
            layout.offsets[index] = offset
            layout.data_bytes = max(layout.data_bytes, offset + payload.length)
    return layout


def _place_on_disk(payload: Payload) -> tuple[int, int, int]:
    """Where the bytes are: tensors may share them in a data file, and go on doing so."""
    return id(payload.file), payload.offset, payload.length


def _is_aligned(model: Model, used: Sequence[int]) -> bool:
    """Whether the input's external payloads, if any, all begin at multiples of the alignment."""
    return all(not p.file.location or p.offset % ALIGNMENT_BYTES == 0 for p in (model.payloads[i] for i in used))


def _used_payloads(model: Model) -> list[int]:
    """The payloads that tensors still refer to, in the order of the tensors."""
    marks = (
        entry for proto in tensors_of_model(model.proto) for entry in proto.external_data if entry.key == wire.MARK
    )
    return list(dict.fromkeys(int(entry.value) for entry in marks))


def saved_bytes(model: Model) -> int:
    """How many bytes the model takes now, its weights included; the measure of whether it grew."""
    payloads = {_place_on_disk(each): each.length for each in map(model.payloads.__getitem__, _used_payloads(model))}
    return model.proto.ByteSize() + sum(payloads.values())


# ---------------------------------------------------------------- writing


class Staged:
    """A model written to disk but not yet under its name. `commit` publishes it; leaving without that removes it.

    `path` is where it can be opened meanwhile, from its own folder. An interrupt at any moment leaves no file behind:
    files are noted before they are made, and go with this object at the latest.
    """

    def __init__(self, target: Target, *, flush: bool) -> None:
        self.path = ""
        self.data_path: str | None = None
        self._target = target
        self._flush = flush
        self._flushes: list[Flush] = []
        self._temporary: list[str] = []
        self._locks: list[int] = []
        self._done = False

    @property
    def file_bytes(self) -> int:
        """What the files take together."""
        return sum(os.path.getsize(each) for each in (self.path, self.data_path) if each is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.discard()

    def commit(self) -> tuple[str, ...]:
        """Rename the model to its name and remove the data the replaced output had; the paths that exist now.

        Raises StorageError where the files could not be flushed to disk, or the model not be renamed.
        """
        try:
            for flush in self._flushes:
                flush.wait()
            with locked(os.path.dirname(self._target.path) or "."):
                os.replace(self.path, self._target.path)
                self._done = True
                if self._target.replaces:
                    self._remove_replaced_data()
                self._release()
        except OSError as error:
            raise _storage_error(self._target.path, error) from error
        _flush_folder(os.path.dirname(self._target.path) or ".")
        return (self._target.path,) if self.data_path is None else (self._target.path, self.data_path)

    def _remove_replaced_data(self) -> None:
        """Remove the data files of earlier saves; those of another process that is about to publish are locked."""
        for path in _own_data_files(self._target.path):
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                kept = path == self.data_path or (status.st_dev, status.st_ino) in self._target.kept_data
                if not kept and not is_locked(path):
                    os.unlink(path)

    def _release(self) -> None:
        """Let others see that these files are no longer on their way."""
        while self._locks:
            os.close(self._locks.pop())

    def write_data(self, pieces: Iterator[wire.Piece], model: Model) -> str:
        """Write the data file; the name it got, which nobody had. The lock keeps other onnxctl away from it."""
        temporary = self.write(pieces, model)
        with locked(os.path.dirname(self._target.path) or "."):
            return os.path.basename(self._name_data(temporary))

    def _name_data(self, temporary: str) -> str:
        """Give the temporary file a name, and note it: signals wait meanwhile (`signals`), or the file would stay."""
        while self.data_path is None:
            path = _fresh_data_path(self._target.path)
            try:
                os.link(temporary, path)
            except FileExistsError:  # somebody who heeds no lock was faster
                continue
            except OSError:  # a file system without hard links
                os.replace(temporary, path)
            else:
                os.unlink(temporary)
            self.data_path = path
        return self.data_path

    def discard(self) -> None:
        """Remove what was written, unless it was published."""
        self._release()
        if self._done or (self.path and not os.path.lexists(self.path)):  # renamed, and interrupted right then
            return
        self._done = True
        for flush in self._flushes:
            flush.abandon()
        for path in (*self._temporary, self.data_path):
            if path is not None:
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def __del__(self) -> None:
        self.discard()

    def write(self, pieces: Iterator[wire.Piece], model: Model) -> str:
        """A new file with these pieces in the target's folder, on its way to the disk when this returns.

        Until it is published or discarded it is locked.
        """
        folder, name = os.path.split(self._target.path)
        path = os.path.join(folder, _temporary_name(name, os.urandom(6).hex()))
        self._temporary.append(path)
        try:
            descriptor = self._create(path)
            flush = Flush(descriptor) if self._flush else None
            try:
                for piece in pieces:
                    if isinstance(piece, bytes):
                        write_bytes(descriptor, piece)
                    else:
                        copy_payload(descriptor, model.payloads[piece.number])
                os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR))
                os.fchmod(descriptor, self._target.mode)
            finally:
                os.close(descriptor)
                if flush is not None:
                    flush.finish()
                    self._flushes.append(flush)
        except OSError as error:
            raise _storage_error(self._target.path, error) from error
        return path

    def _create(self, path: str) -> int:
        """A new file, locked before others look for what nobody has a lock on; what such there is goes first."""
        with locked(os.path.dirname(path) or "."):
            _remove_abandoned(self._target.path)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            own_lock = lock(path)
            if own_lock is not None:
                self._locks.append(own_lock)
        return descriptor


def _remove_abandoned(path: str) -> None:
    """Remove what killed saves of this output left: files under its temporary names that nobody has locked."""
    folder, name = os.path.split(path)
    temporary = re.compile(re.escape(_temporary_name(name, "RANDOM")).replace("RANDOM", "[0-9a-f]{12}"))
    for each in filter(temporary.fullmatch, os.listdir(folder or ".")):
        abandoned = os.path.join(folder, each)
        with contextlib.suppress(OSError):  # BlockingIOError: it is being written
            descriptor = lock(abandoned, wait=False)
            if descriptor is not None:
                os.close(descriptor)
                os.unlink(abandoned)


def _temporary_name(name: str, random: str) -> str:
    """Under what name an output is written, in its folder; longer names would be too long for some file systems."""
    return f".{name[:200]}.{random}.tmp"


def stage(model: Model, target: Target, *, external: bool | None = None, flush: bool = True) -> Staged:
    """Write the model beside its target without touching the target.

    external says whether weights go to one data file beside the model: True, False, or None for "as the input had it,
    and whenever the model would not fit into a protobuf message". Without flush the files are for looking at only:
    nothing sees to it that they survive a power failure. Payloads of a threshold size and more are streamed;
    their sizes, and checksums where external_data gives one, are checked on the way. Raises StorageError, and what
    `Payload.check` raises.
    """
    used = _used_payloads(model)
    for index in used:
        model.payloads[index].check()
    total = model.proto.ByteSize() + sum(model.payloads[index].length for index in used)
    if external is None:
        external = total > PROTOBUF_LIMIT_BYTES or any(model.payloads[index].file.location for index in used)
    elif not external and total > PROTOBUF_LIMIT_BYTES:
        raise ResourceLimit(
            f"{target.path}: {total} bytes do not fit into one ONNX file",
            hint="keep the weights beside it: --external-data",
        )
    layout = _layout(model, used) if external else _Layout()
    staged = Staged(target, flush=flush)
    try:
        if layout.offsets:
            layout.data_name = staged.write_data(_data_pieces(layout, model), model)
        pieces = wire.expand(model.proto.SerializeToString(), lambda index: _place(model, layout, index))
        staged.path = staged.write(pieces, model)
    except BaseException:
        staged.discard()
        raise
    return staged


def _place(model: Model, layout: _Layout, index: int) -> wire.Inline | wire.External:
    payload = model.payloads[index]
    if index not in layout.offsets:
        return wire.Inline(index, payload.field, payload.length, payload.location_written)
    entries = [("location", layout.data_name), ("offset", str(layout.offsets[index])), ("length", str(payload.length))]
    return wire.External(tuple(entries))


def _data_pieces(layout: _Layout, model: Model) -> Iterator[wire.Piece]:
    at = 0
    for index, offset in layout.offsets.items():
        if offset < at:
            continue  # shared with a tensor before
        if offset > at:
            yield bytes(offset - at)
        length = model.payloads[index].length
        yield wire.PayloadReference(index, length)
        at = offset + length


def _fresh_data_path(model_path: str) -> str:
    """`model.onnx.data`, or with a number where that is taken: what exists may belong to the model being replaced."""
    candidate, generation = f"{model_path}.data", 0
    while os.path.lexists(candidate):
        generation += 1
        candidate = f"{model_path}.{generation}.data"
    return candidate


def _flush_folder(folder: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _storage_error(path: str, error: OSError) -> StorageError:
    hints = {
        errno.ENOSPC: "free some space or choose another disk with -o",
        errno.EFBIG: "the file size limit is too small",
    }
    return StorageError(f"{path}: writing failed: {error.strerror}", hint=hints.get(error.errno or 0, ""))


def save(
    model: Model, path: str, *, external: bool | None = None, force: bool = False, in_place: bool = False
) -> tuple[str, ...]:
    """Write the model to `path`, whole or not at all; the paths written. See `check_target` and `stage` for errors."""
    with stage(model, check_target(model, path, force=force, in_place=in_place), external=external) as staged:
        return staged.commit()
