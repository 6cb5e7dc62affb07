"""Which conversions between element types lose nothing: bool, integers, float16, bfloat16, float and double."""

from __future__ import annotations

from onnx import TensorProto

_INTEGER_BITS: dict[int, int] = {
    TensorProto.INT8: 8,
    TensorProto.INT16: 16,
    TensorProto.INT32: 32,
    TensorProto.INT64: 64,
    TensorProto.UINT8: 8,
    TensorProto.UINT16: 16,
    TensorProto.UINT32: 32,
    TensorProto.UINT64: 64,
}
_UNSIGNED: frozenset[int] = frozenset({TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64})
_FLOAT_PRECISION_AND_EXPONENT_BITS: dict[int, tuple[int, int]] = {
    TensorProto.FLOAT16: (11, 5),
    TensorProto.BFLOAT16: (8, 8),
    TensorProto.FLOAT: (24, 8),
    TensorProto.DOUBLE: (53, 11),
}


def is_exact(source: int, middle: int, target: int) -> bool:
    """Whether converting from source to middle to target gives for every value what converting to target does."""
    known = {TensorProto.BOOL, *_INTEGER_BITS, *_FLOAT_PRECISION_AND_EXPONENT_BITS}
    if not {source, middle, target} <= known:
        return False
    if source == TensorProto.BOOL:
        return True
    integers = {source, middle, target} <= set(_INTEGER_BITS)
    if integers and _INTEGER_BITS[target] <= _INTEGER_BITS[middle]:
        return True
    if not _holds(middle, source):
        return False
    kept_as_number = target == TensorProto.BOOL or target in _FLOAT_PRECISION_AND_EXPONENT_BITS
    return target == source or kept_as_number or {source, middle} <= set(_INTEGER_BITS)


def _holds(wide: int, narrow: int) -> bool:
    """Whether every value of the one type is a value of the other; the narrow one is a number, not bool."""
    if wide == narrow:
        return True
    if narrow in _INTEGER_BITS:
        magnitude_bits = _INTEGER_BITS[narrow] - (narrow not in _UNSIGNED)
        if wide in _FLOAT_PRECISION_AND_EXPONENT_BITS:
            precision, exponent = _FLOAT_PRECISION_AND_EXPONENT_BITS[wide]
            return magnitude_bits <= precision and magnitude_bits < 2 ** (exponent - 1)
        if wide not in _INTEGER_BITS or (wide in _UNSIGNED and narrow not in _UNSIGNED):
            return False
        return magnitude_bits <= _INTEGER_BITS[wide] - (wide not in _UNSIGNED)
    if wide not in _FLOAT_PRECISION_AND_EXPONENT_BITS or narrow not in _FLOAT_PRECISION_AND_EXPONENT_BITS:
        return False
    pairs = zip(_FLOAT_PRECISION_AND_EXPONENT_BITS[wide], _FLOAT_PRECISION_AND_EXPONENT_BITS[narrow], strict=True)
    return all(have >= need for have, need in pairs)
