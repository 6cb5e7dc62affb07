"""Locks on files and folders, by which processes that save at once keep out of each other's way.

They are advisory, and end with their process, however it ends. Where there are none (Windows, some file systems) nobody
is kept away.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


def lock(path: str, *, wait: bool = True) -> int | None:
    """A descriptor that holds the only lock on a file or folder; None where there is none to be had.

    Raises BlockingIOError without `wait` where somebody else has it.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # BlockingIOError, or a file system without locks
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def is_locked(path: str) -> bool:
    """Whether somebody else has the lock."""
    try:
        descriptor = lock(path, wait=False)
    except BlockingIOError:
        return True
    if descriptor is not None:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """One after the other: nobody else who heeds the lock makes, renames or removes what is in the folder meanwhile."""
    descriptor = lock(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
