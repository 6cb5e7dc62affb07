"""What single nodes say: their attributes, domains, whether they are standard, and the tensor of a Constant."""

from __future__ import annotations

from typing import Any

from onnx import NodeProto, TensorProto

from onnxctl.model.attributes import attribute_value
from onnxctl.model.loading import Model
from onnxctl.model.names import as_text
from onnxctl.model.tensors import Tensor

DEFAULT_DOMAINS = ("", "ai.onnx")
"""Both names mean the standard operators."""


def plain_domain(domain: str) -> str:
    """The domain by the one name that most files use for it: "" for ai.onnx."""
    return "" if domain in DEFAULT_DOMAINS else domain


def shown_domain(domain: str | bytes) -> str:
    """The domain by the name that reports use."""
    return "ai.onnx" if domain in DEFAULT_DOMAINS else as_text(domain)


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """The value of the node's attribute (ints and floats as such, strings as bytes, lists as lists), or the default."""
    for each in node.attribute:
        if each.name == name:
            return attribute_value(each)
    return default


def is_standard(node: NodeProto, *op_types: str) -> bool:
    """Whether the node is one of these standard (ai.onnx) operators."""
    return node.op_type in op_types and node.domain in DEFAULT_DOMAINS


_CONSTANT_SCALARS = {
    "value_float": TensorProto.FLOAT,
    "value_int": TensorProto.INT64,
    "value_string": TensorProto.STRING,
    "value_floats": TensorProto.FLOAT,
    "value_ints": TensorProto.INT64,
    "value_strings": TensorProto.STRING,
}

_DATA_FIELDS = {TensorProto.FLOAT: "float_data", TensorProto.INT64: "int64_data", TensorProto.STRING: "string_data"}


def constant_tensor(model: Model, node: NodeProto) -> Tensor | None:
    """The tensor of a Constant node in any of its forms; None for a sparse one and for a reference to an attribute."""
    for each in node.attribute:
        if each.ref_attr_name:
            return None
        if each.name == "value":
            return model.tensor(each.t)
        if each.name in _CONSTANT_SCALARS:
            value = attribute_value(each)
            data_type = _CONSTANT_SCALARS[each.name]
            values, dims = (value, [len(value)]) if isinstance(value, list) else ([value], [])
            proto = TensorProto(data_type=data_type, dims=dims)
            getattr(proto, _DATA_FIELDS[data_type]).extend(values)
            return Tensor(proto, None)
    return None
