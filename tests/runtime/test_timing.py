from __future__ import annotations

import gc
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from onnxctl.runtime.statistics import trend
from onnxctl.runtime.timing import (
    LEAST_SECONDS,
    MAXIMUM_RUN_COUNT,
    MINIMUM_RUN_COUNT,
    Conditions,
    Timing,
    doubts,
    is_precise,
    is_steady,
    time_runs,
    timer_step_ns,
)

MILLISECOND = 1_000_000


class FakeWork:
    """A clock that only moves while the work runs: each run takes the next duration, the last one for ever."""

    def __init__(self, *durations_ns: int, noise: Callable[[], int] = lambda: 0) -> None:
        self.now_ns = 0
        self.run_count = 0
        self._noise = noise
        self._durations = self._all(durations_ns)

    @staticmethod
    def _all(durations_ns: tuple[int, ...]) -> Iterator[int]:
        yield from durations_ns
        while True:
            yield durations_ns[-1]

    def clock(self) -> int:
        return self.now_ns

    def run(self) -> None:
        self.run_count += 1
        self.now_ns += next(self._durations) + self._noise()


def test_duration_decides_how_many_runs() -> None:
    work = FakeWork(10 * MILLISECOND)
    timing = time_runs(work.run, clock=work.clock, warmup_count=0, duration_s=1.0)
    assert timing.samples_ns == (10 * MILLISECOND,) * 100
    assert timing.warmup_count == 0


def test_run_count_decides_alone_where_given() -> None:
    work = FakeWork(10 * MILLISECOND)
    timing = time_runs(work.run, clock=work.clock, warmup_count=0, run_count=7, duration_s=0.001)
    assert len(timing.samples_ns) == 7
    assert work.run_count == 7


def test_slow_models_get_the_minimum_of_runs_and_one_to_warm_up() -> None:
    work = FakeWork(5_000 * MILLISECOND)
    timing = time_runs(work.run, clock=work.clock, warmup_count=5, duration_s=1.0)
    assert len(timing.samples_ns) == MINIMUM_RUN_COUNT == 2
    assert timing.warmup_count == 1


def test_a_first_run_longer_than_the_duration_was_warm_up_enough() -> None:
    work = FakeWork(47_000 * MILLISECOND)
    timing = time_runs(work.run, clock=work.clock, duration_s=3.0, first_run_ns=47_000 * MILLISECOND)
    assert (timing.warmup_count, work.run_count) == (0, 2)


def test_fast_models_stop_at_the_maximum() -> None:
    work = FakeWork(10)
    timing = time_runs(work.run, clock=work.clock, warmup_count=0, duration_s=3600)
    assert len(timing.samples_ns) == MAXIMUM_RUN_COUNT


def test_warm_up_goes_on_until_the_runs_are_steady() -> None:
    falling = [100 * MILLISECOND - index * MILLISECOND for index in range(40)]
    work = FakeWork(*falling)
    timing = time_runs(work.run, clock=work.clock, warmup_count=5, run_count=10, duration_s=60.0)
    assert 40 <= timing.warmup_count <= 60
    assert timing.samples_ns == (61 * MILLISECOND,) * 10


def test_warm_up_is_bounded_where_the_runs_never_become_steady() -> None:
    work = FakeWork(*(1_000 * MILLISECOND - index * 20 * MILLISECOND for index in range(45)))
    timing = time_runs(work.run, clock=work.clock, warmup_count=5, run_count=1, duration_s=10.0)
    assert 10 <= timing.warmup_count <= 15


def test_a_slow_first_run_never_reaches_the_samples() -> None:
    work = FakeWork(1_000 * MILLISECOND, MILLISECOND)
    timing = time_runs(work.run, clock=work.clock, warmup_count=5, run_count=20)
    assert max(timing.samples_ns) == MILLISECOND


def test_what_is_timed_is_the_run_and_nothing_else() -> None:
    own: list[int] = []

    def run() -> None:
        start = time.perf_counter_ns()
        time.sleep(0.004)
        own.append(time.perf_counter_ns() - start)

    timing = time_runs(run, warmup_count=1, run_count=50)
    assert statistics.median(timing.samples_ns) == pytest.approx(statistics.median(own[-50:]), rel=0.02)


def test_garbage_collection_is_off_meanwhile_and_comes_back_even_after_an_error() -> None:
    seen = []

    def fail() -> None:
        seen.append(gc.isenabled())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        time_runs(fail, run_count=1)
    assert seen == [False]
    assert gc.isenabled()


def test_news_tell_what_is_being_done() -> None:
    work, news = FakeWork(MILLISECOND), list[str]()
    time_runs(work.run, clock=work.clock, run_count=3, news=news.append)
    assert news == ["warming up", "timing 3 runs"]


def test_slow_runs_are_told_one_by_one() -> None:
    work, news = FakeWork(12_000 * MILLISECOND), list[str]()
    time_runs(work.run, clock=work.clock, warmup_count=0, duration_s=1.0, news=news.append)
    assert news[0] == "timing for 1 s at most, but 2 runs" and news[1:3] == [
        "timed 1 of 2 runs, 12.0 s each",
        "timed 2 of 2 runs, 12.0 s each",
    ]


def test_steadiness_needs_a_full_window_and_sees_slow_settling() -> None:
    assert not is_steady([10] * 9)
    assert is_steady([10] * 10)
    assert not is_steady([100, 100, 100, 100, 100, 90, 90, 90, 90, 90])


def test_timer_step_is_the_smallest_seen() -> None:
    work = iter(range(0, 100_000, 30))
    assert timer_step_ns(lambda: next(work)) == 30


def codes(
    samples_ns: list[int], *, timer_ns: int = 10, load: float = 0.0, clock_mhz: float = 3000, precision: float = 0.0
) -> set[str]:
    timing = Timing(warmup_count=5, samples_ns=tuple(samples_ns))
    conditions = Conditions(timer_ns=timer_ns, load=load, cpu_count=4, clock_before_mhz=3000, clock_after_mhz=clock_mhz)
    return {finding.code for finding in doubts(timing, conditions, precision=precision)}


def test_quiet_samples_raise_no_doubts() -> None:
    generator = random.Random(0)
    assert codes([int(generator.gauss(MILLISECOND, 5_000)) for _ in range(200)]) == set()


def test_each_doubt_has_its_cause() -> None:
    steady = [MILLISECOND + index % 7 * 1000 for index in range(100)]
    assert codes(steady[:10]) == {"too-few-samples"}
    assert codes([MILLISECOND + 2_000 * index for index in range(100)]) == {"unsteady"}
    assert codes([*steady[:98], 20 * MILLISECOND, 30 * MILLISECOND]) == {"outliers"}
    assert codes(steady, timer_ns=100_000) == {"shorter-than-timer"}
    assert codes(steady, load=3.0) == {"machine-loaded"}
    assert codes(steady, clock_mhz=2000) == {"clock-changing"}
    assert codes(steady, precision=0.01) == set()
    assert codes(steady, precision=0.0001) == {"imprecise"}


def test_timing_stops_where_the_median_is_known_well_enough_and_not_before() -> None:
    generator = random.Random(4)
    noisy = FakeWork(10 * MILLISECOND, noise=lambda: generator.randrange(4 * MILLISECOND))
    timing = time_runs(noisy.run, clock=noisy.clock, warmup_count=0, duration_s=60, precision=0.01)
    assert 100 < len(timing.samples_ns) < 4_000
    assert is_precise(timing.samples_ns, 0.01)
    quiet = FakeWork(10 * MILLISECOND)
    known = time_runs(quiet.run, clock=quiet.clock, warmup_count=0, duration_s=60, precision=0.01)
    assert sum(known.samples_ns) >= LEAST_SECONDS * 1e9
    assert len(known.samples_ns) < 60
    short = FakeWork(10 * MILLISECOND, noise=lambda: generator.randrange(40 * MILLISECOND))
    bounded = time_runs(short.run, clock=short.clock, warmup_count=0, duration_s=1, precision=0.001)
    assert sum(bounded.samples_ns) < 1.1e9


def test_threads_run_at_the_same_time_and_share_the_runs() -> None:
    meeting = threading.Barrier(4, timeout=20)
    timing = time_runs(meeting.wait, warmup_count=0, run_count=12, concurrency=4)
    assert len(timing.samples_ns) == 12  # each waited for three others: alone none would have ended
    assert timing.elapsed_ns > 0


def test_samples_of_threads_are_in_the_order_they_began() -> None:
    """A machine that becomes slower is seen as that, and threads that differ are not."""
    guard, turns = threading.Lock(), [0]

    def slower_and_slower() -> None:
        with guard:
            turns[0] += 1
            time.sleep(0.0005 * turns[0])

    timing = time_runs(slower_and_slower, warmup_count=0, run_count=60, concurrency=3)
    assert trend(timing.samples_ns) > 0
    threads = threading.local()
    fast = iter([True, False])

    def as_the_thread_is() -> None:
        if not hasattr(threads, "seconds"):
            threads.seconds = 0.002 if next(fast) else 0.006
        time.sleep(threads.seconds)

    timing = time_runs(as_the_thread_is, warmup_count=0, run_count=60, concurrency=2)
    half = sorted(timing.samples_ns[:15])
    assert half[-1] > 2 * half[0], "both threads are among the first"


def test_what_a_thread_raises_is_raised() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        time_runs(fail, warmup_count=0, run_count=4, concurrency=2)
