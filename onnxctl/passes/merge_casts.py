"""Cast once where it was cast twice: Cast(Cast(x, to=B), to=C) = Cast(x, to=C), and = x where C is x's own type A.

Exact in these cases only, over bool, the integers, float16, bfloat16, float and double: - B holds every value of A
(widening), and C is A, bool or a float, or A and B are integers or bool both: the number that
  is converted to C is the same one. A float that goes to an integer stays: what is out of range is undefined there, and
  differs from width to width, unless A is bool;
- A, B and C are integers and C is no wider than B: integers wrap around, modulo 2^bits of the narrowest.
Left alone: narrowing and widening again, strings, complex numbers, types of eight bits and fewer (they saturate).
"""

from __future__ import annotations

from onnx import TensorProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import Context, bypass, standard_nodes

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


def merge_casts(graph: Graph, context: Context) -> int:
    """Let a Cast of a Cast read the first one's input, or vanish; returns how many did."""
    found = 0
    for node in standard_nodes(graph, "Cast"):
        first = graph.producer(node.input[0])
        if first is None or not is_standard(first, "Cast"):
            continue
        source = graph.element_type(first.input[0])
        middle, target = attribute(first, "to"), attribute(node, "to")
        if source is None or not isinstance(middle, int) or not isinstance(target, int):
            continue
        if not _is_exact(source, middle, target):
            context.skip(node, "the first Cast loses values that the second would keep")
        elif target == source:
            found += bypass(graph, context, node, first.input[0])
        else:
            graph.set_input(node, 0, first.input[0])
            found += 1
    return found


def _is_exact(source: int, middle: int, target: int) -> bool:
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
