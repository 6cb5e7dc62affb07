"""`bisect`: the first value that differs between two models, providers or optimization levels."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnxctl.api.progress import News, silent

if TYPE_CHECKING:
    from onnxctl.reports import BisectReport, BisectSide, GraphOptimization


def bisect(
    before: str,
    after: str | None = None,
    *,
    providers: Sequence[str] = (),
    graph_optimizations: Sequence[GraphOptimization] = (),
    dims: Mapping[str, int] | None = None,
    seed: int = 0,
    inputs: Sequence[tuple[str, str]] = (),
    tolerance: float | None = None,
    write: str | None = None,
    force: bool = False,
    timeout_s: float | None = None,
    memory_bytes: int | None = None,
    progress: News | None = None,
) -> BisectReport:
    """The first value that differs on the same inputs, in O(log n) runs, and the few nodes that show it.

    One model is held against itself on two providers or two graph optimization levels. Two models run on one provider
    ("cpu") and one level ("disable"), or on two. tolerance replaces the one that rounding explains. write names a
    folder for the smallest model that shows the difference, with its test data; force replaces one that is there.
    Raises UsageError where both sides are the same, and what the first side raises where it does not run.
    """
    from onnxctl.analysis.structure import require_usable
    from onnxctl.api.narrowing import Search
    from onnxctl.errors import UsageError
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import STANDARD_INPUT, model_file, open_model
    from onnxctl.runtime.example import stage_example
    from onnxctl.runtime.probing import Prober

    started = time.perf_counter_ns()
    if before == after == STANDARD_INPUT:
        raise UsageError("both models can't come from standard input", hint="name a file for one of them")
    with contextlib.ExitStack() as open_things:
        before_file = open_things.enter_context(model_file(before))
        after_file = before_file if after is None else open_things.enter_context(model_file(after))
        sides = _sides(before_file, after_file, providers, graph_optimizations)
        models = [open_model(path) for path in dict.fromkeys((before_file, after_file))]
        for model in models:
            require_usable(model)
        graphs = [ModelGraphs(model) for model in models]
        folder = None if write is None else open_things.enter_context(stage_example(write, force=force))
        prober = open_things.enter_context(Prober(timeout_s=timeout_s, memory_bytes=memory_bytes))
        search = Search(graphs[0], graphs[-1], prober, sides, dims or {}, seed, inputs, tolerance, progress or silent)
        report = search.run(None if folder is None else folder.path)
        if folder is not None and report.verdict == "different" and report.reproduced is not None:
            folder.commit()
            report = dataclasses.replace(report, files_written=folder.written)
    return dataclasses.replace(
        report,
        before=dataclasses.replace(report.before, path=before),
        after=dataclasses.replace(report.after, path=before if after is None else after),
        elapsed_ns=time.perf_counter_ns() - started,
    )


def _sides(
    before: str, after: str, providers: Sequence[str], levels: Sequence[GraphOptimization]
) -> tuple[BisectSide, BisectSide]:
    """What is held against what. Raises UsageError where there are not two of something."""
    from onnxctl.errors import UsageError
    from onnxctl.reports import BisectSide

    if len(providers) > 2 or len(levels) > 2:
        raise UsageError("bisect holds two against each other", hint="give at most two providers and two levels")
    first, last = (providers[0], providers[-1]) if providers else ("cpu", "cpu")
    level_a, level_b = (levels[0], levels[-1]) if levels else ("disable", "disable")
    if (before, first, level_a) == (after, last, level_b):
        raise UsageError(
            "both sides are the same",
            hint="name a second model, two times --provider, or --graph-optimization disable,all",
        )
    return (
        BisectSide(path=before, provider=first, graph_optimization=level_a),
        BisectSide(path=after, provider=last, graph_optimization=level_b),
    )
