"""Attributes of nodes as Python values, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from onnx import AttributeProto, NodeProto, TensorProto

VALUE_FIELDS: dict[AttributeProto.AttributeType, str] = {
    AttributeProto.FLOAT: "f",
    AttributeProto.INT: "i",
    AttributeProto.STRING: "s",
    AttributeProto.TENSOR: "t",
    AttributeProto.GRAPH: "g",
    AttributeProto.SPARSE_TENSOR: "sparse_tensor",
    AttributeProto.TYPE_PROTO: "tp",
    AttributeProto.FLOATS: "floats",
    AttributeProto.INTS: "ints",
    AttributeProto.STRINGS: "strings",
    AttributeProto.TENSORS: "tensors",
    AttributeProto.GRAPHS: "graphs",
    AttributeProto.SPARSE_TENSORS: "sparse_tensors",
    AttributeProto.TYPE_PROTOS: "type_protos",
}
"""The field that holds the value of an attribute, by AttributeProto.AttributeType."""

SINGLE_FIELDS = frozenset({"f", "i", "s", "t", "g", "sparse_tensor", "tp"})
"""Those that hold one value; the others hold lists."""

_KINDS = {field: kind for kind, field in VALUE_FIELDS.items()}

AttributeValue = int | float | str | bytes | TensorProto | Sequence[int] | Sequence[float] | Sequence[bytes]
"""What an attribute can be made of here."""


def attribute_value(attribute: AttributeProto) -> Any:
    """The value: ints and floats as such, strings as bytes, lists as lists; None for one that has no type.

    Raises ValueError for a reference to an attribute of the function around it, which has no value here.
    """
    if attribute.ref_attr_name:
        raise ValueError(f"attribute {attribute.name!r} refers to {attribute.ref_attr_name!r} of its function")
    field = VALUE_FIELDS.get(attribute.type)
    if field is None:
        return None
    value = getattr(attribute, field)
    return value if field in SINGLE_FIELDS else list(value)


def new_attribute(name: str, value: AttributeValue) -> AttributeProto:
    """An attribute of the type that fits the value; lists have elements of one type, those without any are of ints."""
    field, stored = _field_and_value(value)
    attribute = AttributeProto(name=name, type=_KINDS[field])
    if field == "t":
        attribute.t.CopyFrom(stored)
    elif field in SINGLE_FIELDS:
        setattr(attribute, field, stored)
    else:
        getattr(attribute, field).extend(stored)
    return attribute


def _field_and_value(value: AttributeValue) -> tuple[str, Any]:
    if isinstance(value, float):
        return "f", value
    if isinstance(value, str | bytes):
        return "s", value.encode() if isinstance(value, str) else value
    if isinstance(value, TensorProto):
        return "t", value
    if isinstance(value, Sequence):
        first = value[0] if value else 0
        return "floats" if isinstance(first, float) else "strings" if isinstance(first, bytes) else "ints", value
    return "i", index(value)


def set_attribute(node: NodeProto, name: str, value: AttributeValue) -> None:
    """Give the node's attribute this value, whether the node has it or not."""
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, new_attribute(name, value)])
