"""Operators that make tensors from nothing but attributes, shapes and scalars: Constant, ConstantOfShape, Range."""

from __future__ import annotations

import math
from collections.abc import Mapping

from onnx import TensorProto

from onnxctl.model.dimensions import Dimension, Expression, ceil_divide, is_at_least, positive_part
from onnxctl.model.propagation import arithmetic
from onnxctl.model.propagation.call import Call, ShapeFunction
from onnxctl.model.propagation.facts import (
    FLOAT_TYPES,
    MAXIMUM_ELEMENTS,
    UNKNOWN,
    Element,
    Fact,
    fact_of_sparse,
    fact_of_tensor,
    static_shape,
    tensor,
)
from onnxctl.model.propagation.shaping import made_shape, size_of, sizes_of


def _constant(call: Call) -> Fact:
    for name, dtype in (("value_int", TensorProto.INT64), ("value_float", TensorProto.FLOAT)):
        found = call.attribute(name)
        if found is not None:
            return tensor(dtype, (), (int(found.i) if name == "value_int" else float(found.f),))
    found = call.attribute("value")
    if found is not None:
        return fact_of_tensor(call.host.model, found.t)
    found = call.attribute("value_ints")
    if found is not None:
        return tensor(TensorProto.INT64, (len(found.ints),), list(found.ints))
    found = call.attribute("value_floats")
    if found is not None:
        return tensor(TensorProto.FLOAT, (len(found.floats),), list(found.floats))
    found = call.attribute("sparse_value")
    if found is not None:
        return fact_of_sparse(found.sparse_tensor)
    if call.has_attribute("value_string"):
        return tensor(TensorProto.STRING, ())
    found = call.attribute("value_strings")
    return tensor(TensorProto.STRING, (len(found.strings),)) if found is not None else UNKNOWN


def _constant_of_shape(call: Call) -> Fact:
    found = call.attribute("value")
    fill = fact_of_tensor(call.host.model, found.t) if found is not None else tensor(TensorProto.FLOAT, (1,), (0.0,))
    shape = made_shape(call, sizes_of(call, 0))
    sizes = static_shape(shape)
    values = None
    if sizes is not None and fill.values and math.prod(sizes) <= MAXIMUM_ELEMENTS:
        values = list(fill.values) * math.prod(sizes)
    return tensor(fill.dtype, shape, values)


def _range(call: Call) -> Fact:
    dtype = call.dtype(0) or call.dtype(1) or call.dtype(2)
    start, limit, delta = (given[0] if (given := call.values(index)) else None for index in range(3))
    length = _range_length(start, limit, delta, dtype)
    if length is None:
        return tensor(dtype, (call.fresh(0),))
    values: list[Element] | None = None
    if isinstance(length, int) and length <= MAXIMUM_ELEMENTS and isinstance(start, int) and isinstance(delta, int):
        values = list(range(start, start + length * delta, delta))
    return tensor(dtype, (length,), values)


def _range_length(start: Element, limit: Element, delta: Element, dtype: int | None) -> Dimension | None:
    if start is None or limit is None or delta is None or delta == 0:
        return None
    if all(isinstance(each, int | float) for each in (start, limit, delta)):
        return max(0, math.ceil((limit - start) / delta))  # type: ignore[operator]
    if dtype in FLOAT_TYPES:
        steps = arithmetic.divide(arithmetic.subtract(limit, start, dtype), delta, dtype)
        whole = arithmetic.as_dimension(arithmetic.ceil(steps, dtype))
        return None if whole is None else positive_part(whole)
    span = arithmetic.subtract(limit, start, TensorProto.INT64)
    if isinstance(delta, int) and delta < 0:
        span, delta = arithmetic.negate(span, TensorProto.INT64), -delta
    if not isinstance(span, int | Expression) or not isinstance(delta, int | Expression) or not is_at_least(delta, 0):
        return None
    return positive_part(ceil_divide(span, delta))


def _random_shape(call: Call) -> Fact:
    shape = call.integers("shape")
    return tensor(call.integer("dtype", TensorProto.FLOAT), shape)


def _window(call: Call) -> Fact:
    """HannWindow and the like: as long as the scalar input says."""
    values = call.values(0)
    return tensor(
        call.integer("output_datatype", TensorProto.FLOAT), made_shape(call, [size_of(values[0])] if values else [None])
    )


OPERATORS: Mapping[str, ShapeFunction] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "RandomNormal": _random_shape,
    "RandomUniform": _random_shape,
    "HannWindow": _window,
    "HammingWindow": _window,
    "BlackmanWindow": _window,
}
