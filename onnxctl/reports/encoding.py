"""Reports as JSON values, and back."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar

from onnxctl import reports
from onnxctl.reports import JSON

T = TypeVar("T")
FLOAT_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""What JSON has no numbers for, by Python's words."""

_PLAIN = frozenset({str, int, bool, type(None)})
"""What is its own JSON form: most of what there is, and not worth a call."""


def encode(value: object) -> JSON:
    """The value as JSON values: dataclasses become objects, tuples lists; NaN and infinities become strings.

    What the value holds several times is one object in the result too.
    """
    return _encode(value, {})


def _encode(value: object, known: dict[int, JSON]) -> JSON:
    """known has the dataclasses encoded so far, by identity: most layers of a model cost the same."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else FLOAT_WORDS[str(value)]
    if isinstance(value, (tuple, list)):
        return [item if type(item) in _PLAIN else _encode(item, known) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        found = known.get(id(value))
        if found is None:
            names: tuple[str, ...] = type(value).__slots__  # type: ignore[attr-defined]  # its fields: reports have slots
            found = known[id(value)] = {
                name: item if type(item := getattr(value, name)) in _PLAIN else _encode(item, known) for name in names
            }
        return found
    if isinstance(value, Mapping):
        return {str(key): _encode(item, known) for key, item in value.items()}
    raise TypeError(f"no JSON form for {type(value).__name__}")


def field_types(kind: type) -> dict[str, Any]:
    """The types of a report's fields, in order, whichever module each is from."""
    hints = typing.get_type_hints(kind, localns=_Names())
    return {each.name: hints[each.name] for each in fields(kind)}


class _Names(dict[str, Any]):
    """The names of all reports, each loaded when it is asked for."""

    def __missing__(self, name: str) -> Any:
        try:
            return getattr(reports, name)
        except AttributeError:
            raise KeyError(name) from None


def decode(kind: type[T], value: JSON) -> T:
    """The inverse of `encode`: a `kind` built from JSON values.

    Raises TypeError or KeyError where the value doesn't have the shape of the type.
    """
    return typing.cast(T, _decode(kind, value))


def _decode(kind: Any, value: JSON) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        hints = field_types(kind)
        return kind(**{name: _decode(hints[name], item) for name, item in value.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _decode_union(arguments, value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_decode(arguments[0], item) for item in value)
        return tuple(_decode(each, item) for each, item in zip(arguments, value, strict=True))
    if origin is Literal:
        if value not in arguments:
            raise TypeError(f"{value!r} is none of {arguments}")
        return value
    if kind is float and (isinstance(value, int) or value in ("NaN", "Infinity", "-Infinity")):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _decode_union(kinds: tuple[Any, ...], value: JSON) -> Any:
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        try:
            return _decode(kind, value)
        except (TypeError, KeyError, AttributeError, ValueError):
            continue
    raise TypeError(f"{value!r} is none of {kinds}")
