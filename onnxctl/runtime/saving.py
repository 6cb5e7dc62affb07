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

_OTHER_FILES = frozenset((".npy", ".pb", ".onnx", ".bin", ".raw", ".json", ".csv", ".txt"))
"""Endings of files that outputs are not written to; whoever names one does not mean a folder."""


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


def check_form(target: str) -> None:
    """Raises UsageError for a name that is neither of an archive nor of a folder."""
    ending = os.path.splitext(target)[1]
    if ending.lower() in _OTHER_FILES:
        raise UsageError(
            f"--save-outputs {target}: outputs are not written as {ending}", hint="name FILE.npz or a folder"
        )


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
    try:
        message = _message(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise UnsupportedModel(f"the value of {name!r} can't be written as an ONNX file: {error}") from error
    message.name = name
    return bytes(message.SerializeToString())


def _message(value: Any) -> Any:
    """The value as ONNX's own message of its kind.

    Maps are written here: numpy_helper takes no strings as their keys, and makes every number one of 64 bits.
    """
    import numpy as np
    from onnx import MapProto, SequenceProto, TensorProto, numpy_helper

    if isinstance(value, np.ndarray | np.generic):
        return numpy_helper.from_array(np.asarray(value))
    if value is None:
        return numpy_helper.from_optional(None)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return SequenceProto(elem_type=SequenceProto.MAP, map_values=[_message(each) for each in value])
    if isinstance(value, list):
        return numpy_helper.from_list(value)
    if not isinstance(value, dict):
        raise TypeError(type(value).__name__)
    values = numpy_helper.from_list(_narrowed(list(value.values())))
    if all(isinstance(key, str) for key in value):
        keys = [key.encode() for key in value]
        return MapProto(key_type=TensorProto.STRING, string_keys=keys, values=values)
    return MapProto(key_type=TensorProto.INT64, keys=list(value), values=values)


def _narrowed(values: list[Any]) -> list[Any]:
    """Floats in 32 bits where these hold all of them: onnxruntime hands Python's over, whatever the map is of."""
    import numpy as np

    if not all(isinstance(each, float) for each in values):
        return values
    narrow = np.array(values, dtype=np.float32)
    return list(narrow) if np.array_equal(narrow, np.array(values), equal_nan=True) else values


def _flush(path: str) -> None:
    names = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else [path]
    for name in names:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _storage_error(path: str, error: OSError) -> StorageError:
    hint = {errno.ENOSPC: "free some space", errno.ENOENT: "make its folder first"}.get(error.errno or 0, "")
    return StorageError(f"{path}: {error.strerror or error}", hint=hint)
