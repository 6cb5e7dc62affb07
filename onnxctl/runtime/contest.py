"""Which of several variants is faster: each in a process of its own, taking turns in random order.

A process keeps, as long as it lives, what luck gave it (where its memory lies), hence all are started anew in every
round. In a round each takes a turn, in an order drawn anew, then each takes another, and so on: what the machine does
meanwhile hits all alike, and the medians of turns of the same number are compared in pairs. Variants that don't fit
into memory together are split into groups, which play the round one after the other.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from onnxctl.child import CONTINUE, Child
from onnxctl.errors import OnnxctlError, UsageError
from onnxctl.memory import usual_memory_bytes
from onnxctl.reports import (
    RunConfig,
    RunManyReport,
    decode,
    encode,
)
from onnxctl.runtime.contestants import (
    Contestant,
    doubts_of,
    doubts_of_groups,
    doubts_of_ratios,
    ratio_to,
    reach,
    report_of,
)
from onnxctl.runtime.environment import describe_environment
from onnxctl.runtime.measure import PRELOAD, memory_limit, unknown_entries
from onnxctl.runtime.opening import DEFAULT_TIMEOUT_S, estimate_memory_bytes
from onnxctl.runtime.providers import CPU
from onnxctl.runtime.statistics import percentile
from onnxctl.runtime.timing import MAXIMUM_RUN_COUNT, Timing, affordable_rounds, load_average
from onnxctl.runtime.turns import WARM_RUN_NS, Participant
from onnxctl.runtime.variants import Variant

USUAL_ROUND_COUNT = 4
"""No fewer are played because the ratios are known or the time is up, and no more for a number of runs."""

MOST_ROUND_COUNT = 8
TURN_NS = 20_000_000
"""About how long a turn takes."""

LEAST_TURN_COUNT = 3
MOST_TURN_COUNT = 100
SLOW_RUN_NS = 1_000_000_000
"""Where a run takes longer than this, one turn makes a round."""


@dataclass(frozen=True, slots=True)
class _Round:
    """How children are told to begin: what to call, where inputs and outputs to share lie; number counts from 0."""

    target: str
    folder: str
    number: int
    contestants: Sequence[Contestant]

    @property
    def most(self) -> int:
        """How many rounds are played at most, by what those that were opened told so far."""
        config = self.contestants[0].config
        if config.run_count is not None:
            return min(_batch_count(config), USUAL_ROUND_COUNT)
        opened = [each for each in self.contestants if each.error is None and each.participant is not None]
        opening_ns = sum(each.opened.load_ns + each.opened.first_run_ns for each in opened)
        measuring_ns = sum(each.config.duration_s * 1e9 for each in opened)
        return affordable_rounds(opening_ns, measuring_ns, MOST_ROUND_COUNT) if opened else MOST_ROUND_COUNT

    @property
    def name(self) -> str:
        return f"round {self.number + 1} of {self.most} at most"


def run_contest(
    variants: Sequence[Variant],
    *,
    seed: int,
    target: str = "onnxctl.runtime.turns:take_part",
    progress: Callable[[str], None] = lambda news: None,
) -> RunManyReport:
    """Measure the variants against each other, the first being what the others are compared with.

    target calls `take_part`, and may check the model first. Each takes up to its config's duration_s; rounds end
    earlier where every ratio is known to the config's precision, and are fewer where opening takes long
    (`affordable_rounds`). With run_count, each is run so many times in all. A variant that fails, crashes or hangs has
    its error in the report and the others go on. Raises UsageError for what was asked wrongly, and the first variant's
    error where not one ran.
    """
    load = load_average()
    estimates = {path: estimate_memory_bytes(path) for path in {each.config.path for each in variants}}
    contestants = [Contestant(each, estimates[each.config.path]) for each in variants]
    order = random.Random(seed)
    turn_counts: list[int] = []
    apart: list[int] = []
    with tempfile.TemporaryDirectory(prefix="onnxctl-") as folder:
        for number in itertools.count():
            groups = _groups_that_fit([each for each in contestants if each.error is None])
            apart.append(len(groups))
            if number > 0:  # in the first round the first variant goes first: others are held against its outputs
                order.shuffle(groups)
            round_ = _Round(target, folder, number, contestants)
            turn_counts.append(min(_play(group, round_, order, progress) for group in groups))
            running = [each for each in contestants if each.error is None]
            if not running:
                raise next(each.error for each in contestants if each.error is not None)
            if len(running) == 1 or number + 1 >= round_.most or _is_enough(running, number + 1):
                break
    first = next(each for each in contestants if each.error is None)
    return RunManyReport(
        variants=tuple(report_of(each, first) for each in contestants),
        round_count=len(turn_counts),
        turn_count=turn_counts[-1],
        seed=seed,
        concurrency=first.config.concurrency,
        allowed=None,
        exit_code=0,
        environment=describe_environment(CPU),
        findings=(
            *unknown_entries(first.config),
            *doubts_of(contestants, load),
            *doubts_of_ratios(contestants, first),
            *doubts_of_groups(max(apart)),
        ),
    )


def _batch_count(config: RunConfig) -> int:
    """How many times as many runs as there are threads make the runs asked for."""
    return -(-(config.run_count or 0) // config.concurrency)


def _is_enough(running: Sequence[Contestant], round_count: int) -> bool:
    """Whether the ratios are known, or a variant's runs have taken as long as they were to take."""
    if running[0].config.run_count is not None or round_count < USUAL_ROUND_COUNT:
        return False
    return _all_known(running) or any(each.time_is_up for each in running)


def _all_known(contestants: Sequence[Contestant]) -> bool:
    first, *others = contestants
    precision = first.config.precision
    return bool(precision) and all(reach(ratio_to(each, first)) <= precision for each in others)


# ---------------------------------------------------------------- who is open at the same time


def _groups_that_fit(contestants: Sequence[Contestant]) -> list[list[Contestant]]:
    """The contestants in groups, as few and large as fit into the available memory; one too large for it is alone."""
    room = usual_memory_bytes()
    groups: list[list[Contestant]] = []
    free: list[float] = []
    for each in contestants:
        need = _memory_needed(each)
        place = next((at for at, left in enumerate(free) if need <= left), None)
        if place is None:
            groups.append([])
            free.append(float("inf") if room is None else room)
            place = len(groups) - 1
        groups[place].append(each)
        free[place] -= need
    return groups


def _memory_needed(contestant: Contestant) -> int:
    """What it needed when it was open, or what models of its size usually need."""
    if contestant.participant is not None:
        return contestant.participant.peak_memory_bytes
    return contestant.estimated_bytes


# ---------------------------------------------------------------- a round


def _play(group: Sequence[Contestant], round_: _Round, order: random.Random, progress: Callable[[str], None]) -> int:
    """Start every variant of the group anew and let them take turns; how many turns each had."""
    with contextlib.ExitStack() as stack:
        children: list[tuple[Contestant, Child]] = []
        for number, each in enumerate(group, 1):
            progress(f"{round_.name}: opening variant {number} of {len(group)}")
            child = stack.enter_context(Child(preload=PRELOAD, memory_bytes=memory_limit(each.config)))
            with _failures_noted(each):
                opened = _open(child, each.config, round_)
                before = each.participant
                if before is not None:  # what is looked at once
                    opened = replace(opened, outputs=before.outputs, verification=before.verification)
                each.participant = opened
                each.turns.append([])
                children.append((each, child))
        turn_count = _turn_count([each for each, _ in children], round_)
        for turn in range(turn_count):
            progress(f"{round_.name}: turn {turn + 1} of {turn_count}")
            order.shuffle(children)
            for each, child in children:
                if each.error is None:
                    with _failures_noted(each):
                        _take_turn(child, each, _run_count(each, round_, turn, turn_count))
    return turn_count


@contextlib.contextmanager
def _failures_noted(contestant: Contestant) -> Iterator[None]:
    """An error of one variant costs the others nothing; only what was asked wrongly ends it all."""
    try:
        yield
    except UsageError as error:
        raise type(error)(f"{contestant.variant.label}: {error.message}", hint=error.hint) from error
    except OnnxctlError as error:
        contestant.error = error


def _open(child: Child, config: RunConfig, round_: _Round) -> Participant:
    request = {
        "config": encode(config),
        "memory_bytes": memory_limit(config),
        "reference": os.path.join(round_.folder, _sizes_name(config)),
        "compare": round_.number == 0,
    }
    answer, _ = child.call(
        round_.target,
        request,
        timeout_s=config.timeout_s or DEFAULT_TIMEOUT_S,
        doing=f"running {config.path}",
    )
    return decode(Participant, answer)


def _sizes_name(config: RunConfig) -> str:
    """Variants of the same sizes share inputs and a reference for their outputs."""
    return "sizes-" + "-".join(str(size) for _, size in sorted(config.dims))


def _turn_count(contestants: Sequence[Contestant], round_: _Round) -> int:
    """How many turns each takes: as many as the slowest has time for."""
    if not contestants:
        return 0
    slowest_ns = max(each.opened.warm_run_ns for each in contestants)
    duration_ns = min(each.config.duration_s for each in contestants) * 1e9
    least = 1 if slowest_ns > SLOW_RUN_NS else LEAST_TURN_COUNT
    fitting = int(duration_ns / round_.most / (max(TURN_NS, slowest_ns) * 1.2))
    count = max(least, min(MOST_TURN_COUNT, fitting))
    config = contestants[0].config
    return count if config.run_count is None else min(count, _share(_batch_count(config), round_.most, round_.number))


def _run_count(contestant: Contestant, round_: _Round, turn: int, turn_count: int) -> int:
    config = contestant.config
    if config.run_count is not None:
        batches = _share(_share(_batch_count(config), round_.most, round_.number), turn_count, turn)
    else:
        batches = max(1, min(int(TURN_NS / contestant.opened.warm_run_ns), MAXIMUM_RUN_COUNT // config.concurrency))
    return batches * config.concurrency


def _share(total: int, parts: int, part: int) -> int:
    """How much of the total falls to a part (from 0), where all get the same but for one."""
    return total * (part + 1) // parts - total * part // parts


def _take_turn(child: Child, contestant: Contestant, run_count: int) -> None:
    config = contestant.config
    request = {"run_count": run_count, "untimed_count": 1 if contestant.opened.warm_run_ns < WARM_RUN_NS else 0}
    answer, _ = child.call(
        CONTINUE, request, timeout_s=config.timeout_s or DEFAULT_TIMEOUT_S, doing=f"running {config.path}"
    )
    timing: Timing = decode(Timing, answer)
    contestant.turns[-1].append(percentile(sorted(timing.samples_ns), 50))
    contestant.samples_ns += timing.samples_ns
    contestant.elapsed_ns += timing.elapsed_ns or sum(timing.samples_ns)
