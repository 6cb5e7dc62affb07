"""`bisect`: the first value that differs between two models, providers or optimization levels."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnxctl.api.progress import News, silent

if TYPE_CHECKING:
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.reports import (
        BisectedNode,
        BisectReport,
        BisectSide,
        GraphOptimization,
        PartProbe,
        Probe,
        ProbedValue,
    )
    from onnxctl.runtime.probing import Prober


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
        search = _Search(graphs[0], graphs[-1], prober, sides, dims or {}, seed, inputs, tolerance, progress or silent)
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


_LOOK_AHEAD = (1, 2, 4, 8, 16)
"""How many cuts further on two models are compared once more."""

_DETOURS = 8
"""So many times bisection goes on behind a difference that came out even."""


class _Search:
    """The bisection: cuts of the first model, each probed on both sides."""

    def __init__(
        self,
        a: ModelGraphs,
        b: ModelGraphs,
        prober: Prober,
        sides: tuple[BisectSide, BisectSide],
        dims: Mapping[str, int],
        seed: int,
        inputs: Sequence[tuple[str, str]],
        tolerance: float | None,
        news: News,
    ) -> None:
        from onnxctl.analysis.bisection import find_cuts, pair_inner_values
        from onnxctl.analysis.difference.header import pair_values
        from onnxctl.reports import ProbeConfig

        self.a, self.b = a, b
        self.prober = prober
        self.news = news
        self.pairs = {name: name for node in a.top.nodes for name in node.output} if a is b else pair_inner_values(a, b)
        self.cuts = find_cuts(a, self.pairs)
        names = pair_values(a.model.proto.graph.input, b.model.proto.graph.input)
        self.refuse_strangers([y for x, y in names if x is None and y not in b.top.initializers])
        self.config = ProbeConfig(
            before=sides[0],
            after=sides[1],
            dims=tuple(dims.items()),
            seed=seed,
            inputs=tuple(inputs),
            attempt=None,
            input_names=tuple((x, y) for x, y in names if x is not None and y is not None),
            output_names=(),
            tolerance=tolerance,
        )

    def refuse_strangers(self, unfed: Sequence[str | None]) -> None:
        """Raise UsageError for models that can't be held against each other; unfed are b's inputs without a partner."""
        from onnxctl.errors import UsageError

        hint = "onnxctl diff tells how their inputs and outputs differ"
        if not self.cuts[-1].names:
            raise UsageError("no output of the one model stands for an output of the other", hint=hint)
        if unfed:
            raise UsageError(f"the second model's input {unfed[0]!r} has no counterpart in the first", hint=hint)

    def run(self, folder: str | None) -> BisectReport:
        """Compare the outputs; where they differ, narrow the cuts down, then the nodes that show it by themselves."""
        last = len(self.cuts) - 1
        self.news("comparing the outputs")
        whole = self.probe(last)
        self.config = dataclasses.replace(self.config, attempt=whole.attempt)
        if not _differs(whole):
            return self.report(whole, whole, None, 0, last)
        low, high, found = self.halve(0, last, whole)
        for _ in range(_DETOURS if self.a is not self.b else 0):
            again = self.equal_again(high)
            if again is None:
                break
            low, high, found = self.halve(again, last, whole)
        self.news("making the smallest model that shows it")
        start, part = self.smallest_part(low, high, found, folder)
        return self.report(whole, found, part, start, high)

    def halve(self, low: int, high: int, found: Probe) -> tuple[int, int, Probe]:
        """Two neighbouring cuts, equal at the first and not at the second, and the probe of the second.

        They are equal at `low`, and not at `high`, as `found` shows.
        """
        while high - low > 1:
            middle = (low + high) // 2
            self.news(f"{self.cuts[high].position - self.cuts[low].position} nodes left")
            probe = self.probe(middle)
            if _differs(probe):
                high, found = middle, probe
            else:
                low = middle
        return low, high, found

    def equal_again(self, high: int) -> int | None:
        """A cut soon after `high` at which all is equal again, so that what differs at `high` does no harm.

        An optimizer that moves a scale, say, leaves some values between scaled.
        """
        for ahead in _LOOK_AHEAD:
            if high + ahead >= len(self.cuts) - 1:
                break
            self.news("looking whether it comes out even")
            if not _differs(self.probe(high + ahead)):
                return high + ahead
        return None

    def probe(self, at: int) -> Probe:
        """Run both models up to a cut, and compare what crosses it."""
        from onnxctl.analysis.bisection import part_of
        from onnxctl.runtime.mapping import mapped_model

        names = self.cuts[at].names
        pairs = tuple((name, self.pairs[name]) for name in names)
        config = dataclasses.replace(self.config, output_names=pairs)
        before = part_of(self.a, names)
        after = part_of(self.b, [new for _, new in pairs])
        return self.prober.probe(config, mapped_model(before), mapped_model(after))

    # ------------------------------------------------------------ the nodes that show it

    def smallest_part(self, low: int, high: int, found: Probe, folder: str | None) -> tuple[int, PartProbe | None]:
        """The latest cut from which on the nodes alone show the difference, and what they showed.

        That is `low` where one node is to blame. Where several are fused, or small differences add up, they show it
        only together: then the part is doubled until it does, and halved to its smallest.
        """
        names = _wrong_names(found) or [(name, self.pairs[name]) for name in self.cuts[high].names]
        part = self.probe_part(low, names)
        if part is None or _shows(part):
            return low, self.written(low, names, folder, part)
        step, good = 1, low
        while good and not _shows(part):
            good, step = max(low - step, 0), step * 2
            part = self.probe_part(good, names) or part
        if not _shows(part):
            return low, self.written(low, names, folder, part)
        bad = min(good + max(step // 4, 1), low)
        while bad - good > 1:
            middle = (good + bad) // 2
            tried = self.probe_part(middle, names)
            if tried is not None and _shows(tried):
                good, part = middle, tried
            else:
                bad = middle
        return good, self.written(good, names, folder, part)

    def probe_part(self, start: int, names: Sequence[tuple[str, str]], folder: str | None = None) -> PartProbe | None:
        """Run the nodes behind a cut on the values that cross it; None where they can't be run by themselves."""
        from onnxctl.analysis.bisection import nodes_between, part_of
        from onnxctl.errors import ModelError, UsageError
        from onnxctl.runtime.mapping import mapped_model

        outputs = [name for name, _ in names]
        crossing = (*self.cuts[start].names, *self.cuts[start].sizes)
        read = {name for node in nodes_between(self.a, outputs, crossing) for name in self.a.top.reads(node)}
        fed = [name for name in crossing if name in read or name in outputs]
        paired = [name for name in fed if name in self.pairs]
        renamed = {name: self.pairs[name] for name in paired} | dict(self.config.input_names)
        config = dataclasses.replace(self.config, input_names=tuple(renamed.items()), output_names=tuple(names))
        before = part_of(self.a, outputs, fed)
        after = part_of(self.b, [new for _, new in names], [self.pairs[name] for name in paired])
        making = part_of(self.a, fed)
        try:
            return self.prober.probe_part(
                config, mapped_model(making), mapped_model(before), mapped_model(after), folder=folder
            )
        except (ModelError, UsageError):
            return None  # values that are no tensors can't be fed one by one, for example

    def written(
        self, start: int, names: Sequence[tuple[str, str]], folder: str | None, part: PartProbe | None
    ) -> PartProbe | None:
        """Write the part's model and data into the folder, if there is one."""
        from onnxctl.analysis.bisection import part_of
        from onnxctl.model.saving import save
        from onnxctl.runtime.example import DATA_SET, MODEL, OTHER_MODEL

        if folder is None or part is None:
            return part
        part = self.probe_part(start, names, os.path.join(folder, DATA_SET)) or part
        fed = [value for value in part.inputs if not self.a.top.is_input(value.name)]
        save(part_of(self.a, [name for name, _ in names], fed), os.path.join(folder, MODEL), external=False)
        if self.a is not self.b:
            others = [dataclasses.replace(each, name=self.pairs[each.name]) for each in fed if each.name in self.pairs]
            save(part_of(self.b, [new for _, new in names], others), os.path.join(folder, OTHER_MODEL), external=False)
        return part

    # ------------------------------------------------------------ what was found

    def report(self, whole: Probe, found: Probe, part: PartProbe | None, start: int, high: int) -> BisectReport:
        from onnxctl.reports import BisectReport

        differs = _differs(whole)
        inputs: tuple[ProbedValue, ...] = () if part is None else part.inputs
        return BisectReport(
            before=self.config.before,
            after=self.config.after,
            verdict="different" if differs else "same",
            first_values=tuple(each for each in found.values if not each.equal) if differs else (),
            nodes=self.nodes(start, high, found) if differs else (),
            inputs=inputs,
            failure=found.failure if differs else "",
            reproduced=None if part is None else _shows(part),
            outputs=whole.values,
            node_count=len(self.a.top.nodes),
            cut_count=len(self.cuts),
            probe_count=self.prober.count,
            tolerance=whole.tolerance,
            seed=self.config.seed,
            dims=whole.dims,
            files_written=(),
            elapsed_ns=0,
        )

    def nodes(self, start: int, high: int, found: Probe) -> tuple[BisectedNode, ...]:
        """The nodes behind the cut that make what differs: of the first model, and of the second if that is another."""
        from onnxctl.analysis.bisection import nodes_between
        from onnxctl.reports import BisectedNode

        cut = self.cuts[start]
        names = _wrong_names(found) or [(name, self.pairs[name]) for name in self.cuts[high].names]
        listed = [
            BisectedNode(side="before", op_type=each.op_type, domain=each.domain, name=self.a.top.node_label(each))
            for each in nodes_between(self.a, [x for x, _ in names], (*cut.names, *cut.sizes))
        ]
        if self.a is self.b:
            return tuple(listed)
        listed += [
            BisectedNode(side="after", op_type=each.op_type, domain=each.domain, name=self.b.top.node_label(each))
            for each in nodes_between(self.b, [y for _, y in names], [self.pairs[name] for name in cut.names])
        ]
        return tuple(listed)


def _differs(probe: Probe) -> bool:
    return bool(probe.failure) or any(not each.equal for each in probe.values)


def _shows(part: PartProbe) -> bool:
    return bool(part.failure) or any(not each.equal for each in part.values)


def _wrong_names(probe: Probe) -> list[tuple[str, str]]:
    return [(each.before, each.after) for each in probe.values if not each.equal]
