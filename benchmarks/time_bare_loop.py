"""Is the median that `onnxctl run` reports the one of a bare loop around `session.run`? Both take turns in one process.

    python benchmarks/time_bare_loop.py [--turns 40] [--threads 1] MODEL.onnx ...

In each turn the loop below and onnxctl's own timing loop take the same number of runs, in random order. Printed are the
median over all turns of each and the ratio of onnxctl's to the loop's, with its 95 % confidence interval.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from onnxctl.reports import RunConfig
from onnxctl.runtime.opening import open_for_run
from onnxctl.runtime.statistics import compare_pairs
from onnxctl.runtime.timing import time_runs

TURN_NS = 50_000_000


def time_bare_loop(inference: Any, feeds: Mapping[str, Any], count: int) -> list[int]:
    """What anybody would write."""
    samples = []
    for _ in range(count):
        start = time.perf_counter_ns()
        inference.run(None, feeds)
        samples.append(time.perf_counter_ns() - start)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    order = random.Random(0)
    sys.stdout.write(f"{'loop µs':>10}{'onnxctl µs':>12}{'ratio':>8}  {'95 % interval':<18}model\n")
    for model in options.models:
        pairs, bare, ours = take_turns(model, options.turns, options.threads, order)
        estimate = compare_pairs([pairs])
        interval = f"{estimate.low:.4f} to {estimate.high:.4f}"
        medians = f"{statistics.median(bare) / 1e3:10.2f}{statistics.median(ours) / 1e3:12.2f}"
        sys.stdout.write(f"{medians}{estimate.ratio:8.4f}  {interval:<18}{model}\n")
        sys.stdout.flush()


def take_turns(
    model: str, turns: int, threads: int, order: random.Random
) -> tuple[list[tuple[float, float]], list[int], list[int]]:
    """The medians of each turn (loop, onnxctl), and all samples of both."""
    opened = open_for_run(RunConfig(path=model, intra_op_threads=threads), None, lambda news: None)
    feeds, inference = opened.feeds.values, opened.session.inference
    run = opened.session.bare_run(feeds)
    warm = statistics.median(time_bare_loop(inference, feeds, 20))
    count = max(1, int(TURN_NS / warm))
    loops: tuple[Callable[[], list[int]], ...] = (
        lambda: time_bare_loop(inference, feeds, count),
        lambda: list(time_runs(run, warmup_count=0, run_count=count).samples_ns),
    )
    pairs = []
    samples: tuple[list[int], list[int]] = [], []
    for _ in range(turns):
        found: dict[int, list[int]] = {}
        for which in order.sample((0, 1), 2):
            found[which] = loops[which]()
            samples[which].extend(found[which])
        pairs.append((statistics.median(found[0]), statistics.median(found[1])))
    return pairs, *samples


if __name__ == "__main__":
    main()
