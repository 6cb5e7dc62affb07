"""Where reports leave the process: written to standard output in the format asked for, as the terminal can show it."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from onnxctl.errors import StorageError

if TYPE_CHECKING:
    from onnxctl.commands.options import FormatName
    from onnxctl.render.screen import Screen
    from onnxctl.reports import Report


def show_report(report: Report, format: FormatName) -> None:
    """Print the report. Raises StorageError where standard output can't be written; a reader that left is no error."""
    from onnxctl.render.formats import FORMATS

    write_output(FORMATS[format](report, current_screen()))


def current_screen() -> Screen:
    """What standard output can show: its width and colours where it is a terminal, endless plain lines elsewhere."""
    from onnxctl.render.screen import Screen

    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    unicode = encoding.startswith("utf")
    if sys.stdout is None or not sys.stdout.isatty():
        return Screen(width=None, colour=False, unicode=unicode)
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Screen(width=max(shutil.get_terminal_size().columns, 40), colour=colour, unicode=unicode)


def write_output(text: str) -> None:
    """Write text to standard output now. Raises StorageError; where nobody reads any more, what is left is dropped."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_output()
    except OSError as error:
        _abandon_output()
        raise StorageError(f"standard output: {error.strerror}") from error


def _abandon_output() -> None:
    """Point standard output at nothing, so that the interpreter's last flush has nothing to complain about."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
