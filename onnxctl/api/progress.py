"""How a verb tells what it is doing while it works."""

from __future__ import annotations

from collections.abc import Callable

News = Callable[[str], None]
"""Called with what is being done now, in a few words."""


def silent(news: str) -> None:
    """Nobody listens."""
