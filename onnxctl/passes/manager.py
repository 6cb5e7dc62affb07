"""Runs passes over every scope of a model, round after round, until none finds anything to do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from onnxctl.errors import UsageError, did_you_mean
from onnxctl.model.graph import ModelGraphs
from onnxctl.passes.base import Context, Pass
from onnxctl.passes.pipeline import PIPELINE
from onnxctl.reports import PassOutcome, Refusal

MAXIMUM_ROUNDS = 20
"""Each round can use what the last one found; real models are done after three or four."""


class PassRun(NamedTuple):
    """One pass over one scope: the rewrites it made, and how many nodes it looked at."""

    pass_name: str
    scope: str
    rewrite_count: int
    look_count: int


class Limit(NamedTuple):
    """Where to stop early: after so many runs of passes, the last of which may look at so many nodes (None: all).

    Passes are deterministic: the same limit gives the same model again, and one that is larger by one differs by one
    rewrite. That is how a wrong one is found.
    """

    run_count: int
    look_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerResult:
    """What the passes did; settled is False where MAXIMUM_ROUNDS, or the limit, were not enough to come to rest.

    runs are all runs of passes in order; last_look names the node the last of them looked at last, under a limit.
    """

    passes: tuple[PassOutcome, ...]
    refusals: tuple[Refusal, ...]
    rounds: int
    settled: bool
    runs: tuple[PassRun, ...] = ()
    last_look: str = ""


def optimize_graphs(
    graphs: ModelGraphs,
    context: Context,
    *,
    passes: Sequence[str] | None = None,
    skip: Iterable[str] = (),
    pipeline: Sequence[Pass] = PIPELINE,
    limit: Limit | None = None,
) -> ManagerResult:
    """Run the pipeline, or only `passes` of it, without those in `skip`, until nothing changes; then commit the graphs.

    Raises UsageError for a name that is no pass, and whatever `context.checkpoint` raises.
    """
    chosen = choose_passes(passes, skip, pipeline)
    counts = dict.fromkeys((each.name for each in chosen), 0)
    elapsed_ns = dict.fromkeys(counts, 0)
    changes, rounds = 0, 0
    idle_since: dict[str, int] = {}  # how many changes there were when the pass last found nothing to do
    log = _Log(limit)
    while rounds < MAXIMUM_ROUNDS and not log.is_full and any(idle_since.get(each.name) != changes for each in chosen):
        idle_since.clear()  # types are learned anew, which may give anyone something to do
        context.learn_types()
        changes_before = changes
        rounds += 1
        for each in chosen:
            if log.is_full:
                break
            if idle_since.get(each.name) == changes:
                continue
            if context.checkpoint is not None:
                context.checkpoint()
            started = time.perf_counter_ns()
            found = _run(each, graphs, context, log)
            elapsed_ns[each.name] += time.perf_counter_ns() - started
            counts[each.name] += found
            changes += found
            if not found:
                idle_since[each.name] = changes
        graphs.commit()
        if changes > changes_before:
            if context.is_short_of_room:
                idle_since.clear()  # what went in this round is room that nobody had in it
            context.measure_room()
    return ManagerResult(
        passes=tuple(
            PassOutcome(name=name, rewrite_count=counts[name], elapsed_ns=elapsed_ns[name]) for name in counts
        ),
        refusals=context.refusals(),
        rounds=rounds,
        settled=all(idle_since.get(each.name) == changes for each in chosen),
        runs=tuple(log.runs),
        last_look=log.last_look,
    )


def choose_passes(
    passes: Sequence[str] | None, skip: Iterable[str], pipeline: Sequence[Pass] = PIPELINE, *, at_most: bool = False
) -> tuple[Pass, ...]:
    """The entries of the pipeline with these names, in its order; without names all that run by default.

    at_most: and the others too. Raises UsageError for an unknown name, and where nothing of what is named is left.
    """
    names = [each.name for each in pipeline]
    skipped = set(skip)
    wanted = {each.name for each in pipeline if at_most or each.by_default} if passes is None else set(passes)
    for name in sorted(wanted | skipped):
        if name not in names:
            hint = f"{did_you_mean(name, names)}`onnxctl optimize --list-passes` lists them"
            raise UsageError(f"there is no pass named {name!r}", hint=hint)
    if passes and wanted <= skipped:
        raise UsageError("every pass that was asked for is skipped", hint="name fewer passes in --skip")
    return tuple(each for each in pipeline if each.name in wanted - skipped)


@dataclass(slots=True)
class _Log:
    """The runs so far, and whether there may be more."""

    limit: Limit | None
    runs: list[PassRun] = field(default_factory=list)
    last_look: str = ""

    @property
    def is_full(self) -> bool:
        return self.limit is not None and len(self.runs) >= self.limit.run_count

    def looks_left(self) -> int | None:
        """How many nodes the run that comes now may look at."""
        is_last = self.limit is not None and len(self.runs) + 1 == self.limit.run_count
        return self.limit.look_count if self.limit is not None and is_last else None


def _run(each: Pass, graphs: ModelGraphs, context: Context, log: _Log) -> int:
    """One pass over every scope there is; scopes that vanish under it are not visited."""
    found = 0
    context.begin(each.name)
    for graph in list(graphs.scopes()):
        if graph.is_live() and not log.is_full:
            context.enter(graph)
            context.trail.append(each.name)
            graph.allow_looks(log.looks_left())
            rewrite_count = each.run(graph, context)
            log.runs.append(PassRun(each.name, graph.path, rewrite_count, graph.look_count))
            log.last_look = graph.last_look
            found += rewrite_count
    return found
