"""A file's way to the disk while it is written and after: fsync waits for the disk, and nobody else has to."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

_PAUSE_S = 0.05
"""Files that are written faster than this are flushed once; of larger ones the disk gets part after part meanwhile."""


class Flush:
    """A thread that flushes the file behind a descriptor from now on. `finish` says that all is written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._written = threading.Event()
        self._is_abandoned = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            sent = 0
            while not self._written.wait(_PAUSE_S):
                sent = _send_to_disk(self._descriptor, sent)
            if not self._is_abandoned:
                os.fsync(self._descriptor)
        except OSError as error:
            self._error = error
        finally:
            os.close(self._descriptor)

    def finish(self) -> None:
        """Nothing more is written."""
        self._written.set()

    def abandon(self) -> None:
        """The file goes: nothing more is flushed, but for what the disk is busy with."""
        self._is_abandoned = True
        self._written.set()
        self._thread.join(_PAUSE_S)

    def wait(self) -> None:
        """Return when the file is on the disk. Raises OSError where some of it did not get there."""
        self._thread.join()
        if self._error is not None:
            raise self._error


def _send_to_disk(descriptor: int, start: int) -> int:
    """Let the disk begin with what the file has from `start` on, and wait for none of it; the file's size now.

    That is what Linux makes of the advice that nobody needs these bytes. The memory of those that the disk has taken
    holds the next ones, which for a large file is half the work.
    """
    size = os.fstat(descriptor).st_size
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, start, size - start, os.POSIX_FADV_DONTNEED)
    return size
