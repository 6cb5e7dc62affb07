"""One variant of a contest, in a child process of its own: opened and warm, it takes a turn whenever it is told to."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnxctl.child import Blob, Progress, Talk
from onnxctl.errors import OnnxctlError, UsageError
from onnxctl.reports import JSON, DataSetCheck, NodeOnCpu, NodePlacement, RunConfig, decode, encode
from onnxctl.runtime.environment import peak_memory_bytes
from onnxctl.runtime.expectations import check_against_first, check_outputs
from onnxctl.runtime.failures import run_failure
from onnxctl.runtime.measure import require_all
from onnxctl.runtime.opening import ModelCheck, Opened, data_sets_of, open_for_run, settings_of
from onnxctl.runtime.saving import write_outputs
from onnxctl.runtime.statistics import percentile
from onnxctl.runtime.timing import Timing, time_at_once, time_many, time_runs

LONGEST_WARMUP_S = 0.5
WARM_RUN_NS = 5_000_000
"""A run shorter than this is preceded, in each turn, by one untimed run: the caches hold what others left there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """What a child tells when its session is warm; nodes_on_cpu are those that no provider asked for took.

    outputs are held against those of the first variant of the same sizes, None where that was not asked for or can't
    be; verification is what `--verify` finds.
    """

    load_ns: int
    first_run_ns: int
    warm_run_ns: float
    peak_memory_bytes: int
    placement: tuple[NodePlacement, ...]
    nodes_on_cpu: tuple[NodeOnCpu, ...]
    outputs: DataSetCheck | None
    verification: tuple[DataSetCheck, ...]


def take_part(
    request: JSON, blobs: Sequence[Blob], progress: Progress, *, check: ModelCheck = lambda model: None
) -> Talk:
    """Child target: open and warm up, answering with a Participant; then each call of CONTINUE is a turn, a Timing.

    The first of the variants of the same sizes leaves its inputs and outputs in the folder request["reference"]; the
    others run on these inputs, where they fit, and with request["compare"] hold their outputs against those.
    """
    config: RunConfig = decode(RunConfig, request["config"])
    opened, follows = _open(config, request["reference"], request["memory_bytes"], check)
    session = opened.session
    require_all(config, session.providers, session.nodes_by_provider, session.nodes_on_cpu)
    run = session.bare_run(opened.feeds.values)
    try:
        participant = Participant(
            load_ns=session.load_ns,
            first_run_ns=opened.first_run_ns,
            warm_run_ns=_warm_up(opened, config),
            peak_memory_bytes=peak_memory_bytes(),
            placement=session.nodes_by_provider,
            nodes_on_cpu=session.nodes_on_cpu,
            outputs=check_against_first(opened, config.seed) if follows and request["compare"] else None,
            verification=_verify(opened, config) if config.verify and request["compare"] else (),
        )
        answer = encode(participant)
        while True:
            turn = yield answer, ()
            for _ in range(turn["untimed_count"]):
                run()
            if config.concurrency > 1:
                timing = time_at_once(run, turn["run_count"], config.concurrency)
            else:
                timing = Timing(warmup_count=0, samples_ns=tuple(time_many(run, turn["run_count"])))
            answer = encode(timing)
    except session.failures as error:
        raise run_failure(error, config.path) from error


def _open(config: RunConfig, reference: str, memory_bytes: int | None, check: ModelCheck) -> tuple[Opened, bool]:
    """The variant on the inputs that the first one left, and True; or on its own, left for the others, and False."""
    settings = replace(settings_of(config), explain=bool(config.required_providers))
    if os.path.isdir(reference):
        fed = replace(config, data_folder=reference, inputs=())
        with contextlib.suppress(UsageError):  # another interface: it gets inputs of its own
            return open_for_run(fed, memory_bytes, lambda news: None, settings, check), True
    opened = open_for_run(config, memory_bytes, lambda news: None, settings, check)
    if not os.path.isdir(reference):
        try:
            write_outputs(
                reference, opened.feeds.values, [each.name for each in opened.session.outputs], opened.outputs
            )
        except OnnxctlError:  # an absent optional has no form in a file
            shutil.rmtree(reference, ignore_errors=True)
    return opened, False


def _warm_up(opened: Opened, config: RunConfig) -> float:
    """How long a run takes when the session is warm, in nanoseconds: one as long as the duration already is.

    Runs as long as LONGEST_WARMUP_S are timed once: more would take longer than what is measured of them.
    """
    if opened.first_run_ns > config.duration_s * 1e9:
        return opened.first_run_ns
    timing = time_runs(
        opened.session.bare_run(opened.feeds.values),
        warmup_count=config.warmup_count,
        run_count=1 if opened.first_run_ns > LONGEST_WARMUP_S * 1e9 else 3,
        duration_s=min(config.duration_s, LONGEST_WARMUP_S),
        concurrency=config.concurrency,
    )
    return percentile(sorted(timing.samples_ns), 50)


def _verify(opened: Opened, config: RunConfig) -> tuple[DataSetCheck, ...]:
    own = replace(opened, data_sets=data_sets_of(config, opened.model))
    return check_outputs(own, config.seed, config.custom_ops)
