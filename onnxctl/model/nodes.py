"""What single nodes say: their attributes, whether they are standard operators, and the tensor of a Constant."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import NodeProto, TensorProto

from onnxctl.model.loading import Model
from onnxctl.model.tensors import Tensor

DEFAULT_DOMAINS = ("", "ai.onnx")
"""Both names mean the standard operators."""


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """The value of the node's attribute (ints and floats as such, strings as bytes, lists as lists), or the default."""
    for each in node.attribute:
        if each.name == name:
            return onnx.helper.get_attribute_value(each)
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


def constant_tensor(model: Model, node: NodeProto) -> Tensor | None:
    """The tensor of a Constant node in any of its forms; None for a sparse one and for a reference to an attribute."""
    for each in node.attribute:
        if each.ref_attr_name:
            return None
        if each.name == "value":
            return model.tensor(each.t)
        if each.name in _CONSTANT_SCALARS:
            value = onnx.helper.get_attribute_value(each)
            many = each.name.endswith("s")
            dims = [len(value)] if many else []
            values = list(value) if many else [value]
            return Tensor(onnx.helper.make_tensor("", _CONSTANT_SCALARS[each.name], dims, values), None)
    return None
