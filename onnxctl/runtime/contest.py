"""Which of several variants is faster: each in a process of its own, taking turns in random order.

A process keeps, as long as it lives, what luck gave it (where its memory lies), hence all are started anew in every
round. In a round each takes a turn, in an order drawn anew, then each takes another, and so on: what the machine does
meanwhile hits all alike, and the medians of turns of the same number are compared in pairs.
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxctl.child import CONTINUE, Blob, Child, Progress, Talk
from onnxctl.errors import OnnxctlError, UsageError
from onnxctl.reports import (
    JSON,
    DataSetCheck,
    ErrorReport,
    Finding,
    NodeOnCpu,
    NodePlacement,
    Ratio,
    RunConfig,
    RunManyReport,
    VariantReport,
    decode,
    encode,
)
from onnxctl.runtime.environment import describe_environment, peak_memory_bytes, usable_cpu_count
from onnxctl.runtime.expectations import check_outputs
from onnxctl.runtime.failures import run_failure
from onnxctl.runtime.measure import PRELOAD, left_to_the_cpu, memory_limit, require_all
from onnxctl.runtime.opening import DEFAULT_TIMEOUT_S, ModelCheck, open_for_run, settings_of
from onnxctl.runtime.placement import describe_placement, nodes_left_to_cpu
from onnxctl.runtime.providers import CPU
from onnxctl.runtime.saving import write_outputs
from onnxctl.runtime.statistics import compare_pairs, percentile, summarize_latency, verdict_of
from onnxctl.runtime.timing import (
    LOADED_SHARE,
    MAXIMUM_RUN_COUNT,
    load_average,
    time_many,
    time_runs,
)
from onnxctl.runtime.variants import Variant

LEAST_ROUND_COUNT = 4
MOST_ROUND_COUNT = 8
TURN_NS = 20_000_000
"""About how long a turn takes."""

LEAST_TURN_COUNT = 3
MOST_TURN_COUNT = 100
LONGEST_WARMUP_S = 0.5
WARM_RUN_NS = 5_000_000
"""A run shorter than this is preceded, in each turn, by one untimed run: the caches hold what others left there."""


@dataclass(slots=True)
class _Contestant:
    """What is known of one variant so far. turns are the medians of its turns, by round."""

    variant: Variant
    error: OnnxctlError | None = None
    opened: _Opened | None = None
    turns: list[list[float]] = field(default_factory=list)
    samples_ns: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Opening:
    """How children are told to begin: what to call, where inputs and outputs to share lie, whether to compare those."""

    target: str
    folder: str
    compares: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """What a child tells when its session is warm; nodes_on_cpu are those that no provider asked for took."""

    load_ns: int
    first_run_ns: int
    warm_run_ns: float
    peak_memory_bytes: int
    placement: tuple[NodePlacement, ...]
    nodes_on_cpu: tuple[NodeOnCpu, ...]
    outputs: DataSetCheck | None


def run_contest(
    variants: Sequence[Variant],
    *,
    seed: int,
    target: str = "onnxctl.runtime.contest:take_part",
    allowed: float | None = None,
    progress: Callable[[str], None] = lambda news: None,
) -> RunManyReport:
    """Measure the variants against each other, the first being what the others are compared with.

    target calls `take_part`, and may check the model first. Each takes up to its config's duration_s; rounds end
    earlier where every ratio is known to the config's precision. A variant that fails, crashes or hangs has its error
    in the report and the others go on. Raises UsageError for what was asked wrongly, and the first variant's error
    where not one ran.
    """
    load = load_average()
    contestants = [_Contestant(each) for each in variants]
    order = random.Random(seed)
    rounds = 0
    with tempfile.TemporaryDirectory(prefix="onnxctl-") as folder:
        for rounds in range(1, MOST_ROUND_COUNT + 1):
            opening = _Opening(target, folder, compares=rounds == 1)
            turns = _play_round(contestants, opening, order, f"round {rounds} of {MOST_ROUND_COUNT} at most", progress)
            running = [each for each in contestants if each.error is None]
            if not running:
                raise next(each.error for each in contestants if each.error is not None)
            if len(running) == 1 or (rounds >= LEAST_ROUND_COUNT and _all_known(running)):
                break
    first = next(each for each in contestants if each.error is None)
    return RunManyReport(
        variants=tuple(_report(each, first) for each in contestants),
        round_count=rounds,
        turn_count=turns,
        seed=seed,
        allowed=allowed,
        environment=describe_environment(CPU),
        findings=tuple(_doubts(contestants, load)),
    )


def _play_round(
    contestants: Sequence[_Contestant],
    opening: _Opening,
    order: random.Random,
    name: str,
    progress: Callable[[str], None],
) -> int:
    """Start every variant anew and let them take turns; how many turns each had."""
    with contextlib.ExitStack() as stack:
        children: list[tuple[_Contestant, Child]] = []
        for number, each in enumerate(contestants, 1):
            if each.error is None:
                progress(f"{name}: opening variant {number} of {len(contestants)}")
                limit = memory_limit(each.variant.config)
                child = stack.enter_context(Child(preload=PRELOAD, memory_bytes=limit))
                with _failures_noted(each):
                    opened = _open(child, each.variant.config, opening)
                    each.opened = replace(opened, outputs=each.opened.outputs) if each.opened else opened
                    each.turns.append([])
                    children.append((each, child))
        turn_count = _turn_count([each for each, _ in children])
        for turn in range(turn_count):
            progress(f"{name}: turn {turn + 1} of {turn_count}")
            order.shuffle(children)
            for each, child in children:
                if each.error is None:
                    with _failures_noted(each):
                        samples = _take_turn(child, each)
                        each.turns[-1].append(percentile(sorted(samples), 50))
                        each.samples_ns += samples
    return turn_count


@contextlib.contextmanager
def _failures_noted(contestant: _Contestant) -> Iterator[None]:
    """An error of one variant costs the others nothing; only what was asked wrongly ends it all."""
    try:
        yield
    except UsageError as error:
        raise type(error)(f"{contestant.variant.label}: {error.message}", hint=error.hint) from error
    except OnnxctlError as error:
        contestant.error = error


def _open(child: Child, config: RunConfig, opening: _Opening) -> _Opened:
    request = {
        "config": encode(config),
        "memory_bytes": memory_limit(config),
        "reference": os.path.join(opening.folder, _sizes_name(config)),
        "compare": opening.compares,
    }
    answer, _ = child.call(
        opening.target,
        request,
        timeout_s=config.timeout_s or DEFAULT_TIMEOUT_S,
        doing=f"running {config.path}",
    )
    found: _Opened = decode(_Opened, answer)
    return found


def _sizes_name(config: RunConfig) -> str:
    """Variants of the same sizes share inputs and a reference for their outputs."""
    return "sizes-" + "-".join(str(size) for _, size in sorted(config.dims))


def _turn_count(contestants: Sequence[_Contestant]) -> int:
    counts = []
    for each in contestants:
        assert each.opened is not None
        turn_ns = max(TURN_NS, each.opened.warm_run_ns) * 1.2
        counts.append(each.variant.config.duration_s * 1e9 / MOST_ROUND_COUNT / turn_ns)
    return max(LEAST_TURN_COUNT, min(MOST_TURN_COUNT, int(min(counts, default=0))))


def _take_turn(child: Child, contestant: _Contestant) -> list[int]:
    opened, config = contestant.opened, contestant.variant.config
    assert opened is not None
    request = {
        "run_count": max(1, min(int(TURN_NS / opened.warm_run_ns), MAXIMUM_RUN_COUNT)),
        "untimed_count": 1 if opened.warm_run_ns < WARM_RUN_NS else 0,
    }
    answer, _ = child.call(
        CONTINUE, request, timeout_s=config.timeout_s or DEFAULT_TIMEOUT_S, doing=f"running {config.path}"
    )
    return list(answer)


# ---------------------------------------------------------------- the child's side


def take_part(
    request: JSON, blobs: Sequence[Blob], progress: Progress, *, check: ModelCheck = lambda model: None
) -> Talk:
    """Child target: open and warm up, answering with an _Opened; then each call of CONTINUE is a turn of samples.

    The first of the variants of the same sizes leaves its inputs and outputs in the folder request["reference"]; the
    others run on these inputs, where they fit, and with request["compare"] hold their outputs against those.
    """
    config: RunConfig = decode(RunConfig, request["config"])
    reference = request["reference"]
    follows = os.path.isdir(reference)
    settings = replace(settings_of(config), explain=bool(config.required_providers))
    try:
        fed = replace(config, data_folder=reference, inputs=()) if follows else config
        opened = open_for_run(fed, request["memory_bytes"], lambda news: None, settings, check)
    except UsageError:
        if not follows:
            raise
        follows = False  # another interface: it gets inputs of its own
        opened = open_for_run(config, request["memory_bytes"], lambda news: None, settings, check)
    session = opened.session
    left = nodes_left_to_cpu(session.placement, [each.provider for each in session.chain], session.log)
    placement = describe_placement(session.placement, {})
    require_all(config, session.providers, placement, left)
    if not os.path.isdir(reference):
        names = [each.name for each in session.outputs]
        with contextlib.suppress(OnnxctlError):  # a map or an absent optional has no form in a file
            write_outputs(reference, opened.feeds.values, names, opened.outputs)
    run = session.bare_run(opened.feeds.values)
    try:
        warming_s = min(config.duration_s, LONGEST_WARMUP_S)
        timing = time_runs(run, warmup_count=config.warmup_count, run_count=3, duration_s=warming_s)
        answer: Any = encode(
            _Opened(
                load_ns=session.load_ns,
                first_run_ns=opened.first_run_ns,
                warm_run_ns=percentile(sorted(timing.samples_ns), 50),
                peak_memory_bytes=peak_memory_bytes(),
                placement=placement,
                nodes_on_cpu=left,
                outputs=check_outputs(opened, config.seed)[0] if follows and request["compare"] else None,
            )
        )
        while True:
            turn = yield answer, ()
            for _ in range(turn["untimed_count"]):
                run()
            answer = time_many(run, turn["run_count"])
    except session.failures as error:
        raise run_failure(error, config.path) from error


# ---------------------------------------------------------------- what it says


def _ratio(contestant: _Contestant, first: _Contestant) -> Ratio:
    rounds = [
        list(zip(theirs, mine, strict=False)) for theirs, mine in zip(first.turns, contestant.turns, strict=False)
    ]
    estimate = compare_pairs(rounds)
    return Ratio(ratio=estimate.ratio, low=estimate.low, high=estimate.high, verdict=verdict_of(estimate))


def _all_known(contestants: Sequence[_Contestant]) -> bool:
    first, *others = contestants
    precision = first.variant.config.precision
    ratios = [_ratio(each, first) for each in others]
    return bool(precision) and all(each.high - each.low <= 2 * precision * each.ratio for each in ratios)


def _report(contestant: _Contestant, first: _Contestant) -> VariantReport:
    config, error, opened = contestant.variant.config, contestant.error, contestant.opened
    report = VariantReport(
        label=contestant.variant.label,
        path=config.path,
        provider=",".join(config.providers),
        dims=config.dims,
        intra_op_threads=config.intra_op_threads,
        graph_optimization=config.graph_optimization,
    )
    if error is not None or opened is None:
        assert error is not None
        told = ErrorReport(
            error=type(error).__name__, message=error.message, hint=error.hint, exit_code=error.exit_code
        )
        return replace(report, error=told)
    latency = summarize_latency(contestant.samples_ns)
    return replace(
        report,
        load_ns=opened.load_ns,
        first_run_ns=opened.first_run_ns,
        latency=latency,
        throughput_per_second=1e9 / latency.mean_ns,
        peak_memory_bytes=opened.peak_memory_bytes,
        placement=opened.placement,
        nodes_on_cpu=opened.nodes_on_cpu,
        ratio=None if contestant is first else _ratio(contestant, first),
        outputs=opened.outputs,
        samples_ns=tuple(contestant.samples_ns),
    )


def _doubts(contestants: Sequence[_Contestant], load: float) -> Iterator[Finding]:
    for each in contestants:
        if each.error is not None:
            yield Finding(
                code="variant-failed",
                severity="error",
                message=each.error.message.removeprefix(f"{each.variant.label}: "),
                hint=each.error.hint,
                where=each.variant.label,
            )
            continue
        if each.opened is not None:
            total = sum(placed.node_count for placed in each.opened.placement)
            chain = each.variant.config.providers
            for found in left_to_the_cpu(chain[0], len(each.opened.nodes_on_cpu), total):
                yield replace(found, where=each.variant.label)
        if each.opened is not None and each.opened.outputs is not None and each.opened.outputs.status == "different":
            yield Finding(
                code="outputs-differ",
                severity="warning",
                message=f"it gives other outputs than the first variant: {each.opened.outputs.reason}",
                where=each.variant.label,
            )
    if load > LOADED_SHARE * usable_cpu_count():
        yield Finding(
            code="machine-loaded",
            severity="warning",
            message=f"the machine was busy before the first run (load average {load:.1f} on {usable_cpu_count()} CPUs)",
            hint="close what else is running",
        )
