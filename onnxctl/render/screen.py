"""What text is drawn for: how wide it may be, whether in colours, and with which characters."""

from __future__ import annotations

from typing import NamedTuple


class Screen(NamedTuple):
    """width is in terminal cells; None means that lines are as long as they are (a pipe or a file)."""

    width: int | None = None
    colour: bool = False
    unicode: bool = True
