"""A model handed to onnxruntime without its weights: each is named at its place in the file, and mapped from there.

Loading a model by its path copies inline weights twice (into the protobuf, into tensors). Given the skeleton, with the
weights as external data whose file is the model itself, onnxruntime maps them: a 477 MB model opens with 50 MB.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from onnx import ModelProto, TensorProto

from onnxctl.model import wire
from onnxctl.model.loading import Model, tensors_of_model
from onnxctl.model.tensors import Payload

_ROOT = os.path.abspath(os.sep)

_AS_RAW = frozenset((wire.RAW_DATA, wire.FLOAT_DATA, wire.DOUBLE_DATA))
"""Fields whose bytes in the file are those of the elements."""

MAPPED_CONFIG: Sequence[tuple[str, str]] = (("session.model_external_initializers_file_folder_path", _ROOT),)
"""The session config entries that a mapped model needs: its locations are relative to the root of the file system."""


def mapped_model(model: Model) -> bytes:
    """The model for onnxruntime, its large weights external to it; open it with MAPPED_CONFIG.

    Every file used has been checked to lie in the model's folder. Raises ModelError for weights that can't be had.
    """
    proto = ModelProto()
    proto.CopyFrom(model.proto)
    for tensor in proto.graph.initializer:
        payload = model.payload(tensor)
        if payload is not None and payload.field in _AS_RAW:
            payload.check()
            _point(tensor, payload)
    for tensor in tensors_of_model(proto):
        payload = model.payload(tensor)
        if payload is not None:  # onnxruntime maps initializers of the top graph only
            _fill(tensor, payload)
    return proto.SerializeToString()


def _point(tensor: TensorProto, payload: Payload) -> None:
    path = os.path.relpath(os.path.realpath(payload.file.source().path), _ROOT)
    try:
        path.encode()
    except UnicodeEncodeError:  # onnxruntime's paths are UTF-8
        _fill(tensor, payload)
        return
    place = {"location": path, "offset": str(payload.offset), "length": str(payload.length)}
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in place.items():
        tensor.external_data.add(key=key, value=value)


def _fill(tensor: TensorProto, payload: Payload) -> None:
    """Put the values back into the message."""
    del tensor.external_data[:]
    tensor.ClearField("data_location")
    payload.restore(tensor)
