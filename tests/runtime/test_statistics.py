from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxctl.runtime.statistics import (
    Pair,
    _student_quantile,
    compare_pairs,
    count_outliers,
    median_interval,
    percentile,
    summarize_latency,
    trend,
)

SAMPLES = st.lists(st.integers(min_value=1, max_value=10**12), min_size=1, max_size=200)


@given(SAMPLES, st.floats(min_value=0, max_value=100))
def test_percentile_is_numpys(samples: list[int], percent: float) -> None:
    expected = np.percentile(np.array(samples, np.float64), percent)
    assert percentile(sorted(samples), percent) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(("samples", "percent"), [([], 50), ([1], -1), ([1], 100.5)])
def test_percentile_refuses_what_has_none(samples: list[int], percent: float) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile(samples, percent)


@given(SAMPLES)
def test_summary_is_in_order_and_agrees_with_numpy(samples: list[int]) -> None:
    latency = summarize_latency(samples)
    rising = (
        latency.min_ns,
        latency.median_low_ns,
        latency.median_ns,
        latency.median_high_ns,
        latency.max_ns,
    )
    assert list(rising) == sorted(rising)
    tail = (latency.median_ns, latency.p90_ns, latency.p95_ns, latency.p99_ns, latency.p99_9_ns, latency.max_ns)
    assert list(tail) == sorted(tail)
    assert latency.sample_count == len(samples)
    assert latency.mean_ns == pytest.approx(float(np.mean(samples)))
    deviation = float(np.std(samples, ddof=1)) if len(samples) > 1 else 0.0
    assert latency.std_ns == pytest.approx(deviation, rel=1e-6, abs=1e-3)


@given(SAMPLES, st.randoms())
def test_summary_does_not_depend_on_the_order(samples: list[int], shuffler: random.Random) -> None:
    shuffled = list(samples)
    shuffler.shuffle(shuffled)
    assert summarize_latency(shuffled) == summarize_latency(samples)


@pytest.mark.parametrize(("count", "low", "high"), [(6, 1, 6), (10, 2, 9), (20, 6, 15), (50, 18, 33), (100, 40, 61)])
def test_median_interval_has_the_ranks_of_the_tables(count: int, low: int, high: int) -> None:
    """The ranks as in Conover's and Hahn and Meeker's tables for 95 %."""
    assert median_interval(range(1, count + 1)) == (low, high)


def test_median_interval_of_few_samples_is_their_whole_range() -> None:
    assert median_interval([1, 2, 3]) == (1, 3)


@pytest.mark.parametrize("count", [15, 60, 1500])
def test_median_interval_covers_the_true_median_as_often_as_it_says(count: int) -> None:
    generator = random.Random(count)
    trials = 400
    covered = 0
    for _ in range(trials):
        low, high = median_interval(sorted(generator.lognormvariate(0, 1) for _ in range(count)))
        covered += low <= 1.0 <= high
    assert 0.92 * trials <= covered  # 0.95 less 2.7 standard deviations of the experiment


def test_outliers_are_counted_and_ordinary_noise_is_not() -> None:
    generator = random.Random(1)
    quiet = [generator.gauss(100, 2) for _ in range(1000)]
    assert count_outliers(quiet) == 0
    assert count_outliers([*quiet, 500, 700]) == 2
    assert count_outliers([5] * 10 + [100]) == 0  # nothing to judge the spread by
    assert count_outliers([]) == 0


def test_trend_finds_a_drift_of_three_percent_in_noise() -> None:
    generator = random.Random(2)
    rising = [100 * (1 + 0.06 * index / 2000) + generator.gauss(0, 3) for index in range(2000)]
    assert trend(rising) == pytest.approx(0.04, abs=0.01)  # first third against last: two thirds of 6 %
    assert trend(rising[::-1]) == pytest.approx(-0.04, abs=0.01)


def test_trend_rarely_sees_one_in_noise() -> None:
    generator = random.Random(3)
    alarms = sum(trend([generator.gauss(100, 20) for _ in range(48)]) != 0.0 for _ in range(300))
    assert alarms <= 9  # significance 1 %


@given(st.lists(st.integers(min_value=0, max_value=1000), max_size=60))
def test_trend_of_anything_is_finite(samples: list[int]) -> None:
    assert math.isfinite(trend(samples))


# ---------------------------------------------------------------- two sets of samples


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (7, 2.365), (30, 2.042)]
)
def test_students_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert _student_quantile(degrees, 0.975) == pytest.approx(quantile, rel=0.02)


def simulated(
    generator: random.Random, ratio: float, *, rounds: int = 5, pairs: int = 100, session: float = 0.0
) -> list[list[Pair]]:
    """Pairs of a machine that drifts and stutters; session is how much each set-up differs from the last."""
    found = []
    for _ in range(rounds):
        offset = math.exp(generator.gauss(0, session))
        speed, made = 1.0, []
        for _ in range(pairs):
            speed *= math.exp(generator.gauss(0, 0.01))
            stutter = [math.exp(generator.gauss(0, 0.05)) * (3 if generator.random() < 0.02 else 1) for _ in "ab"]
            made.append((speed * stutter[0] * 1e6, speed * stutter[1] * 1e6 * ratio * offset))
        found.append(made)
    return found


@pytest.mark.parametrize(("rounds", "session"), [(5, 0.0), (5, 0.02), (1, 0.0)])
def test_two_of_the_same_are_told_apart_as_rarely_as_promised(rounds: int, session: float) -> None:
    generator = random.Random(rounds)
    estimates = [compare_pairs(simulated(generator, 1.0, rounds=rounds, pairs=60, session=session)) for _ in range(300)]
    alarms = sum(not each.low <= 1 <= each.high for each in estimates)
    assert alarms <= 0.05 * len(estimates)


@pytest.mark.parametrize("ratio", [0.97, 1.03])
def test_three_percent_are_found_in_noise(ratio: float) -> None:
    generator = random.Random(1)
    estimates = [compare_pairs(simulated(generator, ratio, pairs=150, session=0.003)) for _ in range(40)]
    found = sum(each.high < 1 if ratio < 1 else each.low > 1 for each in estimates)
    assert found >= 36
    assert all(abs(each.ratio - ratio) < 0.02 for each in estimates)


PAIRS = st.lists(st.tuples(st.floats(min_value=1, max_value=1e12), st.floats(min_value=1, max_value=1e12)), min_size=1)


@given(st.lists(PAIRS, min_size=1, max_size=4))
def test_the_ratio_lies_in_its_interval_and_turns_around(rounds: list[list[Pair]]) -> None:
    forth = compare_pairs(rounds)
    back = compare_pairs([[(second, first) for first, second in pairs] for pairs in rounds])
    assert forth.low <= forth.ratio <= forth.high
    assert (back.ratio, back.low, back.high) == pytest.approx((1 / forth.ratio, 1 / forth.high, 1 / forth.low))


def test_there_is_no_ratio_of_nothing() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        compare_pairs([[]])
