"""Sizes by habit: what to choose for a dimension that nothing else settles, from its symbol's name and its place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxctl.runtime.sizes import Size

_HABITS: Mapping[str, tuple[int, ...]] = {
    "batch": (1, 2, 3, 1, 1, 1, 4, 1),
    "sequence": (16, 24, 7, 128, 1, 2, 8, 512),
    "past": (8, 12, 5, 16, 1, 2, 8, 0),
    "signal": (16000, 24000, 8000, 48000, 512, 1600, 1024, 480000),
    "image": (224, 256, 192, 64, 32, 640, 512, 28),
    "channels": (3, 3, 3, 1, 4, 16, 32, 64),
    "map": (32, 48, 64, 16, 8, 56, 28, 7),
    "count": (8, 12, 5, 1, 2, 16, 4, 64),
}
"""Sizes per role, in the order in which they are tried. Images stay multiples of 32 as long as that can help."""

ATTEMPT_COUNT = 8
"""How many sizes there are to try for each role."""


@dataclass(frozen=True, slots=True)
class Place:
    """One axis of one input."""

    input_name: str
    axis: int
    shape: Sequence[object]
    dtype: str


_BY_SYMBOL = (
    ("batch", re.compile(r"batch|^bsz?$", re.IGNORECASE)),
    ("past", re.compile(r"past|cache", re.IGNORECASE)),
    ("sequence", re.compile(r"seq|token|time|len|frames|steps|sample|^[tls]$", re.IGNORECASE)),
    ("image", re.compile(r"height|width|(^|_)[hw]$", re.IGNORECASE)),
    ("channels", re.compile(r"channel|^c$", re.IGNORECASE)),
)


def role_of(place: Place) -> str:
    """What the dimension most likely is: a key of the habits."""
    dim = place.shape[place.axis]
    symbol = dim.symbol if isinstance(dim, Size) else ""
    if symbol:
        role = role_of_symbol(symbol)
        if role == "sequence" and _is_signal(place):
            return "signal"
        if role:
            return role
    return _role_by_place(place)


def role_of_symbol(symbol: str) -> str:
    """The role that a symbol's name tells, "" where it tells none."""
    return next((role for role, pattern in _BY_SYMBOL if pattern.search(symbol)), "")


def _is_signal(place: Place) -> bool:
    """The last axis of float[batch, samples] is a waveform."""
    return place.dtype.startswith("float") and len(place.shape) == 2 and place.axis == 1


def _role_by_place(place: Place) -> str:
    rank, axis, shape = len(place.shape), place.axis, place.shape
    if axis == 0 and rank > 1:
        return "batch"
    if rank == 4:
        if shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4):
            return "image"
        if axis == 1:
            return "channels"
        return "image" if shape[1] in (1, 3, 4) or isinstance(shape[1], Size) else "map"
    if rank == 3:
        return "sequence" if axis == 1 else "count"
    if rank == 2 and place.dtype.startswith(("int", "uint")):
        return "sequence"
    return "map" if rank > 4 else "count"


def choose_sizes(places: Sequence[Place], symbols: Mapping[str, Size], attempt: int) -> int:
    """Settle every size that is still open, in place; how many there were.

    Symbols that are sums of others ("past_sequence_length + 1") get their sum.
    """
    chosen: set[int] = set()
    derived = [symbol for symbol in symbols if _terms(symbol, symbols) is not None]
    for place in places:
        dim = place.shape[place.axis]
        if isinstance(dim, Size) and dim.value is None and dim.symbol not in derived:
            dim.settle(_HABITS[role_of(place)][attempt])
            chosen.add(id(dim.root()))
    for symbol in derived:
        terms = _terms(symbol, symbols) or []
        if symbols[symbol].value is None:
            symbols[symbol].settle(sum(_term_size(term, symbols, attempt) for term in terms))
    for symbol, size in symbols.items():  # those of sequences and maps
        if size.value is None:
            size.settle(_HABITS[role_of_symbol(symbol) or "count"][attempt])
            chosen.add(id(size.root()))
    return len(chosen)


def _terms(symbol: str, symbols: Mapping[str, Size]) -> list[str] | None:
    """The symbols and numbers that the symbol is the sum of, by its text or by custom; None where it is no sum."""
    if "+" in symbol:
        terms = [term.strip() for term in symbol.split("+")]
        return terms if all(re.fullmatch(r"\w+", term) for term in terms) else None
    if "total" in symbol.lower() and role_of_symbol(symbol) == "sequence":
        others = [each for each in symbols if each != symbol and "+" not in each and "total" not in each.lower()]
        past = [each for each in others if role_of_symbol(each) == "past"]
        new = [each for each in others if role_of_symbol(each) == "sequence"]
        return [past[0], new[0]] if past and new else None
    return None


def _term_size(term: str, symbols: Mapping[str, Size], attempt: int) -> int:
    if term.isdigit():
        return int(term)
    known = symbols.get(term)
    if known is not None and known.value is not None:
        return known.value
    return _HABITS[role_of_symbol(term) or "count"][attempt]
