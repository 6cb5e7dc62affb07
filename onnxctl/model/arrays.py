"""Tensors as NumPy arrays, and arrays as tensors. Who asks for no values never loads NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxctl.errors import UnsupportedModel
from onnxctl.model import wire
from onnxctl.model.tensors import DTYPES, Tensor

Array = np.ndarray[Any, np.dtype[Any]]

MAXIMUM_RANK = 64
"""The dimensions that numpy can hold in one array."""

_FIELDS_LIKE_RAW_DATA = (wire.RAW_DATA, wire.FLOAT_DATA, wire.DOUBLE_DATA)
"""Fields whose bytes in the file are those of the elements."""


def array_of(tensor: Tensor) -> Array:
    """See `Tensor.numpy`."""
    tensor.check()
    if len(tensor.proto.dims) > MAXIMUM_RANK:
        rank = len(tensor.proto.dims)
        raise UnsupportedModel(f"tensor {tensor.name!r} has {rank} dimensions, more than {MAXIMUM_RANK}")
    if tensor.payload is None:
        return inline_array(tensor.proto)
    if tensor.payload.derivation is not None:
        return tensor.payload.derivation.values().reshape(tensor.shape)
    native = native_dtype(tensor.proto.data_type)
    if native is not None and tensor.payload.field in _FIELDS_LIKE_RAW_DATA:
        tensor.payload.check()
        array = np.empty(tensor.shape, dtype=native)
        if array.nbytes:
            tensor.payload.file.source().read_into(byte_view(array), tensor.payload.offset)
        return array
    complete = TensorProto(dims=tensor.proto.dims, data_type=tensor.proto.data_type)
    tensor.payload.restore(complete)
    return inline_array(complete)


def elements_of(tensor: Tensor, positions: Array) -> Array:
    """See `Tensor.elements`."""
    native = native_dtype(tensor.proto.data_type)
    if tensor.payload is None or native is None or tensor.payload.field not in _FIELDS_LIKE_RAW_DATA:
        return tensor.numpy().reshape(-1)[positions]
    if tensor.payload.derivation is not None:
        return tensor.payload.derivation.elements(positions)
    width = native.itemsize
    data = b"".join(tensor.payload.read_part(int(at) * width, width) for at in positions)
    return np.frombuffer(data, native)


def byte_view(array: Array) -> memoryview:
    """The bytes of a contiguous array as raw_data has them, on a machine of its byte order."""
    return memoryview(array.reshape(-1).view(np.uint8).data)


_PLAIN_DTYPES = {
    dtype.number: np.dtype(dtype.name)
    for dtype in DTYPES.values()
    if dtype.bits >= 8 and dtype.name.startswith(("bool", "int", "uint", "float16", "float32", "float64", "complex"))
}
"""The element types that numpy has itself. Those of ml_dtypes are few models' need, and take their time to load."""

_ELEMENT_TYPES = {dtype: number for number, dtype in _PLAIN_DTYPES.items()}


def numpy_dtype(number: int) -> np.dtype[Any]:
    """The type of the arrays that hold elements of this type. Raises KeyError for one that onnx does not know."""
    plain = _PLAIN_DTYPES.get(number)
    if plain is not None:
        return plain
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(number))


def native_dtype(number: int) -> np.dtype[Any] | None:
    """The numpy type whose bytes are those of raw_data; None for strings, and where elements share bytes."""
    known = DTYPES.get(number)
    return None if known is None or known.bits < 8 else numpy_dtype(number).newbyteorder("<")


def element_type(dtype: np.dtype[Any]) -> int:
    """The element type (TensorProto.DataType) of arrays of this type. Raises ValueError where ONNX has none."""
    plain = _ELEMENT_TYPES.get(dtype.newbyteorder("="))
    if plain is not None:
        return plain
    from onnx import helper

    return helper.np_dtype_to_tensor_dtype(dtype.newbyteorder("="))


def new_inline_tensor(name: str, array: Array) -> TensorProto:
    """A TensorProto with the values in it, as raw_data where they are no strings."""
    number = _ELEMENT_TYPES.get(array.dtype.newbyteorder("="))
    if number is None:
        from onnx import numpy_helper

        return numpy_helper.from_array(array, name)
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return TensorProto(name=name or None, data_type=number, dims=array.shape, raw_data=data)


_FIELDS_OF_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT32: "int32_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT64: "uint64_data",
}
"""The fields whose elements are of the very type; others hold those of several."""


def inline_array(proto: TensorProto) -> Array:
    """The values of a TensorProto that has them in it: see `Tensor.numpy`."""
    plain, field = _PLAIN_DTYPES.get(proto.data_type), _FIELDS_OF_TYPES.get(proto.data_type)
    if plain is not None and proto.HasField("raw_data"):
        return np.frombuffer(proto.raw_data, plain.newbyteorder("<")).reshape(tuple(proto.dims))
    if plain is not None and field is not None:
        return np.array(getattr(proto, field), plain).reshape(tuple(proto.dims))
    if proto.data_type != TensorProto.STRING:
        from onnx import numpy_helper

        array: Array = numpy_helper.to_array(proto)
        return array
    texts = [text.decode("utf-8", "surrogateescape") for text in proto.string_data]
    return np.array(texts, dtype=object).reshape(tuple(proto.dims))
