"""Strings from a model may hold anything; here they become harmless: what a terminal would obey is shown as its escape.

Shown as escapes are all control characters (C0, DEL, C1), line and paragraph separators, bidirectional and other
format characters, characters without width, unassigned ones, and lone surrogates; those that stand for the
undecodable bytes of a file name (PEP 383) are shown as these bytes.
"""

from __future__ import annotations

import re

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
