"""Symbolic integers: sizes such as `batch*seq + 1` that are known before anybody says what batch and seq are.

A `Dimension` is an int or an `Expression`: a polynomial with integer coefficients over atoms. An atom is a `Symbol`, a
`FloorQuotient` (p // q) or a `PositivePart` (max(p, 0)). The other operations are written with these three, so that
equal quantities mostly meet in one form: mod is p - q*(p // q), ceil is (p + q - 1) // q, min(a, b) is
a - max(a - b, 0). Whatever has no symbols is a plain int, and costs what ints cost.

Every rewrite is exact for all integer values of the symbols that respect their `minimum`, as long as nothing is divided
by zero. Expressions have bounded size: what would grow beyond it becomes an opaque symbol, the same one each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

from onnxctl.model.expressions import (
    LARGEST,
    MAXIMUM_BITS,
    MAXIMUM_DEPTH,
    MAXIMUM_SIZE,
    Atom,
    Dimension,
    Expression,
    FloorQuotient,
    Monomial,
    PositivePart,
    Symbol,
    divide_terms,
    from_atom,
    from_terms,
    is_known,
    is_natural,
    key_of_power,
    leading_monomial,
    least_of_terms,
    multiply_monomials,
    opaque,
    sole_atom,
    sole_symbol,
    sorted_terms,
    symbol,
    symbols,
    terms_of,
    total_of,
    unknown_symbol,
)

__all__ = [
    "MAXIMUM_BITS",
    "MAXIMUM_DEPTH",
    "MAXIMUM_SIZE",
    "Dimension",
    "Expression",
    "FloorQuotient",
    "PositivePart",
    "Symbol",
    "cap_between",
    "ceil_divide",
    "differs",
    "evaluate",
    "exact_quotient",
    "floor_divide",
    "is_at_least",
    "is_known",
    "lower_bound",
    "maximum",
    "minimum",
    "positive_part",
    "product",
    "sole_symbol",
    "sorted_terms",
    "substitute",
    "symbol",
    "symbols",
    "total_of",
    "unknown_symbol",
    "upper_bound",
]

_DIVISION_STEPS = 64
_RELAXATIONS = 3


# ---------------------------------------------------------------- putting numbers in


def evaluate(dimension: Dimension, bindings: Mapping[str, int]) -> int:
    """The number it is when each symbol has the value given. Raises KeyError naming a symbol without one."""
    if isinstance(dimension, int):
        return dimension
    total = 0
    for monomial, coefficient in dimension.terms.items():
        for atom, exponent in monomial:
            coefficient *= _evaluate_atom(atom, bindings) ** exponent
        total += coefficient
    return total


def _evaluate_atom(atom: Atom, bindings: Mapping[str, int]) -> int:
    if isinstance(atom, Symbol):
        return bindings[atom.name]
    if isinstance(atom, FloorQuotient):
        return evaluate(atom.numerator, bindings) // evaluate(atom.denominator, bindings)
    return max(evaluate(atom.argument, bindings), 0)


def substitute(dimension: Dimension, bindings: Mapping[str, Dimension]) -> Dimension:
    """The dimension with the named symbols replaced, simplified again. Raises ZeroDivisionError as ints do."""
    if isinstance(dimension, int) or not any(each.name in bindings for each in symbols(dimension)):
        return dimension
    total: Dimension = 0
    for monomial, coefficient in dimension.terms.items():
        part: Dimension = coefficient
        for atom, exponent in monomial:
            replaced = _substitute_atom(atom, bindings)
            for _ in range(exponent):
                part = part * replaced
        total = total + part
    return total


def _substitute_atom(atom: Atom, bindings: Mapping[str, Dimension]) -> Dimension:
    if isinstance(atom, Symbol):
        return bindings[atom.name] if atom.name in bindings else Expression({((atom, 1),): 1})
    if isinstance(atom, FloorQuotient):
        return substitute(atom.numerator, bindings) // substitute(atom.denominator, bindings)
    return positive_part(substitute(atom.argument, bindings))


# ---------------------------------------------------------------- comparing


def lower_bound(dimension: Dimension) -> int | None:
    """A number the dimension is never below, None where we can't prove one."""
    if isinstance(dimension, int):
        return dimension
    terms: Mapping[Monomial, int | Fraction] = dimension.terms
    for _ in range(_RELAXATIONS):
        bound = least_of_terms(terms)
        if bound is not None:
            return math.ceil(bound)
        relaxed = _relaxed(terms)
        if relaxed is None:
            return None
        terms = relaxed
    return None


def upper_bound(dimension: Dimension) -> int | None:
    """A number the dimension is never above, None where we can't prove one."""
    bound = lower_bound(-dimension)
    return None if bound is None else -bound


def is_at_least(dimension: Dimension, bound: Dimension) -> bool:
    """Whether dimension >= bound for sure."""
    least = lower_bound(dimension - bound)
    return least is not None and least >= 0


def differs(first: Dimension, second: Dimension) -> bool:
    """Whether the two are unequal for sure. (That they are equal for sure is `first == second`.)"""
    return first != second and (is_at_least(first, second + 1) or is_at_least(second, first + 1))


def _relaxed(terms: Mapping[Monomial, int | Fraction]) -> dict[Monomial, int | Fraction] | None:
    """A polynomial that is never above: one p // c or max(p, 0), best one subtracted, replaced by its linear bound.

    (p - c + 1)/c <= p // c <= p/c, and p <= max(p, 0) <= p - min(lower bound of p, 0).
    """
    for monomial, coefficient in sorted(terms.items(), key=lambda term: term[1] > 0):
        for index, (atom, exponent) in enumerate(monomial):
            if isinstance(atom, Symbol) or exponent != 1:
                continue
            others = monomial[:index] + monomial[index + 1 :]
            if any((least := other.minimum) is None or least < 0 for other, _ in others):
                continue
            bound = _linear_bound(atom, above=coefficient < 0)
            if bound is None:
                continue
            numerator, denominator = bound
            result = dict(terms)
            del result[monomial]
            for factor, factor_coefficient in terms_of(numerator):
                joined = multiply_monomials(others, factor)
                result[joined] = result.get(joined, 0) + Fraction(coefficient * factor_coefficient) / denominator
            return {key: value for key, value in result.items() if value}
    return None


def _linear_bound(atom: Atom, *, above: bool) -> tuple[Dimension, int] | None:
    if isinstance(atom, FloorQuotient):
        if not isinstance(atom.denominator, int) or atom.denominator < 1:
            return None
        return (atom.numerator if above else atom.numerator - (atom.denominator - 1)), atom.denominator
    if isinstance(atom, PositivePart):
        if not above:
            return atom.argument, 1
        least = lower_bound(atom.argument)
        return None if least is None else (atom.argument - min(least, 0), 1)
    return None


# ---------------------------------------------------------------- operations


def positive_part(dimension: Dimension) -> Dimension:
    """max(dimension, 0)."""
    if isinstance(dimension, int):
        return max(dimension, 0)
    if is_at_least(dimension, 0):
        return dimension
    if is_at_least(0, dimension):
        return 0
    if dimension.terms[leading_monomial(dimension.terms)] < 0:
        return dimension + positive_part(-dimension)  # max(p, 0) = p + max(-p, 0)
    content = math.gcd(*dimension.terms.values())
    if content > 1:
        return content * positive_part(_cancelled(dimension, content))
    constant = dimension.terms.get((), 0)
    atom = sole_atom(dimension - constant)
    if isinstance(atom, PositivePart) and constant <= 0:
        return positive_part(atom.argument + constant)
    return from_atom(PositivePart(dimension, max(lower_bound(dimension) or 0, 0)))


def maximum(first: Dimension, second: Dimension) -> Dimension:
    """The larger of the two."""
    if first == second:
        return first
    return second + positive_part(first - second)


def minimum(first: Dimension, second: Dimension) -> Dimension:
    """The smaller of the two."""
    if first == second:
        return first
    return first - positive_part(first - second)


def cap_between(whole: Dimension, capped: Dimension) -> int | None:
    """The number c where capped is min(whole, c), None where it is no such thing."""
    atom = sole_atom(whole - capped)
    cap = whole - atom.argument if isinstance(atom, PositivePart) else None
    return cap if isinstance(cap, int) else None


def ceil_divide(dimension: Dimension, divisor: Dimension) -> Dimension:
    """dimension / divisor, rounded up."""
    if isinstance(divisor, int) and divisor > 0:
        return (dimension + (divisor - 1)) // divisor
    return -(-dimension // divisor)


def product(dimensions: Iterable[Dimension]) -> Dimension:
    """All of them multiplied; 1 for none. A number of more than MAXIMUM_BITS bits becomes an opaque symbol."""
    total: Dimension = 1
    for dimension in dimensions:
        total = total * dimension
        if isinstance(total, int) and total.bit_length() > MAXIMUM_BITS:
            return opaque(hex(total), bounded=total >= 0)
    return total


def exact_quotient(dimension: Dimension, divisor: Dimension) -> Dimension | None:
    """The polynomial q with dimension == q * divisor for every value of the symbols; None where there is none."""
    if divisor == 0:
        return None
    if isinstance(divisor, int):
        if any(coefficient % divisor for _, coefficient in terms_of(dimension)):
            return None
        return from_terms({monomial: coefficient // divisor for monomial, coefficient in terms_of(dimension)})
    if isinstance(dimension, int):
        return 0 if dimension == 0 else None
    if dimension == divisor:
        return 1
    lead = leading_monomial(divisor.terms)
    rest: Dimension = dimension
    quotient: Dimension = 0
    for _ in range(_DIVISION_STEPS):
        if isinstance(rest, int):
            return quotient if rest == 0 else None
        step = divide_terms(rest.terms, leading_monomial(rest.terms), divisor.terms, lead)
        if step is None:
            return None
        quotient = quotient + step
        rest = rest - step * divisor
    return None


def floor_divide(dimension: Dimension, divisor: Dimension) -> Dimension:
    """dimension // divisor, in the form described above. Raises ZeroDivisionError where the divisor is 0."""
    if divisor == 0:
        raise ZeroDivisionError(f"{dimension} // 0")
    exact = exact_quotient(dimension, divisor)
    if exact is not None:
        return exact
    if isinstance(divisor, int):
        return _divide_by_number(dimension, divisor) if divisor > 0 else _divide_by_number(-dimension, -divisor)
    if isinstance(dimension, Expression):
        common = _common_factor(dimension, divisor)
        if common != 1:
            return _cancelled(dimension, common) // _cancelled(divisor, common)
    if isinstance(dimension, Expression) and len(divisor.terms) == 1:
        (lead,) = divisor.terms
        whole: Dimension = 0
        for monomial in dimension.terms:
            whole = whole + (divide_terms(dimension.terms, monomial, divisor.terms, lead) or 0)
        if whole != 0:
            return whole + floor_divide(dimension - whole * divisor, divisor)
    if is_at_least(dimension, 0) and is_at_least(divisor, dimension + 1):
        return 0
    return from_atom(FloorQuotient(dimension, divisor, _least_quotient(dimension, divisor)))


def _cut(monomial: Monomial, coefficient: int, divisor: int) -> int:
    if monomial and coefficient < 0:
        return -(-coefficient // divisor)
    return coefficient // divisor


def _least_quotient(dimension: Dimension, divisor: Dimension) -> int | None:
    numerator, denominator = lower_bound(dimension), lower_bound(divisor)
    if numerator is None or numerator < 0 or denominator is None or denominator < 0:
        return None
    return numerator // divisor if isinstance(divisor, int) else 0


def _common_factor(first: Expression, second: Expression) -> Dimension:
    """The largest term that divides every term of both, with a positive coefficient."""
    monomials = [*first.terms, *second.terms]
    shared = dict(monomials[0])
    for monomial in monomials[1:]:
        exponents = dict(monomial)
        shared = {atom: min(power, exponents[atom]) for atom, power in shared.items() if atom in exponents}
    content = math.gcd(*first.terms.values(), *second.terms.values())
    return from_terms({tuple(sorted(shared.items(), key=key_of_power)): content})


def _cancelled(dimension: Dimension, factor: Dimension) -> Dimension:
    quotient = exact_quotient(dimension, factor)
    assert quotient is not None
    return quotient


def _divide_by_number(dimension: Dimension, divisor: int) -> Dimension:
    """floor((c*q + r) / c) = q + floor(r / c): r has coefficients below c, a leading one above 0, in lowest terms.

    Coefficients are cut towards zero, which keeps signs as they were written; the constant of r lies in [0, c).
    """
    if isinstance(dimension, int):
        return dimension // divisor
    if divisor >= LARGEST:
        return opaque(f"({dimension})//{divisor}", bounded=is_natural(dimension))
    parts = {monomial: _cut(monomial, value, divisor) for monomial, value in dimension.terms.items()}
    whole = from_terms(parts)
    rest = dimension if whole == 0 else dimension - whole * divisor
    if isinstance(rest, int):
        return whole + rest // divisor
    if rest.terms[leading_monomial(rest.terms)] < 0:
        return whole - _divide_by_number(-rest + (divisor - 1), divisor)
    constant = rest.terms.get((), 0)
    common = math.gcd(divisor, *(value for monomial, value in rest.terms.items() if monomial))
    if common > 1:
        reduced = _cancelled(rest - constant, common)
        return whole + _divide_by_number(reduced + constant // common, divisor // common)
    atom = sole_atom(rest - constant)
    if isinstance(atom, FloorQuotient) and isinstance(atom.denominator, int) and atom.denominator > 0:
        return whole + _divide_by_number(atom.numerator + constant * atom.denominator, divisor * atom.denominator)
    if is_at_least(rest, 0) and is_at_least(divisor - 1, rest):
        return whole
    return whole + from_atom(FloorQuotient(rest, divisor, _least_quotient(rest, divisor)))
