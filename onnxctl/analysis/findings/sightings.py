"""Places where one thing was seen: how many, and the first of them."""

from __future__ import annotations

from collections.abc import Sequence

from onnxctl.model.graph import Graph
from onnxctl.model.names import as_text


def place_of(scope: Graph, name: str | bytes) -> str:
    """How reports say where a value or node stands: its name with the scope before it."""
    text = as_text(name)
    return f"{scope.path}/{text}" if scope.path else text


def counted(places: Sequence[object], one: str, many: str = "") -> str:
    """The number of places with their noun: "1 node", "3 nodes"."""
    count = len(places)
    return f"{count} {one if count == 1 else many or one + 's'}"
