"""Inputs and outputs written as files: an archive of arrays (.npz), or a folder that is an ONNX test data set."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxctl.errors import OutputExists, StorageError, UnsupportedModel, UsageError

ARCHIVE = ".npz"


@dataclass(frozen=True, slots=True)
class StagedOutputs:
    """Where a child writes; `commit` gives it the name it shall have."""

    target: str
    path: str

    def commit(self) -> tuple[str, ...]:
        """Move what was written into place, replacing what was there; the files, by the name they have now."""
        try:
            _flush(self.path)
            if os.path.isdir(self.target) and not os.path.islink(self.target):
                shutil.rmtree(self.target)  # a test data set, as `stage_outputs` has seen
            os.replace(self.path, self.target)
        except OSError as error:
            raise _storage_error(self.target, error) from error
        if not os.path.isdir(self.target):
            return (self.target,)
        return tuple(os.path.join(self.target, name) for name in sorted(os.listdir(self.target)))


@contextlib.contextmanager
def stage_outputs(target: str, *, force: bool) -> Iterator[StagedOutputs]:
    """A temporary place beside the target; whatever was not committed is gone afterwards.

    Raises what `check_target` raises, and StorageError.
    """
    target = os.path.abspath(target)
    check_target(target, force=force)
    try:
        folder = tempfile.mkdtemp(prefix=f".{os.path.basename(target)[:32]}.", dir=os.path.dirname(target))
    except OSError as error:
        raise _storage_error(target, error) from error
    try:
        yield StagedOutputs(target, os.path.join(folder, "staged" + (ARCHIVE if target.endswith(ARCHIVE) else "")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_target(target: str, *, force: bool) -> None:
    """Raises OutputExists where the target is there and force is not given.

    Raises UsageError where it is a folder that holds anything but a test data set.
    """
    if not os.path.lexists(target):
        return
    if os.path.isdir(target) and not _is_data_set(target):
        raise UsageError(f"{target}: a folder with other files is not replaced", hint="name a new folder")
    if not force:
        raise OutputExists(f"{target} exists already", hint="replace it with --force, or choose another name")


def _is_data_set(folder: str) -> bool:
    return all(name.startswith(("input_", "output_")) and name.endswith(".pb") for name in os.listdir(folder))


def write_outputs(path: str, inputs: Mapping[str, Any], names: Sequence[str], outputs: Sequence[Any]) -> None:
    """Write outputs to an archive, or inputs and outputs as a test data set, whichever the path's ending asks for.

    Raises UnsupportedModel for values that the form can't hold, StorageError where they can't be written.
    """
    import numpy as np

    from onnxctl.runtime.values import from_onnxruntime

    values = [from_onnxruntime(value) for value in outputs]
    try:
        if path.endswith(ARCHIVE):
            for name, value in zip(names, values, strict=True):
                if not isinstance(value, np.ndarray):
                    raise UnsupportedModel(
                        f"output {name!r} is no tensor: an archive of arrays can't hold it",
                        hint="save to a folder: --save-outputs FOLDER",
                    )
            arrays = [value.astype(str) if value.dtype == object else value for value in values]
            with open(path, "wb") as file:
                np.savez(file, **dict(zip(names, arrays, strict=True)))
            return
        os.mkdir(path)
        given = [from_onnxruntime(value) for value in inputs.values()]
        for kind, labels, items in (("input", list(inputs), given), ("output", list(names), values)):
            for number, (name, value) in enumerate(zip(labels, items, strict=True)):
                with open(os.path.join(path, f"{kind}_{number}.pb"), "wb") as file:
                    file.write(_serialized(name, value))
    except OSError as error:
        raise _storage_error(path, error) from error


def _serialized(name: str, value: Any) -> bytes:
    import numpy as np
    from onnx import numpy_helper

    try:
        if isinstance(value, np.ndarray | np.generic):
            message: Any = numpy_helper.from_array(np.asarray(value), name)
        elif isinstance(value, list):
            message = numpy_helper.from_list(value, name)
        elif value is None:
            message = numpy_helper.from_optional(None, name)
        elif isinstance(value, dict):
            message = numpy_helper.from_dict(value, name)
        else:
            raise TypeError(type(value).__name__)
        return bytes(message.SerializeToString())
    except (TypeError, ValueError, AttributeError) as error:
        raise UnsupportedModel(f"the value of {name!r} can't be written as an ONNX file: {error}") from error


def _flush(path: str) -> None:
    names = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else [path]
    for name in names:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _storage_error(path: str, error: OSError) -> StorageError:
    hint = "free some space" if error.errno == errno.ENOSPC else ""
    return StorageError(f"{path}: {error.strerror or error}", hint=hint)
