"""Symbolic integers against brute force: every expression equals what plain integers give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxctl.model import dimensions
from onnxctl.model.dimensions import Dimension, Expression, evaluate, exact_quotient, lower_bound, substitute, symbol

NAMES = ("a", "b", "c")
Numbers = dict[str, int]
Built = tuple[Dimension, Callable[[Numbers], int | None]]


def _leaves() -> st.SearchStrategy[Built]:
    constants = st.integers(-9, 9).map(lambda value: (value, lambda _: value))
    names = st.sampled_from(NAMES).map(lambda name: (symbol(name), lambda numbers: numbers[name]))
    return constants | names


def _apply(operation: str, first: Built, second: Built) -> Built:
    symbolic = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "//": lambda a, b: a // b,
        "%": lambda a, b: a % b,
        "max": dimensions.maximum,
        "min": dimensions.minimum,
        "ceil": dimensions.ceil_divide,
    }
    plain: dict[str, Callable[[int, int], int]] = {
        **symbolic,
        "max": max,
        "min": min,
        "ceil": lambda a, b: -(-a // b),
    }

    def number(numbers: Numbers) -> int | None:
        left, right = first[1](numbers), second[1](numbers)
        if left is None or right is None or (right == 0 and operation in ("//", "%", "ceil")):
            return None
        return plain[operation](left, right)

    try:
        return symbolic[operation](first[0], second[0]), number
    except ZeroDivisionError:
        return 0, lambda _: None


def _grow(inner: st.SearchStrategy[Built]) -> st.SearchStrategy[Built]:
    operations = st.sampled_from(("+", "-", "*", "//", "%", "max", "min", "ceil"))
    return st.builds(_apply, operations, inner, inner)


BUILT = st.recursive(_leaves(), _grow, max_leaves=7)
VALUES = st.fixed_dictionaries({name: st.integers(0, 40) for name in NAMES})


def _opaque(dimension: Dimension) -> bool:
    return any(each.unknown for each in dimensions.symbols(dimension))


@settings(max_examples=1500, deadline=None)
@given(BUILT, VALUES)
def test_equals_brute_force(built: Built, numbers: Numbers) -> None:
    expected = built[1](numbers)
    if expected is None or _opaque(built[0]):
        return
    assert evaluate(built[0], numbers) == expected
    assert substitute(built[0], numbers) == expected


@settings(max_examples=1000, deadline=None)
@given(BUILT, VALUES)
def test_bounds_hold(built: Built, numbers: Numbers) -> None:
    expected = built[1](numbers)
    if expected is None or _opaque(built[0]):
        return
    least, most = lower_bound(built[0]), dimensions.upper_bound(built[0])
    assert least is None or least <= expected
    assert most is None or most >= expected


@settings(max_examples=500, deadline=None)
@given(BUILT, BUILT)
def test_products_divide_exactly(first: Built, second: Built) -> None:
    if second[0] == 0 or _opaque(first[0] * second[0]):
        return
    assert exact_quotient(first[0] * second[0], second[0]) == first[0]


@settings(max_examples=500, deadline=None)
@given(BUILT, BUILT, VALUES)
def test_equal_and_different_are_proven(first: Built, second: Built, numbers: Numbers) -> None:
    one, other = first[1](numbers), second[1](numbers)
    if one is None or other is None or _opaque(first[0]) or _opaque(second[0]):
        return
    if first[0] == second[0]:
        assert one == other and hash(first[0]) == hash(second[0])
    if dimensions.differs(first[0], second[0]):
        assert one != other


n, batch, seq = symbol("n"), symbol("batch"), symbol("seq")


@pytest.mark.parametrize(
    ("dimension", "text"),
    [
        ((4 * n) // 4, "n"),
        ((n * 8) // 8, "n"),
        ((8 * n) // 4, "2*n"),
        (2 * batch * seq + 1, "2*batch*seq + 1"),
        (batch * seq * seq - 3, "batch*seq^2 - 3"),
        ((n - 1) // 2 + 1, "(n + 1)//2"),
        (((n + 1) // 2 + 1) // 2, "(n + 3)//4"),
        (n + (7 - n % 7) % 7, "7*((n + 6)//7)"),
        ((n + (7 - n % 7) % 7) // 7, "(n + 6)//7"),
        ((batch * seq * 12 * 64) // (batch * seq), "768"),
        ((batch * batch - seq * seq) // (batch - seq), "batch + seq"),
        (dimensions.maximum(n, 0), "n"),
        (dimensions.maximum(n - 1, 0), "max(n - 1, 0)"),
        (dimensions.positive_part(n - 3) + dimensions.minimum(n, 3), "n"),
        (dimensions.positive_part(dimensions.positive_part(n - 1) - 1), "max(n - 2, 0)"),
        ((n % 7) // 7, "0"),
        (n - n, "0"),
        (n // batch, "n//batch"),
        ((batch * seq * n) // (8 * batch * seq), "n//8"),
        ((n // batch) // seq, "(n//batch)//seq"),
    ],
)
def test_meets_in_one_readable_form(dimension: Dimension, text: str) -> None:
    assert str(dimension) == text


def test_constants_are_plain_ints() -> None:
    assert type(n - n + 4) is int
    assert type((n * 6) // (n * 3)) is int


def test_a_larger_minimum_proves_more() -> None:
    positive = symbol("n", minimum=1)
    assert dimensions.positive_part(positive - 1) == positive - 1
    assert dimensions.positive_part(n - 1) != n - 1


def test_parts_of_a_padded_size_add_up() -> None:
    padded = 7 * ((n + 6) // 7)
    rolled = dimensions.positive_part(padded - 3) + dimensions.positive_part(dimensions.minimum(padded, 3))
    assert rolled == padded
    assert lower_bound(padded - n) == 0


def test_no_division_by_zero_is_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        n // 0
    with pytest.raises(ZeroDivisionError):
        substitute(n // batch, {"batch": 0})


def test_large_expressions_become_one_opaque_symbol() -> None:
    def grown() -> Dimension:
        total: Dimension = 1
        for index in range(40):
            total = total * (symbol(f"s{index}") + 1)
        return total

    assert isinstance(grown(), Expression)
    assert _opaque(grown())
    assert grown() == grown()
    assert len(str(grown())) < 5000
    deep: Dimension = n
    for index in range(200):
        deep = (deep + index) // symbol(f"d{index}", minimum=1)
    assert isinstance(deep, Expression) and deep.depth <= dimensions.MAXIMUM_DEPTH + 1


def test_products_of_numbers_are_bounded() -> None:
    huge = dimensions.product([2**62] * 10_000)
    assert isinstance(huge, Expression)
    assert dimensions.product([2, 3, n]) == 6 * n


def test_known_means_made_of_the_models_symbols() -> None:
    assert dimensions.is_known(batch * seq + 1)
    assert not dimensions.is_known(batch * symbol("u", unknown=True))
    assert dimensions.sole_symbol(batch) is not None and dimensions.sole_symbol(batch + 1) is None
    assert dimensions.sorted_terms(3 * batch * seq * seq + 2 * n + 5) == [(3, "batch*seq^2"), (2, "n"), (5, "")]
