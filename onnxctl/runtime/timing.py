"""The timing loop: what is run and the clock are handed in, so that time itself can be tested."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

from onnxctl.reports import Finding
from onnxctl.runtime.statistics import count_outliers, median_interval, percentile, trend

Clock = Callable[[], int]
"""Nanoseconds from any fixed moment, never going back."""

MINIMUM_RUN_COUNT = 2
MAXIMUM_RUN_COUNT = 100_000
MAXIMUM_WARMUP_COUNT = 1_000
STEADY_WINDOW = 10
FEW_SAMPLES = 20
LEAST_SECONDS = 0.3
"""The median is not taken to be known sooner: runs that follow at once say nothing of the slower moods of a machine."""

SLOW_RUN_NS = 1_000_000_000
"""Runs longer than this are told one by one."""

TIMER_STEPS = 100
"""A run shorter than so many steps of the timer is measured with an error of 1 % or more."""

LEAST_ROUND_COUNT = 3
OPENING_SHARE = 2
"""Sessions may take so many times as long to open, in all rounds, as they are measured."""

OUTLIER_SHARE = 0.01
DRIFT_IN_WARMUP = 0.02
LOADED_SHARE = 0.5
CLOCK_CHANGE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The samples of the timed runs in the order they began, and how many runs came before them to warm up.

    elapsed_ns is the time from the first timed run's begin to the last one's end, where runs overlap; else 0.
    """

    warmup_count: int
    samples_ns: tuple[int, ...]
    elapsed_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Sample:
    """When a run began, and when it ended."""

    begin_ns: int
    end_ns: int


def time_runs(
    run: Callable[[], object],
    *,
    clock: Clock = time.perf_counter_ns,
    warmup_count: int = 5,
    run_count: int | None = None,
    duration_s: float = 3.0,
    precision: float = 0.0,
    concurrency: int = 1,
    first_run_ns: int = 0,
    news: Callable[[str], None] = lambda text: None,
) -> Timing:
    """Time `run`, after a warm-up, as many times as asked.

    The warm-up makes warmup_count runs and goes on until they are steady (`is_steady`), for at most duration_s and
    MAXIMUM_WARMUP_COUNT runs; there is none for warmup_count 0, nor where the first run took longer than duration_s.
    Then run_count runs, or as many as it takes to know the median to the precision (`is_precise`), within duration_s,
    at least MINIMUM_RUN_COUNT and at most MAXIMUM_RUN_COUNT. With precision 0, and with concurrency > 1 threads that
    run at the same time, the whole duration_s is used. Garbage collection is off meanwhile.
    """
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        if warmup_count:
            news("warming up")
        slow = first_run_ns > duration_s * 1e9
        warmed_up = 0 if slow else _warm_up(run, clock, warmup_count, duration_s)
        within = f"for {duration_s:g} s at most, but {MINIMUM_RUN_COUNT} runs"
        news(f"timing {run_count} runs" if run_count else f"timing {within}")
        if concurrency > 1:
            samples, elapsed_ns = _sample_at_once(run, clock, run_count, duration_s, concurrency)
        else:
            samples, elapsed_ns = _sample(run, clock, run_count, duration_s, precision, news), 0
    finally:
        if collecting:
            gc.enable()
    return Timing(warmup_count=warmed_up, samples_ns=tuple(samples), elapsed_ns=elapsed_ns)


def time_once(run: Callable[[], object], clock: Clock = time.perf_counter_ns) -> int:
    """How long one run takes, in nanoseconds."""
    start = clock()
    run()
    return clock() - start


def time_many(
    run: Callable[[], object],
    count: int,
    clock: Clock = time.perf_counter_ns,
    news: Callable[[str], None] = lambda text: None,
) -> list[int]:
    """How long each of so many runs takes, in nanoseconds."""
    samples: list[int] = []
    for _ in range(count):
        start = clock()
        run()
        now = clock()
        samples.append(now - start)
        if now - start > SLOW_RUN_NS:
            news(_slow_news(samples, count))
    return samples


def time_at_once(
    run: Callable[[], object], count: int, concurrency: int, clock: Clock = time.perf_counter_ns
) -> Timing:
    """Time count runs, rounded up to a multiple of concurrency, that many threads of them running at the same time."""
    samples, elapsed_ns = _sample_at_once(run, clock, count, 0.0, concurrency)
    return Timing(warmup_count=0, samples_ns=tuple(samples), elapsed_ns=elapsed_ns)


def affordable_rounds(opening_ns: float, measuring_ns: float, most: int) -> int:
    """How many rounds to play where opening all sessions anew takes so long in each, and measuring so long in all.

    Who asks for seconds is not to wait for minutes, so what opens slowly is opened less often, and measured longer each
    time; but LEAST_ROUND_COUNT times all the same. The luck of one opening shows only against others, and Student's
    interval is in the mean 3.3 times as wide of two rounds as of three, and of three 1.5 times as wide as of four.
    """
    affordable = OPENING_SHARE * measuring_ns / max(opening_ns, 1)
    return int(max(LEAST_ROUND_COUNT, min(most, affordable)))


def _slow_news(samples: Sequence[int], at_least: int) -> str:
    return f"timed {len(samples)} of {max(at_least, len(samples))} runs, {samples[-1] / 1e9:.1f} s each"


def _warm_up(run: Callable[[], object], clock: Clock, at_least: int, duration_s: float) -> int:
    samples: list[int] = []
    end = clock() + int(duration_s * 1e9)
    while at_least and len(samples) < MAXIMUM_WARMUP_COUNT:
        late = clock() >= end and bool(samples)
        if late or (len(samples) >= at_least and is_steady(samples)):
            break
        samples.append(time_once(run, clock))
    return len(samples)


def is_steady(samples: list[int]) -> bool:
    """Whether the last STEADY_WINDOW runs show no drift: neither a trend, nor faster halves one after the other."""
    window = samples[-STEADY_WINDOW:]
    if len(window) < STEADY_WINDOW:
        return False
    half = STEADY_WINDOW // 2
    before, after = percentile(sorted(window[:half]), 50), percentile(sorted(window[half:]), 50)
    return trend(window) == 0.0 and before - after <= DRIFT_IN_WARMUP * after


def _sample(
    run: Callable[[], object],
    clock: Clock,
    run_count: int | None,
    duration_s: float,
    precision: float,
    news: Callable[[str], None],
) -> list[int]:
    if run_count is not None:
        return time_many(run, run_count, clock, news)
    samples: list[int] = []
    now = begin = clock()
    end = begin + int(duration_s * 1e9)
    look = FEW_SAMPLES
    while len(samples) < MINIMUM_RUN_COUNT or (now < end and len(samples) < MAXIMUM_RUN_COUNT):
        start = clock()
        run()
        now = clock()
        samples.append(now - start)
        if now - start > SLOW_RUN_NS:
            news(_slow_news(samples, MINIMUM_RUN_COUNT))
        if precision and len(samples) >= look and now - begin >= LEAST_SECONDS * 1e9:
            if is_precise(samples, precision):
                break
            look += len(samples) // 4  # sorting again and again would take longer than the runs
    return samples


def is_precise(samples: Sequence[int], precision: float) -> bool:
    """Whether half the width of the median's confidence interval is at most this share of the median."""
    ordered = sorted(samples)
    low, high = median_interval(ordered)
    return high - low <= 2 * precision * percentile(ordered, 50)


def _sample_at_once(
    run: Callable[[], object], clock: Clock, run_count: int | None, duration_s: float, concurrency: int
) -> tuple[list[int], int]:
    """Samples of `run` called by several threads at the same time, and the time they took together.

    The samples are in the order the runs began: a drift over time is one of the machine, not of a thread. What a run
    raises is raised here.
    """
    end = clock() + int(duration_s * 1e9)
    share = None if run_count is None else -(-run_count // concurrency)

    def work() -> list[_Sample]:
        samples: list[_Sample] = []
        while len(samples) < (share or 1) or (
            share is None and clock() < end and len(samples) < MAXIMUM_RUN_COUNT // concurrency
        ):
            begin = clock()
            run()
            samples.append(_Sample(begin, clock()))
        return samples

    with ThreadPoolExecutor(concurrency) as pool:
        parts = [each.result() for each in [pool.submit(work) for _ in range(concurrency)]]
    found = sorted(chain.from_iterable(parts), key=lambda each: each.begin_ns)
    elapsed_ns = max(each.end_ns for each in found) - found[0].begin_ns
    return [each.end_ns - each.begin_ns for each in found], elapsed_ns


# ---------------------------------------------------------------- doubts


def timer_step_ns(clock: Clock = time.perf_counter_ns) -> int:
    """The smallest step the clock was seen to make."""
    steps = []
    for _ in range(100):
        before = now = clock()
        while now == before:
            now = clock()
        steps.append(now - before)
    return min(steps)


def load_average() -> float:
    """How many processes wanted to run during the last minute; 0.0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The machine around a measurement: load average before it, and the fastest CPU's clock before and after.

    Clocks are 0.0 where the system does not tell them.
    """

    timer_ns: int
    load: float
    cpu_count: int
    clock_before_mhz: float = 0.0
    clock_after_mhz: float = 0.0


def doubts(timing: Timing, conditions: Conditions, *, precision: float = 0.0) -> tuple[Finding, ...]:
    """Why the samples may not be what they seem.

    Codes: too-few-samples, imprecise, unsteady, outliers, shorter-than-timer, machine-loaded, clock-changing.
    """
    samples = timing.samples_ns
    found = []
    if len(samples) < FEW_SAMPLES:
        found.append(
            _doubt(
                "too-few-samples",
                f"{len(samples)} runs say little about percentiles",
                f"time at least {FEW_SAMPLES} runs: --runs or --duration",
            )
        )
    elif precision and not is_precise(samples, precision):
        ordered = sorted(samples)
        low, high = median_interval(ordered)
        reach = (high - low) / 2 / percentile(ordered, 50) * 100
        found.append(
            _doubt(
                "imprecise",
                f"the median is known to {reach:.2g} % only, not to {precision * 100:g} %",
                "raise --duration, or quieten the machine",
            )
        )
    drift = trend(samples)
    if drift:
        word = "slower" if drift > 0 else "faster"
        found.append(
            _doubt(
                "unsteady",
                f"the runs became {abs(drift) * 100:.0f} % {word} while they were timed",
                "raise --warmup or --duration, or let the machine cool down",
            )
        )
    outliers = count_outliers(samples)
    if outliers > OUTLIER_SHARE * len(samples):
        found.append(
            _doubt(
                "outliers",
                f"{outliers} of {len(samples)} runs took far longer or shorter than the others",
                "something else may have used the machine: run again when it is quiet",
            )
        )
    if percentile(sorted(samples), 50) < TIMER_STEPS * conditions.timer_ns:
        found.append(
            _doubt(
                "shorter-than-timer",
                f"one run takes less than {TIMER_STEPS} steps of the timer ({conditions.timer_ns} ns each)",
                "use larger inputs: --dim",
            )
        )
    found += doubts_of_load(conditions.load, conditions.cpu_count)
    before, after = conditions.clock_before_mhz, conditions.clock_after_mhz
    if before and abs(after - before) > CLOCK_CHANGE * before:
        found.append(
            _doubt(
                "clock-changing",
                f"the CPU's clock went from {before:,.0f} to {after:,.0f} MHz while the runs were timed",
                "fix the clock (cpupower frequency-set --governor performance), or raise --warmup",
            )
        )
    return tuple(found)


def doubts_of_load(load: float, cpu_count: int) -> tuple[Finding, ...]:
    """The finding machine-loaded, where other processes wanted the CPUs before the first run."""
    if load <= LOADED_SHARE * cpu_count:
        return ()
    message = f"the machine was busy before the first run (load average {load:.1f} on {cpu_count} CPUs)"
    return (_doubt("machine-loaded", message, "close what else is running"),)


def _doubt(code: str, message: str, hint: str) -> Finding:
    return Finding(code=code, severity="warning", message=message, hint=hint)
