"""Figures as people read them."""

import math

import pytest

from onnxctl.render.units import count_of, format_bytes, format_change, format_count, format_duration, format_rate


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (978, "978 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (26_100_000, "26.1 MB"),
        (999_600, "1.00 MB"),
        (4_400_000_000, "4.40 GB"),
        (5 * 10**18, "5,000 PB"),
        (None, "?"),
    ],
)
def test_bytes(count: int | None, shown: str) -> None:
    assert format_bytes(count) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (9408, "9,408"), (999_999, "999,999"), (12_345_678, "12.3 M"), (1_100_048_384, "1.10 G")],
)
def test_counts(count: int, shown: str) -> None:
    assert format_count(count) == shown


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0 ns"),
        (812.4, "812 ns"),
        (999.9, "1.00 µs"),
        (12_345, "12.3 µs"),
        (1_240_000, "1.24 ms"),
        (2.5e9, "2.50 s"),
        (185e9, "3 min 5 s"),
        (math.nan, "?"),
    ],
)
def test_durations(nanoseconds: float, shown: str) -> None:
    assert format_duration(nanoseconds) == shown


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (5, 5, "="),
        (0, 5, "new"),
        (100, 80, "-20 %"),
        (1000, 1023, "+2.3 %"),
        (10_000, 9_997, "-0.03 %"),
        (100_000_000, 100_000_040, "< +0.01 %"),
        (100_000_000, 99_999_999, "> -0.01 %"),
    ],
)
def test_changes(before: int, after: int, shown: str) -> None:
    assert format_change(before, after) == shown


def test_nouns_agree_with_their_counts() -> None:
    assert count_of(1, "run") == "1 run"
    assert count_of(0, "run") == "0 runs"
    assert count_of(2, "box", "boxes") == "2 boxes"


def test_rates_are_never_in_scientific_notation() -> None:
    assert format_rate(56863.2, "runs") == "56,863 runs per second"
    assert format_rate(0.25, "runs") == "0.25 runs per second"
