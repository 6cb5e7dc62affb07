"""Attributes: what they hold, and how they read as short text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnx import AttributeProto, TensorProto

from onnxctl.analysis.types import type_in_words
from onnxctl.model.attributes import VALUE_FIELDS
from onnxctl.model.names import as_text
from onnxctl.model.tensors import dtype_name

_OTHER_FIELDS = frozenset({"name", "type", "doc_string", "ref_attr_name"})


def value_fields(attribute: AttributeProto) -> list[str]:
    """The names of the fields that hold something; one, in an attribute as it should be, or none for an empty list."""
    return [each.name for each, _ in attribute.ListFields() if each.name not in _OTHER_FIELDS]


def type_of_value(attribute: AttributeProto) -> AttributeProto.AttributeType:
    """The type of the one value there is, UNDEFINED for none or several: files of IR version 1 need not say it."""
    held = value_fields(attribute)
    return next((kind for kind, field in VALUE_FIELDS.items() if held == [field]), AttributeProto.UNDEFINED)


# ---------------------------------------------------------------- in words

SHOWN_ITEMS = 8
SHOWN_CHARACTERS = 60


def attribute_in_words(attribute: AttributeProto) -> str:
    """The value in a few words: numbers and short lists as such, tensors as dtype and shape, graphs as a count."""
    if attribute.ref_attr_name:
        return f"@{as_text(attribute.ref_attr_name)}"
    for field, value in attribute.ListFields():
        if field.name in _OTHER_FIELDS:
            continue
        if field.name in _LISTS:
            shown = [_LISTS[field.name](item) for item in value[:SHOWN_ITEMS]]
            more = [f"... {len(value)} in all"] if len(value) > SHOWN_ITEMS else []
            return f"[{', '.join(shown + more)}]"
        return _SINGLES[field.name](value)
    return "[]"


def _float(value: float) -> str:
    return f"{value:.7g}"  # float32 has no more digits than that


def _bytes(value: bytes) -> str:
    text = value[: 4 * SHOWN_CHARACTERS + 4].decode("utf-8", "surrogateescape")
    return f'"{text}"' if len(text) <= SHOWN_CHARACTERS else f'"{text[:SHOWN_CHARACTERS]}"... {len(value)} bytes'


def _tensor(tensor: TensorProto) -> str:
    return f"{dtype_name(tensor.data_type)}[{', '.join(map(str, tensor.dims))}]"


_SINGLES: dict[str, Callable[[Any], str]] = {
    "f": _float,
    "i": str,
    "s": _bytes,
    "t": _tensor,
    "g": lambda graph: f"graph of {len(graph.node)} nodes",
    "sparse_tensor": lambda sparse: f"sparse {dtype_name(sparse.values.data_type)}[{', '.join(map(str, sparse.dims))}]",
    "tp": type_in_words,
}
_LISTS: dict[str, Callable[[Any], str]] = {
    "floats": _SINGLES["f"],
    "ints": _SINGLES["i"],
    "strings": _SINGLES["s"],
    "tensors": _SINGLES["t"],
    "graphs": _SINGLES["g"],
    "sparse_tensors": _SINGLES["sparse_tensor"],
    "type_protos": _SINGLES["tp"],
}
