"""Runs passes over every scope of a model, round after round, until none finds anything to do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onnxctl.errors import UsageError
from onnxctl.model.graph import ModelGraphs
from onnxctl.passes.base import Context, Pass
from onnxctl.passes.pipeline import PIPELINE
from onnxctl.reports import PassOutcome, Refusal

MAXIMUM_ROUNDS = 20
"""Each round can use what the last one found; real models are done after three or four."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerResult:
    """What the passes did; settled is False where MAXIMUM_ROUNDS were not enough to come to rest."""

    passes: tuple[PassOutcome, ...]
    refusals: tuple[Refusal, ...]
    rounds: int
    settled: bool


def optimize_graphs(
    graphs: ModelGraphs, context: Context, *, passes: Sequence[str] | None = None, skip: Iterable[str] = ()
) -> ManagerResult:
    """Run the pipeline, or only `passes` of it, without those in `skip`, until nothing changes; then commit the graphs.

    Raises UsageError for a name that is no pass, and whatever `context.checkpoint` raises.
    """
    chosen = choose_passes(passes, skip)
    counts = dict.fromkeys((each.name for each in chosen), 0)
    elapsed_ns = dict.fromkeys(counts, 0)
    changes, rounds = 0, 0
    idle_since: dict[str, int] = {}
    while rounds < MAXIMUM_ROUNDS and any(idle_since.get(each.name) != changes for each in chosen):
        if rounds:
            context.infer_again()
            idle_since.clear()
        context.learn_shapes()
        context.measure_room()
        rounds += 1
        for each in chosen:
            if idle_since.get(each.name) == changes:
                continue
            if context.checkpoint is not None:
                context.checkpoint()
            started = time.perf_counter_ns()
            found = _run(each, graphs, context)
            elapsed_ns[each.name] += time.perf_counter_ns() - started
            counts[each.name] += found
            changes += found
            if not found:
                idle_since[each.name] = changes
        graphs.commit()
    return ManagerResult(
        passes=tuple(
            PassOutcome(name=each.name, rewrite_count=counts[each.name], elapsed_ns=elapsed_ns[each.name])
            for each in chosen
        ),
        refusals=context.refusals(),
        rounds=rounds,
        settled=all(idle_since.get(each.name) == changes for each in chosen),
    )


def choose_passes(passes: Sequence[str] | None, skip: Iterable[str]) -> tuple[Pass, ...]:
    """The entries of the pipeline with these names (None: all), in its order. Raises UsageError for an unknown name."""
    names = [each.name for each in PIPELINE]
    skipped = set(skip)
    wanted = set(names if passes is None else passes)
    for name in sorted(wanted | skipped):
        if name not in names:
            raise UsageError(f"there is no pass named {name!r}", hint=f"the passes are {', '.join(names)}")
    return tuple(each for each in PIPELINE if each.name in wanted - skipped)


def _run(each: Pass, graphs: ModelGraphs, context: Context) -> int:
    """One pass over every scope there is; scopes that vanish under it are not visited."""
    found = 0
    context.begin(each.name)
    for graph in list(graphs.scopes()):
        if graph.is_live():
            context.enter(graph)
            found += each.run(graph, context)
    return found
