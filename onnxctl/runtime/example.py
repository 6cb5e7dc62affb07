"""A folder with a model and its test data, as ONNX's own tests have it: it appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from onnxctl.errors import OutputExists, StorageError, UsageError

MODEL, OTHER_MODEL, DATA_SET = "model.onnx", "other.onnx", "test_data_set_0"


@dataclass(slots=True)
class StagedExample:
    """Where the files are written; `commit` gives the folder its name."""

    target: str
    path: str
    written: tuple[str, ...] = ()

    def commit(self) -> None:
        """Put the folder in its place, instead of the one that was there; `written` are its files, by their names."""
        files = sorted(
            os.path.relpath(os.path.join(folder, name), self.path)
            for folder, _, names in os.walk(self.path)
            for name in names
        )
        try:
            if os.path.isdir(self.target):
                shutil.rmtree(self.target)  # an earlier example, as `stage_example` has seen
            os.rename(self.path, self.target)
        except OSError as error:
            raise StorageError(f"{self.target}: {error.strerror}") from error
        self.written = tuple(os.path.join(self.target, name) for name in files)


@contextlib.contextmanager
def stage_example(target: str, *, force: bool) -> Iterator[StagedExample]:
    """A folder beside the target; whatever was not committed is gone afterwards.

    Raises OutputExists where the target is there and force is not given; UsageError where it is no folder, or one that
    holds anything but an example.
    """
    target = os.path.abspath(target)
    if os.path.lexists(target):
        if os.path.islink(target) or not os.path.isdir(target) or not _is_example(target):
            raise UsageError(f"{target}: what is there is not replaced", hint="name a new folder")
        if not force:
            raise OutputExists(f"{target} exists already", hint="replace it with --force, or choose another name")
    try:
        folder = tempfile.mkdtemp(prefix=f".{os.path.basename(target)[:32]}.", dir=os.path.dirname(target))
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror}") from error
    try:
        path = os.path.join(folder, "example")
        os.mkdir(path)
        yield StagedExample(target, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_example(folder: str) -> bool:
    allowed = {DATA_SET, *(f"{name}{suffix}" for name in (MODEL, OTHER_MODEL) for suffix in ("", ".data"))}
    return set(os.listdir(folder)) <= allowed
