"""A model in ONNX's own text syntax, its weights elided: what onnx.printer writes of the skeleton.

A tensor of more than SHOWN_ELEMENTS elements keeps its name, type and shape, and stands as external data without a
place: `float[768,768] w = ["elided": "2359296 bytes"]`; one in a data file keeps its location, offset and length. The
syntax has no sparse tensors; they follow as comments.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import onnx.printer
from onnx import AttributeProto, ModelProto, TensorProto

from onnxctl.analysis.attributes import type_of_value
from onnxctl.analysis.scopes import as_text, walk_scopes
from onnxctl.analysis.weights import Weight, weights_of
from onnxctl.model.loading import Model, tensors_of_model
from onnxctl.model.tensors import dtype_name

SHOWN_ELEMENTS = 16

_PRINTED_IN_FULL = {
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
    TensorProto.BOOL,
    TensorProto.STRING,
}
"""Of the other types onnx.printer writes the bits as integers, or nothing but dots."""


def model_text(model: Model) -> str:
    """The model as ONNX text with its weights elided; what is not UTF-8 becomes lone surrogates."""
    proto = ModelProto()
    proto.CopyFrom(model.proto)
    for tensor in tensors_of_model(proto):
        _elide(model, tensor)
    _state_types(proto)
    return "\n".join([_printed(proto), *_sparse_comments(model)])


def _state_types(proto: ModelProto) -> None:
    """Give every attribute its type: files of IR version 1 need not, and onnx.printer shows nothing without."""
    for scope in walk_scopes(proto):
        for node in scope.body.node:
            for attribute in node.attribute:
                if attribute.type == AttributeProto.UNDEFINED:
                    attribute.type = type_of_value(attribute)


def _printed(proto: ModelProto) -> str:
    try:
        return onnx.printer.to_text(proto)
    except UnicodeDecodeError as error:
        return error.object.decode("utf-8", "surrogateescape")


def _elide(model: Model, tensor: TensorProto) -> None:
    payload = model.payload(tensor)
    if payload is None and math.prod(tensor.dims) <= SHOWN_ELEMENTS and tensor.data_type in _PRINTED_IN_FULL:
        return
    entries = {"elided": f"{model.tensor(tensor).byte_count} bytes"}
    if payload is not None and payload.file.location:
        entries = {
            "location": _printable(payload.file.location),
            "offset": str(payload.offset),
            "length": str(payload.length),
        }
    bare = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    bare.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        bare.external_data.add(key=key, value=value)
    tensor.CopyFrom(bare)


def _printable(text: str) -> str:
    """The text with what was no UTF-8 as backslash escapes: protobuf takes no lone surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _sparse_comments(model: Model) -> Iterator[str]:
    for weight in weights_of(model):
        if weight.is_sparse:
            yield _sparse_comment(weight)


def _sparse_comment(weight: Weight) -> str:
    kind = f"{dtype_name(weight.data_type)}[{', '.join(map(str, weight.shape))}]"
    where = f" in {json.dumps(weight.scope)}" if weight.scope else ""
    what = "constant" if weight.source == "constant" else "initializer"
    name = json.dumps(as_text(weight.name))
    return f"# sparse {what} {name}{where}: {kind}, {weight.element_count} stored values"
