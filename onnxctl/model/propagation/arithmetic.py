"""Arithmetic on the elements that symbolic contents consist of, as the runtimes do it on numbers.

Integers are exact and unknown beyond 64 bits. Floats that are numbers are rounded to their type; floats that depend on
symbols are exact quotients (`Ratio`), which is what they are as long as sizes stay below 2**24. Whatever can't be said
for sure is None.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from onnx import TensorProto

from onnxctl.model import dimensions
from onnxctl.model.dimensions import (
    Dimension,
    Expression,
    exact_quotient,
    is_at_least,
    lower_bound,
    positive_part,
    symbols,
)
from onnxctl.model.propagation.facts import FLOAT_TYPES, INTEGER_TYPES, Element, Ratio

Binary = Callable[[Element, Element, int | None], Element]
Unary = Callable[[Element, int | None], Element]

_FORMATS: dict[int, str] = {TensorProto.FLOAT: "f", TensorProto.FLOAT16: "e", TensorProto.DOUBLE: "d"}
_LARGEST_EXACT = 1 << 24
_INTEGER_RANGE: dict[int, tuple[int, int]] = {
    TensorProto.INT8: (-(2**7), 2**7 - 1),
    TensorProto.INT16: (-(2**15), 2**15 - 1),
    TensorProto.INT32: (-(2**31), 2**31 - 1),
    TensorProto.INT64: (-(2**63), 2**63 - 1),
    TensorProto.UINT8: (0, 2**8 - 1),
    TensorProto.UINT16: (0, 2**16 - 1),
    TensorProto.UINT32: (0, 2**32 - 1),
    TensorProto.UINT64: (0, 2**64 - 1),
}
_TOO_NARROW_FOR_SIZES = (TensorProto.INT8, TensorProto.INT16, TensorProto.UINT8, TensorProto.UINT16)


def _rounded(value: float, dtype: int | None) -> float | None:
    layout = _FORMATS.get(dtype or 0)
    if layout is None:
        return None
    try:
        return float(struct.unpack(layout, struct.pack(layout, value))[0])
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _within(value: Element, dtype: int | None) -> Element:
    """The integer if its type can hold it, else unknown: runtimes would wrap. Sizes are taken to fit into 32 bits."""
    if isinstance(value, Expression):
        return None if dtype in _TOO_NARROW_FOR_SIZES else value
    least, most = _INTEGER_RANGE.get(dtype or 0, (0, -1))
    return value if isinstance(value, int) and least <= value <= most else None


def _as_ratio(value: Element) -> Ratio | None:
    """A symbolic float, or a float with few enough digits to be exact in products with sizes."""
    if isinstance(value, Ratio):
        return value
    if isinstance(value, int | Expression):
        return Ratio(value, 1)
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    numerator, denominator = value.as_integer_ratio()
    return Ratio(numerator, denominator) if max(abs(numerator), denominator) < _LARGEST_EXACT else None


def _from_ratio(numerator: Dimension, denominator: Dimension) -> Element:
    quotient = exact_quotient(numerator, denominator)
    if quotient is not None:
        return float(quotient) if isinstance(quotient, int) else quotient
    if isinstance(numerator, int) and isinstance(denominator, int):
        return None if denominator == 0 else numerator / denominator
    return Ratio(numerator, denominator)


def _on_ratios(first: Element, second: Element, operation: str) -> Element:
    one, other = _as_ratio(first), _as_ratio(second)
    if one is None or other is None:
        return None
    if operation == "*":
        return _from_ratio(one.numerator * other.numerator, one.denominator * other.denominator)
    if operation == "/":
        return _from_ratio(one.numerator * other.denominator, one.denominator * other.numerator)
    left, right = one.numerator * other.denominator, other.numerator * one.denominator
    return _from_ratio(left + right if operation == "+" else left - right, one.denominator * other.denominator)


def _arithmetic(operation: str, on_numbers: Callable[[float, float], float]) -> Binary:
    def rule(first: Element, second: Element, dtype: int | None) -> Element:
        if first is None or second is None:
            return None
        if dtype in INTEGER_TYPES:
            if isinstance(first, float | Ratio) or isinstance(second, float | Ratio):
                return None
            return _within(on_numbers(first, second), dtype)  # type: ignore[arg-type]
        if isinstance(first, int | float) and isinstance(second, int | float):
            return _rounded(on_numbers(first, second), dtype)
        return _on_ratios(first, second, operation) if dtype in FLOAT_TYPES else None

    return rule


add = _arithmetic("+", lambda a, b: a + b)
subtract = _arithmetic("-", lambda a, b: a - b)
multiply = _arithmetic("*", lambda a, b: a * b)


def divide(first: Element, second: Element, dtype: int | None) -> Element:
    """Floats: the quotient. Integers: rounded towards zero."""
    if first is None or second is None or second == 0:
        return None
    if dtype in INTEGER_TYPES:
        return _within(_truncated(first, second), dtype)
    if isinstance(first, int | float) and isinstance(second, int | float):
        return _rounded(first / second, dtype)
    return _on_ratios(first, second, "/") if dtype in FLOAT_TYPES else None


def _truncated(first: Element, second: Element) -> Dimension | None:
    """first / second towards zero: max(p, 0) // q - max(-p, 0) // q for q > 0."""
    if isinstance(first, float | Ratio | None) or isinstance(second, float | Ratio | None):
        return None
    if isinstance(second, int) and second < 0:
        first, second = -first, -second
    if not is_at_least(second, 0):  # 0 itself is no divisor
        return None
    return positive_part(first) // second - positive_part(-first) // second


def modulo(first: Element, second: Element, dtype: int | None, *, sign_of_dividend: bool) -> Element:
    """The remainder with the sign of the divisor, or (fmod=1) of the dividend."""
    if isinstance(first, float | Ratio | None) or isinstance(second, float | Ratio | None) or second == 0:
        return None
    if dtype not in INTEGER_TYPES:
        return None
    if sign_of_dividend:
        quotient = _truncated(first, second)
        return None if quotient is None else _within(first - quotient * second, dtype)
    if isinstance(second, Expression) and not is_at_least(second, 0):
        return None
    return _within(first % second, dtype)


def _choice(symbolic: Callable[[Dimension, Dimension], Dimension], plain: Callable[[float, float], float]) -> Binary:
    def rule(first: Element, second: Element, dtype: int | None) -> Element:
        if first is None or second is None or isinstance(first, Ratio) or isinstance(second, Ratio):
            return None
        if isinstance(first, int | float) and isinstance(second, int | float):
            return None if math.isnan(first) or math.isnan(second) else plain(first, second)
        one, other = as_dimension(first), as_dimension(second)
        return None if one is None or other is None else symbolic(one, other)

    return rule


def as_dimension(value: Element) -> Dimension | None:
    """The element where it is an integer, whatever its type."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int | Expression) else None


maximum = _choice(dimensions.maximum, max)
minimum = _choice(dimensions.minimum, min)


def power(first: Element, second: Element, dtype: int | None) -> Element:
    """Small whole powers of integers; of floats, of numbers only."""
    if isinstance(first, Ratio) or not isinstance(second, int | float) or first is None:
        return None
    if isinstance(first, float) and dtype in FLOAT_TYPES:
        try:
            result = math.pow(first, second)
        except (OverflowError, ValueError):
            return None
        # pow of a runtime may differ in the last digit: only what is a whole number is followed
        return _rounded(result, dtype) if result.is_integer() else None
    if dtype not in INTEGER_TYPES or second != int(second) or not 0 <= second <= 8 or isinstance(first, float):
        return None
    return _within(dimensions.product([first] * int(second)), dtype)


# ---------------------------------------------------------------- comparisons and logic


def equal(first: Element, second: Element, dtype: int | None = None) -> Element:
    """True or False where it is certain."""
    if first is None or second is None:
        return None
    one, other = as_dimension(first), as_dimension(second)
    if one is not None and other is not None:
        return True if one == other else (False if dimensions.differs(one, other) else None)
    if isinstance(first, int | float) and isinstance(second, int | float):
        return first == second
    return None


def less(first: Element, second: Element, dtype: int | None = None) -> Element:
    """True or False where it is certain."""
    if isinstance(first, int | float) and isinstance(second, int | float):
        return first < second
    one, other = as_dimension(first), as_dimension(second)
    if one is None or other is None:
        return None
    if is_at_least(other, one + 1):
        return True
    return False if is_at_least(one, other) else None


def greater(first: Element, second: Element, dtype: int | None = None) -> Element:
    """True or False where it is certain."""
    return less(second, first)


def negate_bool(value: Element, dtype: int | None = None) -> Element:
    """not value."""
    return not value if isinstance(value, bool) else None


def _less_or_equal_numbers(first: Element, second: Element, dtype: int | None = None) -> Element:
    if isinstance(first, int | float) and isinstance(second, int | float):
        return first <= second
    return negate_bool(less(second, first))


less_or_equal: Binary = _less_or_equal_numbers
greater_or_equal: Binary = lambda first, second, dtype: _less_or_equal_numbers(second, first)  # noqa: E731


def logical_and(first: Element, second: Element, dtype: int | None = None) -> Element:
    """False where either is False, True where both are True."""
    if first is False or second is False:
        return False
    return True if first is True and second is True else None


def logical_or(first: Element, second: Element, dtype: int | None = None) -> Element:
    """True where either is True, False where both are False."""
    if first is True or second is True:
        return True
    return False if first is False and second is False else None


def logical_xor(first: Element, second: Element, dtype: int | None = None) -> Element:
    """Known where both are."""
    return first is not second if isinstance(first, bool) and isinstance(second, bool) else None


# ---------------------------------------------------------------- one operand


def negate(value: Element, dtype: int | None) -> Element:
    """-value."""
    if isinstance(value, Ratio):
        return Ratio(-value.numerator, value.denominator)
    if value is None or isinstance(value, bool):
        return None
    return -value if dtype in FLOAT_TYPES else _within(-value, dtype)


def absolute(value: Element, dtype: int | None) -> Element:
    """|value|."""
    if isinstance(value, float):
        return abs(value)
    if isinstance(value, Ratio | None):
        return None
    return _within(2 * positive_part(value) - value, dtype)


def floor(value: Element, dtype: int | None) -> Element:
    """Rounded down; a whole number as such."""
    if isinstance(value, Ratio):
        return _whole(value.numerator // value.denominator) if is_at_least(value.denominator, 0) else None
    return _whole(math.floor(value)) if isinstance(value, float) and math.isfinite(value) else value


def ceil(value: Element, dtype: int | None) -> Element:
    """Rounded up; a whole number as such."""
    if isinstance(value, Ratio):
        return (
            _whole(dimensions.ceil_divide(value.numerator, value.denominator))
            if is_at_least(value.denominator, 0)
            else None
        )
    return _whole(math.ceil(value)) if isinstance(value, float) and math.isfinite(value) else value


def round_half_to_even(value: Element, dtype: int | None) -> Element:
    """Of numbers only."""
    if isinstance(value, float) and math.isfinite(value):
        return float(round(value))
    return value if isinstance(value, Expression) else None


def _whole(value: Dimension) -> Element:
    return float(value) if isinstance(value, int) else value


def square_root(value: Element, dtype: int | None) -> Element:
    """Of numbers only."""
    return _rounded(math.sqrt(value), dtype) if isinstance(value, float) and 0 <= value < math.inf else None


def cast(value: Element, source: int | None, target: int | None) -> Element:
    """The element in another type: floats become integers towards zero.

    Sizes are taken to fit into 32 bits, and into the digits of a float; what an input holds may not.
    """
    if value is None:
        return None
    if target == TensorProto.BOOL:
        if isinstance(value, int | float):
            return bool(value)
        whole = as_dimension(value)
        return True if whole is not None and (lower_bound(whole) or 0) > 0 else None
    if target in INTEGER_TYPES:
        if isinstance(value, Ratio):
            return _truncated(value.numerator, value.denominator)
        if isinstance(value, float):
            return _within(int(value), target) if math.isfinite(value) else None
        if isinstance(value, Expression) and not (target == TensorProto.INT64 or _is_size(value, target)):
            return None
        return _within(int(value) if isinstance(value, bool) else value, target)
    if target in FLOAT_TYPES:
        if isinstance(value, int | float):
            return _rounded(float(value), target)
        exact = not isinstance(value, Expression) or _is_size(value, target)
        return value if exact and target in (TensorProto.FLOAT, TensorProto.DOUBLE) else None
    return None


def _is_size(value: Expression, dtype: int) -> bool:
    """Whether it is made of sizes alone, and is no less than the least number of the type."""
    least = lower_bound(value) if dtype in (TensorProto.UINT32, TensorProto.UINT64) else 0
    return least is not None and least >= 0 and all(each.minimum is not None for each in symbols(value))
