"""The status line is for people at a terminal; pipes get a rare plain line or nothing."""

import io
import time

from onnxctl.render.progress import StatusLine


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_the_news_and_a_clean_line_after() -> None:
    terminal = Terminal()
    with StatusLine(terminal, delay_s=0.0) as status:
        status.tell("folding \x1b[2Jconstants")
        deadline = time.monotonic() + 30
        while "constants" not in terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    drawn = terminal.getvalue()
    assert "folding \\x1b[2Jconstants" in drawn
    assert drawn.endswith("\r\x1b[K")
    assert "\n" not in drawn


def test_quick_work_shows_nothing() -> None:
    terminal = Terminal()
    with StatusLine(terminal, delay_s=60) as status:
        status.tell("folding")
    assert terminal.getvalue() == ""


def test_a_pipe_sees_nothing_of_quick_work() -> None:
    pipe = io.StringIO()
    with StatusLine(pipe) as status:
        status.tell("folding")
    assert pipe.getvalue() == ""


def test_a_pipe_sees_a_line_for_each_long_stage() -> None:
    pipe = io.StringIO()
    with StatusLine(pipe, interval_s=0.0) as status:
        status.tell("folding")
        status.tell("running\nboth")
    assert pipe.getvalue() == "onnxctl: folding (0 s)\nonnxctl: running\\nboth (0 s)\n"


def test_the_line_is_gone_after_an_error() -> None:
    terminal = Terminal()
    try:
        with StatusLine(terminal, delay_s=0.0):
            time.sleep(0.05)
            raise ValueError
    except ValueError:
        pass
    assert terminal.getvalue().endswith("\r\x1b[K") or terminal.getvalue() == ""
