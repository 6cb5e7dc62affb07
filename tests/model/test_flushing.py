"""A file's way to the disk: errors are not lost, and a file that is given up is let go."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from onnxctl.model import flushing
from onnxctl.model.flushing import Flush


@pytest.fixture
def descriptor(tmp_path: Path) -> int:
    return os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)


def test_what_is_written_fast_is_flushed_once(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(flushing, "_send_to_disk", lambda descriptor, start: flushed.append("part"))
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append("file"))
    flush = Flush(descriptor)
    flush.finish()
    flush.wait()
    assert flushed == ["file"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such advice")
def test_a_file_that_grows_is_sent_part_after_part(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[tuple[int, int]] = []
    monkeypatch.setattr(flushing, "_PAUSE_S", 0.001)
    monkeypatch.setattr(os, "posix_fadvise", lambda descriptor, start, length, advice: parts.append((start, length)))
    flush = Flush(descriptor)
    for size in (7, 19):
        os.write(descriptor, bytes(size))
        seen = len(parts)
        while len(parts) < seen + 2:  # the second began after the writing
            time.sleep(0.001)
    flush.finish()
    flush.wait()
    starts = [start for start, _ in parts]
    assert starts == [sum(length for _, length in parts[:place]) for place in range(len(parts))]
    assert sum(length for _, length in parts) == 26


def test_bytes_that_are_sent_are_still_there(descriptor: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(flushing, "_PAUSE_S", 0.001)
    flush, content = Flush(descriptor), os.urandom(1 << 22)
    for start in range(0, len(content), 1 << 18):
        os.write(descriptor, content[start : start + (1 << 18)])
        time.sleep(0.002)
    flush.finish()
    flush.wait()
    assert (tmp_path / "file").read_bytes() == content


def test_a_file_system_that_takes_no_advice_is_no_error(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    os.write(descriptor, b"content")
    assert flushing._send_to_disk(descriptor, 0) == 7


def test_an_error_is_told_at_the_end(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    flush = Flush(descriptor)
    flush.finish()
    with pytest.raises(OSError, match="No space left"):
        flush.wait()


def test_a_file_that_is_given_up_is_not_flushed(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    flush = Flush(descriptor)
    flush.abandon()
    flush.wait()
    assert flushed == []
