"""Strings from a model may hold anything; here they become harmless: what a terminal would obey is shown as its escape.

Shown as escapes are all control characters (C0, DEL, C1), line and paragraph separators, bidirectional and other
format characters, characters without width, unassigned ones, and lone surrogates; those that stand for the
undecodable bytes of a file name (PEP 383) are shown as these bytes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

LONGEST_TEXT = 400
"""Characters of one escaped string that are shown; the middle of longer ones is left out."""

# Printable by Unicode's category, yet drawn as nothing: fillers, joiners, variation selectors.
_INVISIBLE = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text in one harmless line of at most `longest` characters."""
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]}…{text[-half:]}"
    if text.isprintable() and (text.isascii() or not re.search(_INVISIBLE, text)):
        return text
    return "".join(map(_shown, text))


def escape_lines(text: str) -> str:
    """A text of many lines: escaped line by line, of any length."""
    return "\n".join(escape(line.expandtabs(4), len(line) * 4 + 1) for line in text.split("\n"))


def cut_middle(text: str, width: int, ellipsis: str = "…") -> str:
    """The text in at most `width` cells, its middle left out where it is longer: names differ at both ends."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    room = max(width - len(ellipsis), 0)
    head = set_cell_size(text, (room + 1) // 2).rstrip()
    tail = set_cell_size(text[::-1], room // 2)[::-1].lstrip()
    return f"{head}{ellipsis}{tail}"[: max(width, 1)]


def cut_apart(texts: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """The texts in at most `width` cells; those that would look alike without their middle lose a common start too."""
    cuts = [cut_middle(text, width, ellipsis) for text in texts]
    alike: dict[str, set[str]] = {}
    for text, cut in zip(texts, cuts, strict=True):
        if text != cut:
            alike.setdefault(cut, set()).add(text)
    starts = {cut: _common_start(group) for cut, group in alike.items() if len(group) > 1}
    return [
        cut_middle(ellipsis + text[starts[cut] :], width, ellipsis) if starts.get(cut) else cut
        for text, cut in zip(texts, cuts, strict=True)
    ]


def _common_start(names: Collection[str]) -> int:
    """How many characters all names begin with, up to the last folder that they share."""
    first, last = min(names), max(names)  # whatever these two share, all between them do
    shared = next(
        (index for index, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )
    start = first[:shared]
    return next((start.rindex(mark) + 1 for mark in "/." if mark in start), len(start))


def _shown(character: str) -> str:
    code = ord(character)
    if character.isprintable() and not re.match(_INVISIBLE, character):
        return character
    if character in _SHORT:
        return _SHORT[character]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
