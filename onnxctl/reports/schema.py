"""The JSON Schema (draft 2020-12) of everything that `--format json` prints, made from the reports' own types.

It is published as docs/schema.json, which a test keeps equal; `onnxctl schema` prints it. Within one number of `SCHEMA`
reports only gain fields, so an object may have more than is described here.
"""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import is_dataclass
from typing import Any, Literal

from onnxctl.reports import JSON, SCHEMA
from onnxctl.reports.encoding import FLOAT_WORDS, field_types
from onnxctl.reports.kinds import KINDS

_DESCRIPTION = """What `onnxctl COMMAND --format json` prints: a report in its envelope, or an error (kind "error").
Integers are exact, up to 64 bits and more. NaN and infinities are strings. A byte of a name or path that is not UTF-8
is a lone low surrogate, U+DC80 to U+DCFF for 0x80 to 0xFF (Python's surrogateescape)."""


def json_schema() -> JSON:
    """The schema as JSON values: one envelope for each kind of report, one definition for each type in them."""
    definitions: dict[str, JSON] = {"Number": _NUMBER}
    envelopes = [_envelope(name, _describe(kind, definitions)) for kind, name in KINDS.items()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:onnxctl:reports:{SCHEMA}",
        "title": "onnxctl reports",
        "description": " ".join(_DESCRIPTION.split()),
        "oneOf": envelopes,
        "$defs": dict(sorted(definitions.items())),
    }


_NUMBER: JSON = {"description": "A float.", "anyOf": [{"type": "number"}, {"enum": sorted(FLOAT_WORDS.values())}]}
_PLAIN: typing.Mapping[type, str] = {str: "string", int: "integer", bool: "boolean", type(None): "null"}


def _envelope(kind: str, data: JSON) -> JSON:
    properties = {"schema": {"const": SCHEMA}, "kind": {"const": kind}, "data": data}
    return {"title": kind, "type": "object", "properties": properties, "required": list(properties)}


def _describe(kind: Any, definitions: dict[str, JSON]) -> JSON:
    """The schema of a type; dataclasses become definitions and are referred to by name."""
    if kind is float:
        return {"$ref": "#/$defs/Number"}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if is_dataclass(kind) and isinstance(kind, type):
        return _refer_to(kind, definitions)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (types.UnionType, typing.Union):
        return _union([_describe(each, definitions) for each in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _describe(arguments[0], definitions)}
    if origin is tuple:
        items = [_describe(each, definitions) for each in arguments]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    raise TypeError(f"no JSON Schema for {kind}")


def _refer_to(kind: type, definitions: dict[str, JSON]) -> JSON:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # a type that holds itself refers to this name
        properties = {name: _describe(hint, definitions) for name, hint in field_types(kind).items()}
        definitions[kind.__name__] = {
            "description": " ".join((inspect.getdoc(kind) or "").split()),
            "type": "object",
            "properties": properties,
            "required": list(properties),
        }
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _union(alternatives: list[JSON]) -> JSON:
    """Any of these; plain types are listed in one."""
    if all(list(each) == ["type"] for each in alternatives):
        return {"type": [each["type"] for each in alternatives]}
    return {"anyOf": alternatives}
