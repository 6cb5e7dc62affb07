"""Which of two models is faster: their runs take turns in one child process, so that both see the same machine.

Whether the one goes first within a pair is drawn anew for each pair, and both sessions are opened anew in each round:
where onnxruntime happens to put its buffers makes a session a little faster or slower as long as it lives.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from onnxctl.child import Answer, Blob, Progress
from onnxctl.reports import JSON, Ratio, RunConfig, SpeedComparison, decode, encode
from onnxctl.runtime.children import child_for_models
from onnxctl.runtime.opening import DEFAULT_TIMEOUT_S, open_for_run, settings_of
from onnxctl.runtime.session import Session, open_session
from onnxctl.runtime.statistics import Pair, compare_pairs, summarize_latency, verdict_of
from onnxctl.runtime.timing import Clock, affordable_rounds, time_once

if TYPE_CHECKING:
    from random import Random

MOST_ROUND_COUNT = 6
DURATION_S = 6.0
WARMUP_COUNT = 3
MINIMUM_PAIR_COUNT = 3
MAXIMUM_PAIR_COUNT = 20_000

Run = Callable[[], object]


def compare_speed_in_child(
    before_path: str,
    after_path: str,
    *,
    dims: Mapping[str, int],
    seed: int,
    inputs: Sequence[tuple[str, str]] = (),
    duration_s: float = DURATION_S,
    timeout_s: float | None = None,
    memory_bytes: int | None = None,
    progress: Callable[[str], None] = lambda news: None,
) -> SpeedComparison:
    """Time two models with the same inputs on the CPU, for duration_s together.

    They are opened anew in each of MOST_ROUND_COUNT rounds, or fewer where that takes long (`affordable_rounds`). The
    child may use memory_bytes, by default most of what is available, and timeout_s of time. Raises ModelError where one
    of them does not run, ResourceLimit or ChildCrashed.
    """
    config = RunConfig(path=before_path, dims=tuple(dims.items()), seed=seed, inputs=tuple(inputs))
    request = {"config": encode(config), "after": after_path, "duration_s": duration_s}
    with child_for_models(memory_bytes) as child:
        answer, _ = child.call(
            "onnxctl.runtime.speed:compare_speed",
            request,
            timeout_s=DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s,
            progress=progress,
            doing="measuring before and after",
        )
    return decode(SpeedComparison, answer)


def compare_speed(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: time request["config"]'s model against request["after"]; the answer is a SpeedComparison."""
    config = decode(RunConfig, request["config"])
    opened = open_for_run(config, None, progress)
    feeds, providers = opened.feeds, opened.session.providers
    opening_ns = 2 * (opened.session.load_ns + opened.first_run_ns)
    round_count = affordable_rounds(opening_ns, request["duration_s"] * 1e9, MOST_ROUND_COUNT)
    del opened
    generator = random.Random(config.seed)
    rounds = []
    for number in range(1, round_count + 1):
        progress(f"measuring before and after, round {number} of {round_count}")
        before, after = _open_both(config, request["after"], generator)
        runs = before.bare_run(feeds.values), after.bare_run(feeds.values)
        rounds.append(time_pairs(*runs, generator=generator, duration_s=request["duration_s"] / round_count))
        del before, after, runs
        gc.collect()
    return encode(_comparison(rounds, config, tuple(sorted(feeds.dims.items())), providers[0])), ()


def _open_both(config: RunConfig, after_path: str, generator: Random) -> tuple[Session, Session]:
    """Both sessions, opened in an order that is drawn."""
    settings = settings_of(config)
    if generator.random() < 0.5:
        first = open_session(config.path, settings)
        return first, open_session(after_path, settings)
    second = open_session(after_path, settings)
    return open_session(config.path, settings), second


def time_pairs(
    before: Run, after: Run, *, generator: Random, duration_s: float, clock: Clock = time.perf_counter_ns
) -> list[Pair]:
    """Pairs of samples in nanoseconds, as many as fit into the time, after WARMUP_COUNT runs of each.

    Where a run takes as long as all of it, there is one run to warm up.
    """
    late = clock() + int(duration_s * 1e9)
    for _ in range(WARMUP_COUNT):
        before()
        after()
        if clock() >= late:
            break
    pairs: list[Pair] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        end = clock() + int(duration_s * 1e9)
        while len(pairs) < MINIMUM_PAIR_COUNT or (clock() < end and len(pairs) < MAXIMUM_PAIR_COUNT):
            if generator.random() < 0.5:
                one = time_once(before, clock)
                pairs.append((one, time_once(after, clock)))
            else:
                other = time_once(after, clock)
                pairs.append((time_once(before, clock), other))
    finally:
        if collecting:
            gc.enable()
    return pairs


def _comparison(
    rounds: Sequence[Sequence[Pair]], config: RunConfig, dims: tuple[tuple[str, int], ...], provider: str
) -> SpeedComparison:
    estimate = compare_pairs([[(max(one, 1), max(other, 1)) for one, other in pairs] for pairs in rounds])
    return SpeedComparison(
        before=summarize_latency([one for pairs in rounds for one, _ in pairs]),
        after=summarize_latency([other for pairs in rounds for _, other in pairs]),
        ratio=Ratio(ratio=estimate.ratio, low=estimate.low, high=estimate.high, verdict=verdict_of(estimate)),
        round_count=len(rounds),
        provider=provider,
        seed=config.seed,
        dims=dims,
    )
