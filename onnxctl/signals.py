"""Ctrl-C and SIGTERM: they end a command as exceptions do, at a moment when an exception can.

Where it can't, the signal is sent again a moment later:

- while a native module loads: protobuf's crashes the process, others drop the interrupt;
- while text is compiled, of a module or a dataclass: Python's compiler drops it as well;
- in the text of an `exec`, which every dataclass is made by: there an interrupt leaves a mark, upon which Python kills
  itself at its end, whatever the exit code;
- while `tempfile` tries the folders that there are: the file that it tries with would stay;
- while a data file gets its name: it would stay as well;
- in a destructor or the callback of a weak reference: Python drops what is raised there;
- before and after the command's own work, where nobody catches it;
- while the command cleans up after the first one.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from onnxctl.errors import EXIT_TERMINATED

PAUSE_S = 0.01
"""From a signal that came at a bad moment until it is sent again."""

CLEANING_S = 1.0
"""How long a command has to clean up before it is interrupted once more."""

_ENDINGS = (signal.SIGINT, signal.SIGTERM)
_DEAF = (
    "ExtensionFileLoader.",
    "SourceLoader.source_to_code",
    "_create_fn",
    "_FuncBuilder.",
    "namedtuple",
    "ForwardRef.",
    "_get_default_tempdir",
    "Staged._name_data",
)
"""How the qualified names of functions begin that load native modules, compile text for modules and dataclasses, try
folders for temporary files, or name a data file."""

_TEXT = "<string>"
"""The file name of what `exec` and `eval` run."""


def interruptible(work: Callable[[], int]) -> int:
    """What the work returns. Signals end it as KeyboardInterrupt or SystemExit, and nothing outside of it."""
    return work()


class Interrupts:
    """Takes over this process's signals when it is made, which only its main thread may do."""

    def __init__(self) -> None:
        self._cleaned_up_s = 0.0
        for number in _ENDINGS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as shells start jobs in the background
                signal.signal(number, self._handle)
        sys.unraisablehook = self._handle_lost

    def ignore(self) -> None:
        """Leave the exit code as it is: nothing is left to end."""
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if time.monotonic() < self._cleaned_up_s or not _can_end(frame):
            _send_again(number)
            return
        self._cleaned_up_s = time.monotonic() + CLEANING_S
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(EXIT_TERMINATED)

    def _handle_lost(self, lost: sys.UnraisableHookArgs) -> None:
        number = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}.get(lost.exc_type)
        if number is None:
            sys.__unraisablehook__(lost)
        else:
            self._cleaned_up_s = 0.0
            _send_again(number)


def _can_end(frame: FrameType | None) -> bool:
    """Whether an exception raised in this frame reaches who waits for it, and does no harm on its way."""
    while frame is not None:
        code = frame.f_code
        if code is interruptible.__code__:
            return True
        if code is Interrupts._handle_lost.__code__:  # what is raised in a hook is lost for good
            return False
        if code.co_filename == _TEXT or code.co_qualname.startswith(_DEAF):
            return False
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    again = threading.Timer(PAUSE_S, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()
