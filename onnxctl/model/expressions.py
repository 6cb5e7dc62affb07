"""The representation of symbolic integers: polynomials over symbols, floor quotients and positive parts.

Use them through `onnxctl.model.dimensions`, which has the operations that simplify, and says what is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

MAXIMUM_SIZE = 128
"""Most symbols and operations one expression may hold, nested ones included."""
MAXIMUM_DEPTH = 12
"""Most levels of // and max within each other."""
MAXIMUM_BITS = 128
"""Most bits of a coefficient or constant that arithmetic with symbols may yield."""
LARGEST = 1 << MAXIMUM_BITS


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
    """numerator // denominator, rounded towards minus infinity; never below `minimum` (None: nobody knows)."""

    __slots__ = ("_hash", "_key", "denominator", "depth", "minimum", "numerator", "size")

    def __init__(self, numerator: Dimension, denominator: Dimension, minimum: int | None) -> None:
        self.numerator = numerator
        self.denominator = denominator
        self.minimum = minimum
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
    """max(argument, 0); never below `minimum`."""

    __slots__ = ("_hash", "_key", "argument", "depth", "minimum", "size")

    def __init__(self, argument: Expression, minimum: int) -> None:
        self.argument = argument
        self.minimum = minimum
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
        for monomial, coefficient in terms_of(other):
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return from_terms(terms)

    __radd__ = __add__

    def __neg__(self) -> Expression:
        return Expression({monomial: -coefficient for monomial, coefficient in self.terms.items()})

    def __sub__(self, other: Dimension) -> Dimension:
        return self + -other

    def __rsub__(self, other: int) -> Dimension:
        return -self + other

    def __mul__(self, other: Dimension) -> Dimension:
        if isinstance(other, int):
            if other == 1:
                return self
            return from_terms({monomial: coefficient * other for monomial, coefficient in self.terms.items()})
        if len(self.terms) * len(other.terms) > MAXIMUM_SIZE:
            return opaque(f"({self})*({other})", bounded=is_natural(self) and is_natural(other))
        terms: dict[Monomial, int] = {}
        for monomial, coefficient in self.terms.items():
            for other_monomial, other_coefficient in other.terms.items():
                joined = multiply_monomials(monomial, other_monomial)
                terms[joined] = terms.get(joined, 0) + coefficient * other_coefficient
        return from_terms(terms)

    __rmul__ = __mul__

    # Division simplifies, for which it must compare: it lies above this module, hence the late imports.

    def __floordiv__(self, other: Dimension) -> Dimension:
        from onnxctl.model.dimensions import floor_divide

        return floor_divide(self, other)

    def __rfloordiv__(self, other: int) -> Dimension:
        from onnxctl.model.dimensions import floor_divide

        return floor_divide(other, self)

    def __mod__(self, other: Dimension) -> Dimension:
        return self - other * (self // other)

    def __rmod__(self, other: int) -> Dimension:
        return other - self * (other // self)

    def __str__(self) -> str:
        atom = sole_atom(self)
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
        for monomial, _ in terms_of(waiting.pop()):
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
    order = sorted(terms_of(dimension), key=lambda term: (-_degree(term[0]), term[1] < 0, _factors(term[0])))
    return [(coefficient, _factors(monomial)) for monomial, coefficient in order]


# ---------------------------------------------------------------- the representation


def terms_of(dimension: Dimension) -> Iterable[tuple[Monomial, int]]:
    """The monomials and their coefficients, of a number too."""
    if isinstance(dimension, Expression):
        return dimension.terms.items()
    return (((), dimension),) if dimension else ()


def total_of(dimensions: Iterable[Dimension]) -> Dimension:
    """Their sum, of which one expression is made in the end."""
    number, terms = 0, dict[Monomial, int]()
    for each in dimensions:
        if isinstance(each, int):
            number += each
            continue
        for monomial, coefficient in each.terms.items():
            terms[monomial] = terms.get(monomial, 0) + coefficient
    if not terms:
        return number
    terms[()] = terms.get((), 0) + number
    return from_terms(terms)


def from_terms(terms: dict[Monomial, int]) -> Dimension:
    """The sum of the terms: an int where it is one, an opaque symbol where it is too large."""
    if 0 in terms.values():
        terms = {monomial: coefficient for monomial, coefficient in terms.items() if coefficient}
    if not terms:
        return 0
    if len(terms) == 1 and () in terms:
        return terms[()]
    made = Expression(terms)
    if made.size > MAXIMUM_SIZE or max(terms.values()) >= LARGEST or min(terms.values()) <= -LARGEST:
        return opaque(str(made), bounded=is_natural(made))
    return made


def from_atom(atom: Atom) -> Expression:
    """The expression that is this atom."""
    if atom.size > MAXIMUM_SIZE or atom.depth > MAXIMUM_DEPTH:
        return opaque(atom.key, bounded=atom.minimum is not None and atom.minimum >= 0)
    return Expression({((atom, 1),): 1})


def opaque(text: str, *, bounded: bool) -> Expression:
    """A symbol that stands for an expression too large to keep: the same one whenever that expression is met."""
    import hashlib

    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return symbol(f"?large_{digest[:16]}", minimum=0 if bounded else None, unknown=True)


def is_natural(expression: Expression) -> bool:
    """Whether the expression is never negative, by a look at its signs alone."""
    least = least_of_terms(expression.terms)
    return least is not None and least >= 0


def multiply_monomials(first: Monomial, second: Monomial) -> Monomial:
    """Their product, sorted as monomials are."""
    if not first or not second:
        return first or second
    exponents = dict(first)
    for atom, exponent in second:
        exponents[atom] = exponents.get(atom, 0) + exponent
    return tuple(sorted(exponents.items(), key=key_of_power))


def key_of_power(power: tuple[Atom, int]) -> str:
    """What monomials are sorted by."""
    return power[0].key


def _degree(monomial: Monomial) -> int:
    return sum(exponent for _, exponent in monomial)


def leading_monomial(terms: Mapping[Monomial, int]) -> Monomial:
    """The largest monomial in graded lexicographic order (which products respect, as long division needs it)."""
    if len(terms) == 1:
        return next(iter(terms))
    names = sorted({atom.key for monomial in terms for atom, _ in monomial})

    def order(monomial: Monomial) -> tuple[int, list[int]]:
        exponents = {atom.key: exponent for atom, exponent in monomial}
        return _degree(monomial), [exponents.get(name, 0) for name in names]

    return max(terms, key=order)


def divide_terms(
    terms: Mapping[Monomial, int], monomial: Monomial, divisor: Mapping[Monomial, int], lead: Monomial
) -> Dimension | None:
    """One term divided by the leading term of a divisor; None where that leaves a rest."""
    coefficient, rest = divmod(terms[monomial], divisor[lead])
    if rest:
        return None
    exponents = dict(monomial)
    for atom, exponent in lead:
        left = exponents.get(atom, 0) - exponent
        if left < 0:
            return None
        exponents[atom] = left
    return from_terms({tuple((atom, exponent) for atom, exponent in exponents.items() if exponent): coefficient})


def sole_atom(dimension: Dimension) -> Atom | None:
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
    if isinstance(dimension, int) or isinstance(sole_atom(dimension), Symbol | PositivePart):
        return str(dimension)
    return f"({dimension})"


def least_of_terms(terms: Mapping[Monomial, int | Fraction]) -> int | Fraction | None:
    """A bound from below by the minima of the atoms alone; None where a term is subtracted or might be negative."""
    total: int | Fraction = 0
    for monomial, coefficient in terms.items():
        for atom, exponent in monomial:
            least = atom.minimum
            if least is None or least < 0:
                return None
            coefficient *= least**exponent
        if monomial and terms[monomial] < 0:
            return None
        total += coefficient
    return total
