"""Statistics of latency samples: pure functions of numbers, without a clock and without onnxruntime."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from onnxctl.reports import LatencyStatistics, Verdict

CONFIDENCE = 0.95
LEAST_DIFFERENCE = 0.005
"""A smaller difference is not called one: the same program, started twice, differs by as much."""

OUTLIER_Z_SCORE = 14.826
"""Ten median absolute deviations (times 1.4826) from the median; hyperfine's threshold."""

TREND_BLOCKS = 24
TREND_SIGNIFICANCE = 0.01
TREND_EFFECT = 0.02
"""A trend counts where it is both unlikely by chance and larger than this share of the median."""

Pair = tuple[float, float]
"""A sample of the one and a sample of the other, taken right after each other in random order."""


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The percentile of ascending samples, by linear interpolation between closest ranks (numpy's default).

    Raises ValueError for no samples or a percent outside [0, 100].
    """
    if not ordered or not 0 <= percent <= 100:
        raise ValueError(f"no percentile {percent} of {len(ordered)} samples")
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    low, high = ordered[below], ordered[above]
    return float(min(max(low + (high - low) * (rank - below), low), high))


def middle_mean(samples: Sequence[float]) -> float:
    """The mean of the middle half of the samples, 0.0 for none: finer than the median of a clock with coarse steps."""
    ordered = sorted(samples)
    quarter = len(ordered) // 4
    return fmean(ordered[quarter : len(ordered) - quarter]) if ordered else 0.0


def median_interval(ordered: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """A confidence interval of the median of ascending samples, without assuming any distribution.

    Between the order statistics k and n + 1 - k, k the largest with P(Binomial(n, 1/2) < k) <= (1 - confidence) / 2
    (Conover, Practical Nonparametric Statistics, 3.2); the whole range where too few samples allow no such k.
    """
    count = len(ordered)
    if not count:
        raise ValueError("no median of no samples")
    k = _lower_rank(count, (1 - confidence) / 2)
    return float(ordered[k - 1]), float(ordered[count - k])


def _lower_rank(count: int, tail: float) -> int:
    if count > 1000:  # the normal approximation is exact enough by now; one rank further out to be safe
        return max(1, math.floor(count / 2 - NormalDist().inv_cdf(1 - tail) * math.sqrt(count) / 2) - 1)
    cumulative, k = 0.0, 0
    while k < count // 2:
        cumulative += math.comb(count, k) / 2**count
        if cumulative > tail:
            break
        k += 1
    return max(1, k)


def summarize_latency(samples_ns: Sequence[float]) -> LatencyStatistics:
    """Every statistic of the samples that a report shows. std_ns is the sample standard deviation (n - 1).

    Raises ValueError for no samples.
    """
    ordered = sorted(samples_ns)
    mean = math.fsum(ordered) / len(ordered) if ordered else 0.0
    squares = math.fsum((each - mean) ** 2 for each in ordered)
    low, high = median_interval(ordered)
    return LatencyStatistics(
        sample_count=len(ordered),
        min_ns=float(ordered[0]),
        mean_ns=mean,
        median_ns=percentile(ordered, 50),
        median_low_ns=low,
        median_high_ns=high,
        p90_ns=percentile(ordered, 90),
        p95_ns=percentile(ordered, 95),
        p99_ns=percentile(ordered, 99),
        p99_9_ns=percentile(ordered, 99.9),
        max_ns=float(ordered[-1]),
        std_ns=math.sqrt(squares / (len(ordered) - 1)) if len(ordered) > 1 else 0.0,
    )


def count_outliers(samples: Sequence[float]) -> int:
    """How many samples have a modified z-score above OUTLIER_Z_SCORE (Iglewicz and Hoaglin: 0.6745 |x - median| / MAD).

    0 where more than half of the samples are equal: there is no spread to judge by.
    """
    if not samples:
        return 0
    median = percentile(sorted(samples), 50)
    deviation = percentile(sorted(abs(each - median) for each in samples), 50)
    if deviation == 0:
        return 0
    return sum(0.6745 * abs(each - median) / deviation > OUTLIER_Z_SCORE for each in samples)


def trend(samples: Sequence[float]) -> float:
    """By how much the samples drift from their first third to their last, as a share of the median; 0.0 for no trend.

    Long runs are first reduced to medians of TREND_BLOCKS blocks. A drift counts where the Mann-Kendall test finds it
    at TREND_SIGNIFICANCE and it is larger than TREND_EFFECT; negative: the runs become faster.
    """
    blocks = _block_medians(samples)
    count = len(blocks)
    middle = percentile(sorted(blocks), 50) if blocks else 0.0
    if count < 5 or middle <= 0:
        return 0.0
    score = sum((b > a) - (b < a) for i, a in enumerate(blocks) for b in blocks[i + 1 :])
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    z = (abs(score) - 1) / deviation
    if z < NormalDist().inv_cdf(1 - TREND_SIGNIFICANCE / 2):
        return 0.0
    third = max(1, count // 3)
    drift = (percentile(sorted(blocks[-third:]), 50) - percentile(sorted(blocks[:third]), 50)) / middle
    return drift if abs(drift) > TREND_EFFECT else 0.0


def _block_medians(samples: Sequence[float]) -> list[float]:
    count = min(TREND_BLOCKS, len(samples))
    edges = [len(samples) * index // count for index in range(count + 1)] if count else []
    return [percentile(sorted(samples[a:b]), 50) for a, b in itertools.pairwise(edges)]


# ---------------------------------------------------------------- two sets of samples


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioEstimate:
    """How many times as long the second takes as the first, and the confidence interval of that ratio."""

    ratio: float
    low: float
    high: float


def compare_pairs(rounds: Sequence[Sequence[Pair]], confidence: float = CONFIDENCE) -> RatioEstimate:
    """The median ratio second / first of paired samples (all > 0), with an interval that assumes no distribution.

    Slow changes of the machine hit both samples of a pair and cancel out. Of all pairs together the interval of the
    median is exact where the order within each pair was random (`median_interval`, a sign test turned around). What
    differs from round to round, because both were set up anew, is in Student's interval of the rounds' medians, in
    logarithms; the interval reported spans both. A single round has the first one only.

    Raises ValueError for no pairs.
    """
    logs = [[math.log(second / first) for first, second in pairs] for pairs in rounds if pairs]
    together = sorted(itertools.chain.from_iterable(logs))
    if not together:
        raise ValueError("no ratio of no pairs")
    low, high = median_interval(together, confidence)
    middle = percentile(together, 50)
    if len(logs) > 1:
        medians = [percentile(sorted(each), 50) for each in logs]
        reach = _student_quantile(len(medians) - 1, 0.5 + confidence / 2) * stdev(medians) / math.sqrt(len(medians))
        low, high = min(low, fmean(medians) - reach), max(high, fmean(medians) + reach)
    return RatioEstimate(ratio=math.exp(middle), low=math.exp(min(low, middle)), high=math.exp(max(high, middle)))


def compare_medians(first: Sequence[float], second: Sequence[float]) -> RatioEstimate:
    """The ratio of the medians second / first of samples (all > 0) that were taken independently of each other.

    The interval spans from the lowest to the highest ratio of the two medians' intervals; each has the confidence that
    gives both together CONFIDENCE, so that it is rather too wide than too narrow.
    """
    each = math.sqrt(CONFIDENCE)
    ordered = sorted(first), sorted(second)
    (first_low, first_high), (second_low, second_high) = (median_interval(samples, each) for samples in ordered)
    ratio = percentile(ordered[1], 50) / percentile(ordered[0], 50)
    return RatioEstimate(ratio=ratio, low=second_low / first_high, high=second_high / first_low)


def verdict_of(estimate: RatioEstimate, least: float = LEAST_DIFFERENCE) -> Verdict:
    """What to call the difference: nothing where the interval holds 1, or where it is smaller than `least`."""
    if estimate.low <= 1 <= estimate.high or abs(estimate.ratio - 1) < least:
        return "no measurable difference"
    return "slower" if estimate.ratio > 1 else "faster"


def _student_quantile(degrees: int, probability: float) -> float:
    """The quantile of Student's t distribution, by the Cornish-Fisher expansion from 3 degrees on."""
    if degrees == 1:
        return math.tan(math.pi * (probability - 0.5))
    if degrees == 2:
        return (2 * probability - 1) * math.sqrt(2 / (4 * probability * (1 - probability)))
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / degrees**power for power, term in enumerate(terms, 1))
