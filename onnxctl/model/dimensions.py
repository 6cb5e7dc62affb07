"""Symbolic integers: sizes such as `batch*seq + 1` that are known before anybody says what batch and seq are.

A `Dimension` is an int or an `Expression`: a polynomial with integer coefficients over atoms. An atom is a `Symbol`, a
`FloorQuotient` (p // q) or a `PositivePart` (max(p, 0)). The other operations are written with these three, so that
equal quantities mostly meet in one form: mod is p - q*(p // q), ceil is (p + q - 1) // q, min(a, b) is
a - max(a - b, 0). Whatever has no symbols is a plain int, and costs what ints cost.

Every rewrite is exact for all integer values of the symbols that respect their `minimum`, as long as nothing is divided
by zero. Expressions have bounded size: what would grow beyond it becomes an opaque symbol, the same one each time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

MAXIMUM_SIZE = 128
"""Most symbols and operations one expression may hold, nested ones included."""
MAXIMUM_DEPTH = 12
"""Most levels of // and max within each other."""
MAXIMUM_BITS = 128
"""Most bits of a coefficient or constant that arithmetic with symbols, and `product`, may yield."""
_LARGEST = 1 << MAXIMUM_BITS
_DIVISION_STEPS = 64
_RELAXATIONS = 3


class Symbol:
    """A named integer, at least `minimum` (None: any). `unknown`: the model has no name for it, we made one up."""

    __slots__ = ("_hash", "depth", "key", "minimum", "name", "size", "unknown")

    def __init__(self, name: str, minimum: int | None, unknown: bool) -> None:
        self.name = name
        self.minimum = minimum
        self.unknown = unknown
        self.key = name
        self.size = 1
        self.depth = 0
        self._hash = hash((name, minimum, unknown))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Symbol)
            and self.name == other.name
            and self.minimum == other.minimum
            and self.unknown == other.unknown
        )

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


class FloorQuotient:
    """numerator // denominator, rounded towards minus infinity."""

    __slots__ = ("_hash", "_key", "denominator", "depth", "numerator", "size")

    def __init__(self, numerator: Dimension, denominator: Dimension) -> None:
        self.numerator = numerator
        self.denominator = denominator
        self._key = ""
        self.size: int = 1 + _size(numerator) + _size(denominator)
        self.depth: int = 1 + max(_depth(numerator), _depth(denominator))
        self._hash = hash((numerator, denominator))

    @property
    def key(self) -> str:
        """How it is written, and sorted."""
        if not self._key:
            self._key = f"{_in_brackets(self.numerator)}//{_in_brackets(self.denominator)}"
        return self._key

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, FloorQuotient)
            and self._hash == other._hash
            and self.numerator == other.numerator
            and self.denominator == other.denominator
        )

    def __str__(self) -> str:
        return self.key

    __repr__ = __str__


class PositivePart:
    """max(argument, 0)."""

    __slots__ = ("_hash", "_key", "argument", "depth", "size")

    def __init__(self, argument: Expression) -> None:
        self.argument = argument
        self._key = ""
        self.size: int = 1 + argument.size
        self.depth: int = 1 + argument.depth
        self._hash = hash(("max", argument))

    @property
    def key(self) -> str:
        """How it is written, and sorted."""
        if not self._key:
            self._key = f"max({self.argument}, 0)"
        return self._key

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, PositivePart) and self._hash == other._hash and self.argument == other.argument
        )

    def __str__(self) -> str:
        return self.key

    __repr__ = __str__


Atom = Symbol | FloorQuotient | PositivePart
Monomial = tuple[tuple[Atom, int], ...]
"""Atoms and their exponents, sorted by the atoms' keys; () is the monomial of the constant."""


class Expression:
    """A polynomial that is no constant. Made by arithmetic on `symbol(...)`, never directly; immutable and hashable."""

    __slots__ = ("_hash", "depth", "size", "terms")

    def __init__(self, terms: dict[Monomial, int]) -> None:
        self.terms: Mapping[Monomial, int] = terms
        self._hash: int | None = None
        size = depth = 0
        for monomial in terms:
            size += 1
            for atom, _ in monomial:
                size += atom.size
                if atom.depth > depth:
                    depth = atom.depth
        self.size: int = size
        self.depth: int = depth

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self.terms.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Expression) and self.terms == other.terms)

    def __add__(self, other: Dimension) -> Dimension:
        if other == 0:
            return self
        terms = dict(self.terms)
        for monomial, coefficient in _terms(other):
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return _from_terms(terms)

    __radd__ = __add__

    def __neg__(self) -> Expression:
        return Expression({monomial: -coefficient for monomial, coefficient in self.terms.items()})

    def __sub__(self, other: Dimension) -> Dimension:
        return self + -other

    def __rsub__(self, other: int) -> Dimension:
        return -self + other

    def __mul__(self, other: Dimension) -> Dimension:
        if isinstance(other, int):
            return _from_terms({monomial: coefficient * other for monomial, coefficient in self.terms.items()})
        if len(self.terms) * len(other.terms) > MAXIMUM_SIZE:
            return _opaque(f"({self})*({other})", bounded=_is_natural(self) and _is_natural(other))
        terms: dict[Monomial, int] = {}
        for monomial, coefficient in self.terms.items():
            for other_monomial, other_coefficient in other.terms.items():
                joined = _times(monomial, other_monomial)
                terms[joined] = terms.get(joined, 0) + coefficient * other_coefficient
        return _from_terms(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dimension) -> Dimension:
        return _floor_divide(self, other)

    def __rfloordiv__(self, other: int) -> Dimension:
        return _floor_divide(other, self)

    def __mod__(self, other: Dimension) -> Dimension:
        return self - other * (self // other)

    def __rmod__(self, other: int) -> Dimension:
        return other - self * (other // self)

    def __str__(self) -> str:
        atom = _sole_atom(self)
        if isinstance(atom, FloorQuotient):
            return atom.key
        text = ""
        for coefficient, factors in sorted_terms(self):
            sign = ("-" if coefficient < 0 else "") if not text else (" - " if coefficient < 0 else " + ")
            number = abs(coefficient)
            text += sign + (factors if number == 1 and factors else f"{number}*{factors}" if factors else str(number))
        return text

    __repr__ = __str__


Dimension = int | Expression
"""A size, known or symbolic."""


def symbol(name: str, *, minimum: int | None = 0, unknown: bool = False) -> Expression:
    """The expression that is one symbol. Two symbols of one name are equal if they agree in all else."""
    return Expression({((Symbol(name, minimum, unknown), 1),): 1})


def unknown_symbol(name: str) -> Expression:
    """A symbol for a size that the model has no name for; its own begins with a question mark."""
    return symbol(f"?{name}", unknown=True)


# ---------------------------------------------------------------- asking


def symbols(dimension: Dimension) -> frozenset[Symbol]:
    """Every symbol in it, those inside // and max included."""
    found: set[Symbol] = set()
    waiting: list[Dimension] = [dimension]
    while waiting:
        for monomial, _ in _terms(waiting.pop()):
            for atom, _ in monomial:
                if isinstance(atom, Symbol):
                    found.add(atom)
                elif isinstance(atom, FloorQuotient):
                    waiting += (atom.numerator, atom.denominator)
                else:
                    waiting.append(atom.argument)
    return frozenset(found)


def is_known(dimension: Dimension) -> bool:
    """Whether it is made of numbers and symbols of the model alone, so that naming these makes it a number."""
    return isinstance(dimension, int) or not any(each.unknown for each in symbols(dimension))


def sole_symbol(dimension: Dimension) -> Symbol | None:
    """The symbol, where the dimension is one and nothing else."""
    if isinstance(dimension, int) or len(dimension.terms) != 1:
        return None
    ((monomial, coefficient),) = dimension.terms.items()
    if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1 and isinstance(monomial[0][0], Symbol):
        return monomial[0][0]
    return None


def sorted_terms(dimension: Dimension) -> list[tuple[int, str]]:
    """The terms as (coefficient, "batch*seq^2"), highest degree first, the constant (with "") last."""
    order = sorted(_terms(dimension), key=lambda term: (-_degree(term[0]), term[1] < 0, _factors(term[0])))
    return [(coefficient, _factors(monomial)) for monomial, coefficient in order]


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
        bound = _least(terms)
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


def _least(terms: Mapping[Monomial, int | Fraction]) -> int | Fraction | None:
    total: int | Fraction = 0
    for monomial, coefficient in terms.items():
        for atom, exponent in monomial:
            least = _least_of_atom(atom)
            if least is None or least < 0:
                return None
            coefficient *= least**exponent
        if monomial and terms[monomial] < 0:
            return None
        total += coefficient
    return total


def _least_of_atom(atom: Atom) -> int | None:
    if isinstance(atom, Symbol):
        return atom.minimum
    if isinstance(atom, PositivePart):
        return max(lower_bound(atom.argument) or 0, 0)
    numerator, denominator = lower_bound(atom.numerator), lower_bound(atom.denominator)
    if numerator is None or numerator < 0 or denominator is None or denominator < 0:
        return None
    return numerator // atom.denominator if isinstance(atom.denominator, int) else 0


def _relaxed(terms: Mapping[Monomial, int | Fraction]) -> dict[Monomial, int | Fraction] | None:
    """A polynomial that is never above: one p // c or max(p, 0), best one subtracted, replaced by its linear bound.

    (p - c + 1)/c <= p // c <= p/c, and p <= max(p, 0) <= p - min(lower bound of p, 0).
    """
    for monomial, coefficient in sorted(terms.items(), key=lambda term: term[1] > 0):
        for index, (atom, exponent) in enumerate(monomial):
            if isinstance(atom, Symbol) or exponent != 1:
                continue
            others = monomial[:index] + monomial[index + 1 :]
            if any((least := _least_of_atom(other)) is None or least < 0 for other, _ in others):
                continue
            bound = _linear_bound(atom, above=coefficient < 0)
            if bound is None:
                continue
            numerator, denominator = bound
            result = dict(terms)
            del result[monomial]
            for factor, factor_coefficient in _terms(numerator):
                joined = _times(others, factor)
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
    if dimension.terms[_leading(dimension.terms)] < 0:
        return dimension + positive_part(-dimension)  # max(p, 0) = p + max(-p, 0)
    content = math.gcd(*dimension.terms.values())
    if content > 1:
        return content * positive_part(_cancelled(dimension, content))
    constant = dimension.terms.get((), 0)
    atom = _sole_atom(dimension - constant)
    if isinstance(atom, PositivePart) and constant <= 0:
        return positive_part(atom.argument + constant)
    return _from_atom(PositivePart(dimension), bounded=True)


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


def ceil_divide(dimension: Dimension, divisor: Dimension) -> Dimension:
    """dimension / divisor, rounded up."""
    if isinstance(divisor, int) and divisor > 0:
        return (dimension + (divisor - 1)) // divisor
    return -(-dimension // divisor)


def product(dimensions: Iterable[Dimension]) -> Dimension:
    """All of them multiplied; 1 for none. A number of more than MAXIMUM_BITS becomes an opaque symbol."""
    total: Dimension = 1
    for dimension in dimensions:
        total = total * dimension
        if isinstance(total, int) and total.bit_length() > MAXIMUM_BITS:
            return _opaque(hex(total), bounded=total >= 0)
    return total


def exact_quotient(dimension: Dimension, divisor: Dimension) -> Dimension | None:
    """The polynomial q with dimension == q * divisor for every value of the symbols; None where there is none."""
    if divisor == 0:
        return None
    if isinstance(divisor, int):
        if any(coefficient % divisor for _, coefficient in _terms(dimension)):
            return None
        return _from_terms({monomial: coefficient // divisor for monomial, coefficient in _terms(dimension)})
    if isinstance(dimension, int):
        return 0 if dimension == 0 else None
    if dimension == divisor:
        return 1
    lead = _leading(divisor.terms)
    rest: Dimension = dimension
    quotient: Dimension = 0
    for _ in range(_DIVISION_STEPS):
        if isinstance(rest, int):
            return quotient if rest == 0 else None
        step = _term_quotient(rest.terms, _leading(rest.terms), divisor.terms, lead)
        if step is None:
            return None
        quotient = quotient + step
        rest = rest - step * divisor
    return None


def _floor_divide(dimension: Dimension, divisor: Dimension) -> Dimension:
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
            whole = whole + (_term_quotient(dimension.terms, monomial, divisor.terms, lead) or 0)
        if whole != 0:
            return whole + _floor_divide(dimension - whole * divisor, divisor)
    if is_at_least(dimension, 0) and is_at_least(divisor, dimension + 1):
        return 0
    return _from_atom(FloorQuotient(dimension, divisor), bounded=is_at_least(dimension, 0) and is_at_least(divisor, 0))


def _cut(monomial: Monomial, coefficient: int, divisor: int) -> int:
    if monomial and coefficient < 0:
        return -(-coefficient // divisor)
    return coefficient // divisor


def _common_factor(first: Expression, second: Expression) -> Dimension:
    """The largest term that divides every term of both, with a positive coefficient."""
    monomials = [*first.terms, *second.terms]
    shared = dict(monomials[0])
    for monomial in monomials[1:]:
        exponents = dict(monomial)
        shared = {atom: min(power, exponents[atom]) for atom, power in shared.items() if atom in exponents}
    content = math.gcd(*first.terms.values(), *second.terms.values())
    return _from_terms({tuple(sorted(shared.items(), key=_key_of_power)): content})


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
    if divisor >= _LARGEST:
        return _opaque(f"({dimension})//{divisor}", bounded=_is_natural(dimension))
    parts = {monomial: _cut(monomial, value, divisor) for monomial, value in dimension.terms.items()}
    whole = _from_terms(parts)
    rest = dimension if whole == 0 else dimension - whole * divisor
    if isinstance(rest, int):
        return whole + rest // divisor
    if rest.terms[_leading(rest.terms)] < 0:
        return whole - _divide_by_number(-rest + (divisor - 1), divisor)
    constant = rest.terms.get((), 0)
    common = math.gcd(divisor, *(value for monomial, value in rest.terms.items() if monomial))
    if common > 1:
        reduced = _cancelled(rest - constant, common)
        return whole + _divide_by_number(reduced + constant // common, divisor // common)
    atom = _sole_atom(rest - constant)
    if isinstance(atom, FloorQuotient) and isinstance(atom.denominator, int) and atom.denominator > 0:
        return whole + _divide_by_number(atom.numerator + constant * atom.denominator, divisor * atom.denominator)
    if is_at_least(rest, 0) and is_at_least(divisor - 1, rest):
        return whole
    return whole + _from_atom(FloorQuotient(rest, divisor), bounded=is_at_least(rest, 0))


# ---------------------------------------------------------------- the representation


def _terms(dimension: Dimension) -> Iterable[tuple[Monomial, int]]:
    if isinstance(dimension, Expression):
        return dimension.terms.items()
    return (((), dimension),) if dimension else ()


def _from_terms(terms: dict[Monomial, int]) -> Dimension:
    if 0 in terms.values():
        terms = {monomial: coefficient for monomial, coefficient in terms.items() if coefficient}
    if not terms:
        return 0
    if len(terms) == 1 and () in terms:
        return terms[()]
    made = Expression(terms)
    if made.size > MAXIMUM_SIZE or max(terms.values()) >= _LARGEST or min(terms.values()) <= -_LARGEST:
        return _opaque(str(made), bounded=_is_natural(made))
    return made


def _from_atom(atom: Atom, *, bounded: bool) -> Expression:
    if atom.size > MAXIMUM_SIZE or atom.depth > MAXIMUM_DEPTH:
        return _opaque(atom.key, bounded=bounded)
    return Expression({((atom, 1),): 1})


def _opaque(text: str, *, bounded: bool) -> Expression:
    """A symbol that stands for an expression too large to keep: the same one whenever that expression is met."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return symbol(f"?large_{digest[:16]}", minimum=0 if bounded else None, unknown=True)


def _is_natural(expression: Expression) -> bool:
    """Whether the expression is never negative, by a look at its signs alone."""
    least = _least(expression.terms)
    return least is not None and least >= 0


def _times(first: Monomial, second: Monomial) -> Monomial:
    if not first or not second:
        return first or second
    exponents = dict(first)
    for atom, exponent in second:
        exponents[atom] = exponents.get(atom, 0) + exponent
    return tuple(sorted(exponents.items(), key=_key_of_power))


def _key_of_power(power: tuple[Atom, int]) -> str:
    return power[0].key


def _degree(monomial: Monomial) -> int:
    return sum(exponent for _, exponent in monomial)


def _leading(terms: Mapping[Monomial, int]) -> Monomial:
    """The largest monomial in graded lexicographic order (which products respect, as long division needs it)."""
    if len(terms) == 1:
        return next(iter(terms))
    names = sorted({atom.key for monomial in terms for atom, _ in monomial})

    def order(monomial: Monomial) -> tuple[int, list[int]]:
        exponents = {atom.key: exponent for atom, exponent in monomial}
        return _degree(monomial), [exponents.get(name, 0) for name in names]

    return max(terms, key=order)


def _term_quotient(
    terms: Mapping[Monomial, int], monomial: Monomial, divisor: Mapping[Monomial, int], lead: Monomial
) -> Dimension | None:
    coefficient, rest = divmod(terms[monomial], divisor[lead])
    if rest:
        return None
    exponents = dict(monomial)
    for atom, exponent in lead:
        left = exponents.get(atom, 0) - exponent
        if left < 0:
            return None
        exponents[atom] = left
    return _from_terms({tuple((atom, exponent) for atom, exponent in exponents.items() if exponent): coefficient})


def _sole_atom(dimension: Dimension) -> Atom | None:
    """The atom, where the dimension is one atom with coefficient and exponent 1."""
    if isinstance(dimension, int) or len(dimension.terms) != 1:
        return None
    ((monomial, coefficient),) = dimension.terms.items()
    return monomial[0][0] if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1 else None


def _size(dimension: Dimension) -> int:
    return dimension.size if isinstance(dimension, Expression) else 0


def _depth(dimension: Dimension) -> int:
    return dimension.depth if isinstance(dimension, Expression) else 0


def _factors(monomial: Monomial) -> str:
    return "*".join(_power(atom, exponent) for atom, exponent in monomial)


def _power(atom: Atom, exponent: int) -> str:
    text = f"({atom})" if isinstance(atom, FloorQuotient) else str(atom)
    return text if exponent == 1 else f"{text}^{exponent}"


def _in_brackets(dimension: Dimension) -> str:
    if isinstance(dimension, int) or isinstance(_sole_atom(dimension), Symbol | PositivePart):
        return str(dimension)
    return f"({dimension})"
