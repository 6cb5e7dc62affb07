"""A file's way to the disk while it is written and after: fsync waits for the disk, and nobody else has to."""

from __future__ import annotations

import os
import threading

_PAUSE_S = 0.05
"""Files that are written faster than this are flushed once; larger ones again and again, so that the disk is busy."""

_sync_data = getattr(os, "fdatasync", os.fsync)


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
            while not self._written.wait(_PAUSE_S):
                _sync_data(self._descriptor)
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
