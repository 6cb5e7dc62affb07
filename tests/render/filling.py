"""Reports with something in every field, built from their types: what holds for them holds for each field there is."""

from __future__ import annotations

import types
import typing
from dataclasses import is_dataclass
from typing import Any, Literal

from onnxctl.reports import KINDS, Report, field_types

REPORT_TYPES = tuple(KINDS)


def filled(kind: type, text: str) -> Report:
    """A report of this type whose strings are all `text` and whose tuples all have two entries."""
    return typing.cast(Report, _value(kind, text))


def _value(kind: Any, text: str) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        hints = field_types(kind)
        return kind(**{name: _value(hint, text) for name, hint in hints.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        parts = arguments[:1] * 2 if arguments[-1] is Ellipsis else arguments
        return tuple(_value(part, text) for part in parts)
    if origin in (types.UnionType, typing.Union):
        return _value(next(each for each in arguments if each is not type(None)), text)
    if origin is Literal:
        return arguments[-1]
    return {str: text, int: 12_345, float: 1.5, bool: False}[kind]
