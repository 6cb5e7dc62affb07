"""What is being done and for how long, on standard error: a status line in a terminal, rare plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Self, TextIO

from onnxctl.render.escape import cut_middle, escape

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_SPINNER = "|/-\\"
_CLEAR_LINE = "\r\x1b[K"


class StatusLine:
    """A context manager that shows the work's latest news while it lasts.

    In a terminal a line appears after `delay_s` and is gone at the end. Elsewhere a stage is one plain line, and only
    where `interval_s` have passed since the last one.
    """

    def __init__(self, stream: TextIO | None = None, *, delay_s: float = 1.0, interval_s: float = 10.0) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._delay_s = delay_s
        self._interval_s = interval_s
        self._news = "working"
        self._began = self._told = time.monotonic()
        self._over = threading.Event()
        self._drawer: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._stream is not None and self._stream.isatty() and os.environ.get("TERM") != "dumb":
            self._drawer = threading.Thread(target=self._draw, daemon=True)
            self._drawer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._drawer is not None:
            self._drawer.join()

    def tell(self, news: str) -> None:
        """Say what is being done now."""
        self._news = news
        now = time.monotonic()
        if self._drawer is None and self._stream is not None and now - self._told >= self._interval_s:
            self._told = now
            self._stream.write(f"onnxctl: {escape(news)} ({now - self._began:.0f} s)\n")
            self._stream.flush()

    def _draw(self) -> None:
        if self._over.wait(self._delay_s):
            return
        spinner = _SPINNER if (self._stream.encoding or "").lower().startswith("utf") else _ASCII_SPINNER
        turn = 0
        while True:
            width = shutil.get_terminal_size().columns - 12
            elapsed = f"{time.monotonic() - self._began:.0f} s"
            news = cut_middle(escape(self._news), max(width, 10), "...")
            self._stream.write(f"{_CLEAR_LINE}{spinner[turn % len(spinner)]} {news}  {elapsed}")
            self._stream.flush()
            turn += 1
            if self._over.wait(0.1):
                break
        self._stream.write(_CLEAR_LINE)
        self._stream.flush()
