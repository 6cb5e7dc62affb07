"""The search of `bisect`: cuts of the first model probed on both sides, then the few nodes that show the difference.

What follows from constants alone crosses no cut: every probe computes it anew. Where the nodes found read such values,
these are compared last. They are to blame, and bisected in their turn, or they are fed like what crosses a cut.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from onnx import NodeProto

from onnxctl.analysis.bisection import (
    FED_WHOLE,
    Cut,
    computed_constants,
    find_cuts,
    nodes_between,
    pair_inner_values,
    pair_rows,
    part_of,
)
from onnxctl.analysis.difference.comparison import compare_models
from onnxctl.analysis.difference.header import pair_values
from onnxctl.api.progress import News
from onnxctl.errors import ModelError, UsageError
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import Model
from onnxctl.model.saving import save
from onnxctl.reports import (
    BisectedNode,
    BisectReport,
    BisectSide,
    NodeChange,
    PartProbe,
    Probe,
    ProbeConfig,
    ProbedValue,
    WeightChange,
)
from onnxctl.runtime.example import DATA_SET, MODEL, OTHER_MODEL
from onnxctl.runtime.mapping import mapped_model
from onnxctl.runtime.probing import Prober

NamePairs = tuple[tuple[str, str], ...]

_LOOK_AHEAD = (1, 2, 4, 8, 16)
"""How many cuts further on two models are compared once more."""

_DETOURS = 8
"""So many times bisection goes on behind a difference that came out even."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """The nodes behind a cut that make the values of these names from what crosses it and the constants given.

    part is what came of running them alone, None where that can't be done.
    """

    start: Cut
    names: NamePairs
    constants: tuple[str, ...] = ()
    part: PartProbe | None = None

    @property
    def crossing(self) -> tuple[str, ...]:
        """What they may be fed, by the first model's names."""
        return (*self.start.names, *self.start.sizes, *self.constants)


class Search:
    """One bisection: `run` does it, the rest are its steps."""

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
        self.a, self.b = a, b
        self.prober = prober
        self.news = news
        self.pairs = {name: name for node in a.top.nodes for name in node.output} if a is b else pair_inner_values(a, b)
        rows = {} if a is b else pair_rows(a, b, self.pairs)
        self.pairs |= {name: each.name for name, each in rows.items()}
        self.widths = {each.name: each.width for each in rows.values()}
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
            rows=tuple(rows),
        )

    def refuse_strangers(self, unfed: Sequence[str | None]) -> None:
        """Raise UsageError for models that can't be held against each other; unfed are b's inputs without a partner."""
        hint = "onnxctl diff tells how their inputs and outputs differ"
        if not self.cuts[-1].names:
            raise UsageError("no output of the one model stands for an output of the other", hint=hint)
        if unfed:
            raise UsageError(f"the second model's input {unfed[0]!r} has no counterpart in the first", hint=hint)

    def run(self, folder: str | None) -> BisectReport:
        """Compare the outputs; where they differ, narrow the cuts down, then the nodes that show it by themselves."""
        self.news("comparing the outputs")
        cut_count, whole = len(self.cuts), self.probe(self.cuts[-1].names)
        self.config = dataclasses.replace(self.config, attempt=whole.attempt)
        if not _differs(whole):
            return self.report(whole, None, None, cut_count)
        found, suspects = self.narrow(whole)
        constants = computed_constants(self.a, [x for x, _ in suspects.names], suspects.crossing, self.pairs)
        if constants:
            self.news("comparing constants")
            compared = self.try_probe(constants)
            if compared is not None and _differs(compared):
                self.cuts = find_cuts(self.a, self.pairs, [x for x, _ in _wrong_names(compared)] or constants)
                found, suspects = self.narrow(compared)
            elif compared is not None:
                suspects = self.fed_constants(suspects, constants)
        if folder is not None:
            suspects = self.written(suspects, folder)
        return self.report(whole, found, suspects, cut_count)

    def narrow(self, whole: Probe) -> tuple[Probe, Suspects]:
        """The probe of the first cut that differs, and the nodes before it that show it; `whole` is that of the last.

        Behind a difference that comes out even the search goes on.
        """
        low, high, found = self.halve(0, len(self.cuts) - 1, whole)
        for _ in range(_DETOURS if self.a is not self.b else 0):
            again = self.equal_again(high)
            if again is None:
                break
            low, high, found = self.halve(again, len(self.cuts) - 1, whole)
        self.news("making the smallest model that shows it")
        names = _wrong_names(found) or tuple((name, self.pairs[name]) for name in self.cuts[high].names)
        return found, self.smallest_part(low, names)

    def halve(self, low: int, high: int, found: Probe) -> tuple[int, int, Probe]:
        """Two neighbouring cuts, equal at the first and not at the second, and the probe of the second.

        They are equal at `low`, and not at `high`, as `found` shows.
        """
        while high - low > 1:
            middle = (low + high) // 2
            self.news(f"{self.cuts[high].position - self.cuts[low].position} nodes left")
            probe = self.probe(self.cuts[middle].names)
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
            if not _differs(self.probe(self.cuts[high + ahead].names)):
                return high + ahead
        return None

    def probe(self, names: Sequence[str]) -> Probe:
        """Run both models up to these values of the first, and compare them."""
        pairs = tuple((name, self.pairs[name]) for name in names)
        config = dataclasses.replace(self.config, output_names=pairs)
        before = part_of(self.a, names)
        after = part_of(self.b, [new for _, new in pairs])
        return self.prober.probe(config, mapped_model(before), mapped_model(after))

    def try_probe(self, names: Sequence[str]) -> Probe | None:
        """The same, None where the first model does not give these values."""
        try:
            return self.probe(names)
        except (ModelError, UsageError):
            return None

    # ------------------------------------------------------------ the nodes that show it

    def smallest_part(self, low: int, names: NamePairs) -> Suspects:
        """The latest cut from which on the nodes alone show the difference, and what they showed.

        That is `low` where one node is to blame. Where several are fused, or small differences add up, they show it
        only together: then the part is doubled until it does, and halved to its smallest.
        """
        first = tried = self.tried(Suspects(self.cuts[low], names))
        if first.part is None:
            return first
        step, good = 1, low
        while good and not _shows(tried):
            good, step = max(low - step, 0), step * 2
            tried = self.tried(Suspects(self.cuts[good], names))
        if good == low or not _shows(tried):
            return first
        bad = min(good + max(step // 4, 1), low)
        while bad - good > 1:
            middle = (good + bad) // 2
            smaller = self.tried(Suspects(self.cuts[middle], names))
            if _shows(smaller):
                good, tried = middle, smaller
            else:
                bad = middle
        return tried

    def fed_constants(self, suspects: Suspects, constants: Sequence[str]) -> Suspects:
        """The nodes without those that make these equal constants, if they show the difference as they did before."""
        fed = self.tried(dataclasses.replace(suspects, constants=tuple(constants)))
        if fed.part is None or suspects.part is None:
            return suspects
        alike = _shows(fed) == _shows(suspects) and bool(fed.part.failure) == bool(suspects.part.failure)
        return fed if alike else suspects

    def fed(self, suspects: Suspects) -> list[str]:
        """What the nodes read of that which they may be fed."""
        outputs = [name for name, _ in suspects.names]
        nodes = nodes_between(self.a, outputs, suspects.crossing)
        read = {name for node in nodes for name in self.a.top.reads(node)}
        return [name for name in suspects.crossing if name in read or name in outputs]

    def tried(self, suspects: Suspects, folder: str | None = None) -> Suspects:
        """The suspects with what comes of running them alone, on the values that the first model makes."""
        fed = self.fed(suspects)
        before, after = self.parts(suspects, fed)
        renamed = {name: self.fed_as(name) for name in fed if name in self.pairs} | dict(self.config.input_names)
        config = dataclasses.replace(self.config, input_names=tuple(renamed.items()), output_names=suspects.names)
        making = part_of(self.a, fed)
        try:
            part = self.prober.probe_part(
                config, mapped_model(making), mapped_model(before), mapped_model(after), folder=folder
            )
        except (ModelError, UsageError):
            return suspects  # values that are no tensors can't be fed one by one, for example
        return dataclasses.replace(suspects, part=part)

    def parts(self, suspects: Suspects, fed: Sequence[ProbedValue | str], *, whole: bool = True) -> tuple[Model, Model]:
        """The suspects of both sides as models, fed with these values of the first; whole: even where these are rows of
        the second.
        """
        paired = [each for each in fed if _name(each) in self.pairs]
        others = [
            self.pairs[each] if isinstance(each, str) else dataclasses.replace(each, name=self.pairs[each.name])
            for each in paired
        ]
        before = part_of(self.a, [old for old, _ in suspects.names], fed)
        return before, part_of(self.b, [new for _, new in suspects.names], others, self.widths if whole else {})

    def fed_as(self, name: str) -> str:
        """What a part of the second model is fed this value of the first as."""
        return self.pairs[name] + (FED_WHOLE if self.pairs[name] in self.widths else "")

    def written(self, suspects: Suspects, folder: str) -> Suspects:
        """Write the models of the suspects, and what they are fed, into the folder."""
        if suspects.part is None:
            return suspects
        suspects = self.tried(suspects, os.path.join(folder, DATA_SET))
        assert suspects.part is not None
        fed = [value for value in suspects.part.inputs if not self.a.top.is_input(value.name)]
        before, after = self.parts(suspects, fed)
        save(before, os.path.join(folder, MODEL), external=False)
        if self.a is not self.b:
            save(after, os.path.join(folder, OTHER_MODEL), external=False)
        return suspects

    # ------------------------------------------------------------ what was found

    def report(self, whole: Probe, found: Probe | None, suspects: Suspects | None, cut_count: int) -> BisectReport:
        """The report of a search that found these, or nothing."""
        part = None if suspects is None else suspects.part
        nodes, weights = ((), ()) if suspects is None else self.changes(suspects)
        return BisectReport(
            before=self.config.before,
            after=self.config.after,
            verdict="same" if found is None else "different",
            first_values=() if found is None else tuple(each for each in found.values if not each.equal),
            nodes=() if suspects is None else self.nodes(suspects),
            node_changes=nodes,
            weight_changes=weights,
            inputs=() if part is None else part.inputs,
            failure="" if found is None else found.failure,
            reproduced=None if suspects is None or part is None else _shows(suspects),
            outputs=whole.values,
            node_count=len(self.a.top.nodes),
            cut_count=cut_count,
            probe_count=self.prober.count,
            tolerance=whole.tolerance,
            seed=self.config.seed,
            dims=whole.dims,
            files_written=(),
            elapsed_ns=0,
        )

    def changes(self, suspects: Suspects) -> tuple[tuple[NodeChange, ...], tuple[WeightChange, ...]]:
        """How the suspects of two models differ as such, inside bodies and functions too."""
        if self.a is self.b:
            return (), ()
        before, after = self.parts(suspects, self.fed(suspects), whole=False)
        found = compare_models(ModelGraphs(before), ModelGraphs(after))
        return found.nodes, found.weights

    def nodes(self, suspects: Suspects) -> tuple[BisectedNode, ...]:
        """The suspects: of the first model, and of the second if that is another."""
        before = nodes_between(self.a, [x for x, _ in suspects.names], suspects.crossing)
        listed = [_bisected("before", self.a, each) for each in before]
        if self.a is not self.b:
            crossing = [self.pairs[name] for name in suspects.crossing if name in self.pairs]
            after = nodes_between(self.b, [y for _, y in suspects.names], crossing)
            listed += [_bisected("after", self.b, each) for each in after]
        return tuple(listed)


def _bisected(side: Literal["before", "after"], graphs: ModelGraphs, node: NodeProto) -> BisectedNode:
    return BisectedNode(side=side, op_type=node.op_type, domain=node.domain, name=graphs.top.node_label(node))


def _name(value: ProbedValue | str) -> str:
    return value if isinstance(value, str) else value.name


def _differs(probe: Probe) -> bool:
    return bool(probe.failure) or any(not each.equal for each in probe.values)


def _shows(suspects: Suspects) -> bool:
    part = suspects.part
    return part is not None and (bool(part.failure) or any(not each.equal for each in part.values))


def _wrong_names(probe: Probe) -> NamePairs:
    return tuple((each.before, each.after) for each in probe.values if not each.equal)
