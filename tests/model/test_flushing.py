"""A file's way to the disk: errors are not lost, and a file that is given up is let go."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxctl.model import flushing
from onnxctl.model.flushing import Flush


@pytest.fixture
def descriptor(tmp_path: Path) -> int:
    return os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)


def _failing(times: int) -> Callable[[int], None]:
    """A flush that fails once: the kernel tells each error once, to whoever flushes next."""
    left = [times]

    def fail(descriptor: int) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(28, "No space left on device")

    return fail


def test_what_is_written_fast_is_flushed_once(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(flushing, "_sync_data", lambda descriptor: flushed.append("data"))
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append("file"))
    flush = Flush(descriptor)
    flush.finish()
    flush.wait()
    assert flushed == ["file"]


def test_an_error_on_the_way_is_told_at_the_end(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_PAUSE_S", 0.001)
    monkeypatch.setattr(flushing, "_sync_data", _failing(1))
    flush = Flush(descriptor)
    flush._thread.join()
    flush.finish()
    with pytest.raises(OSError, match="No space left"):
        flush.wait()


def test_a_file_that_is_given_up_is_not_flushed(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("flushed"))
    flush = Flush(descriptor)
    flush.abandon()
    flush.wait()
    assert threading.active_count() == 1 or flush._thread not in threading.enumerate()
