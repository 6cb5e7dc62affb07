"""One model on its way from file to file, as often as it takes: opened, rewritten, staged, compared."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from onnxctl.analysis.interface import describe_interface, interface_change
from onnxctl.api.progress import News
from onnxctl.child import Child
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import Model, open_model
from onnxctl.model.saving import Staged, Target, saved_bytes, stage
from onnxctl.passes.base import Context, Pass
from onnxctl.passes.freeze_dimensions import freeze_dimensions
from onnxctl.passes.manager import Limit, ManagerResult, choose_passes, optimize_graphs
from onnxctl.reports import OptimizeConfig, PassOutcome, Refusal, StageTime, Verification
from onnxctl.runtime.evaluate import evaluate_in_child


class Plan(NamedTuple):
    """Which passes may run: "structural" ones, "exact" ones or "all", none of left_out; and onnxsim after them."""

    passes: Literal["structural", "exact", "all"]
    left_out: frozenset[str] = frozenset()
    with_onnxsim: bool = False

    def allows(self, each: Pass) -> bool:
        """Whether the pass may run."""
        fits = {"structural": each.is_structural, "exact": each.exact, "all": True}[self.passes]
        return fits and each.name not in self.left_out


class Rewritten(NamedTuple):
    """A model after the passes, and the promises it breaks, in words.

    intrusion is a change of what no pass may touch, growth one of nodes or bytes; "" where there is none.
    """

    model: Model
    result: ManagerResult
    intrusion: str
    growth: str


class Stopwatch:
    """Adds up what the stages of the work take."""

    def __init__(self) -> None:
        self._started = time.perf_counter_ns()
        self._elapsed_ns: dict[str, int] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens inside counts for the stage."""
        started = time.perf_counter_ns()
        try:
            yield
        finally:
            self._elapsed_ns[name] = self._elapsed_ns.get(name, 0) + time.perf_counter_ns() - started

    @property
    def stages(self) -> tuple[StageTime, ...]:
        """The stages so far, in the order in which they began."""
        return tuple(StageTime(name=name, elapsed_ns=elapsed) for name, elapsed in self._elapsed_ns.items())

    @property
    def elapsed_ns(self) -> int:
        """The time since the watch was made."""
        return time.perf_counter_ns() - self._started


class Children(NamedTuple):
    """The processes native code runs in: for folding and onnxsim, and for comparing models. They may be one."""

    working: Child
    comparing: Child


class Workshop:
    """What an optimization works with. The same plan and limit give the same model, as often as they are asked for.

    file is the input's path as it can be opened, which config.path need not be (standard input). trail names the passes
    of the last rewriting in the order of their runs, also where it failed.
    """

    def __init__(
        self,
        file: str,
        config: OptimizeConfig,
        pipeline: Sequence[Pass],
        children: Children,
        watch: Stopwatch,
        news: News,
    ) -> None:
        self.file = file
        self.config = config
        self.news = news
        self.watch = watch
        self._pipeline = pipeline
        self._children = children
        self.trail: Sequence[str] = ()
        self._opened: Model | None = None
        self._frozen = False
        choose_passes(config.passes, config.skip, pipeline)  # an unknown name is told before any work is done

    def open(self) -> Model:
        """The model as it is in the file; the first rewriting goes on with it."""
        self._opened = open_model(self.file)
        return self._opened

    def rewrite(self, plan: Plan, limit: Limit | None = None) -> Rewritten:
        """The model after the passes of the plan, as far as the limit lets them.

        Raises UsageError where dimensions can't be frozen as asked, ModelError where a pass leaves no valid graph.
        """
        model, self._opened = self._opened or open_model(self.file), None
        self._freeze(model)
        graphs = ModelGraphs(model)
        inlined = self._inline(graphs) if self.config.inline_functions else None
        interface, bytes_before, nodes_before = describe_interface(model), saved_bytes(model), _node_count(graphs)
        result = self._run_passes(graphs, plan, limit, bytes_before)
        if inlined is not None:
            result = _after(inlined, result)
        if plan.with_onnxsim and limit is None:
            result, graphs = self._join_onnxsim(graphs, plan, result)
        growth = _growth("node", nodes_before, _node_count(graphs)) or _growth("byte", bytes_before, saved_bytes(model))
        return Rewritten(model, result, interface_change(interface, describe_interface(model)), growth)

    def _freeze(self, model: Model) -> None:
        """Freeze the dimensions that the config names; whether they can be is only asked once."""
        dims = dict(self.config.dims)
        if dims and not self._frozen:
            from onnxctl.api.freezing import freeze_or_refuse

            freeze_or_refuse(ModelGraphs(model), dims, self._children.working)
            self._frozen = True
        elif dims:
            freeze_dimensions(ModelGraphs(model), dims)

    def _inline(self, graphs: ModelGraphs) -> ManagerResult:
        """Put functions in place of all their calls. Growth is counted from there: it was asked for."""
        from onnxctl.passes.inline_functions import inline_every_call

        context = Context(graphs, explain=self.config.explain)
        started = time.perf_counter_ns()
        context.begin(_INLINING)
        outcome = PassOutcome(
            name=_INLINING, rewrite_count=inline_every_call(context), elapsed_ns=time.perf_counter_ns() - started
        )
        graphs.commit()
        return ManagerResult(passes=(outcome,), refusals=context.refusals(), rounds=0, settled=True)

    def _run_passes(
        self, graphs: ModelGraphs, plan: Plan, limit: Limit | None, model_bytes: int | None = None
    ) -> ManagerResult:
        context = Context(
            graphs,
            evaluate=lambda model: evaluate_in_child(self._children.working, model),
            explain=self.config.explain,
            bytes_at_start=model_bytes,
        )
        self.trail = context.trail
        at_most = self.config.level == "max"
        chosen = choose_passes(self.config.passes, self.config.skip, self._pipeline, at_most=at_most)
        allowed = [each.name for each in chosen if plan.allows(each)]
        return optimize_graphs(graphs, context, passes=allowed, pipeline=self._pipeline, limit=limit)

    def _join_onnxsim(
        self, graphs: ModelGraphs, plan: Plan, result: ManagerResult
    ) -> tuple[ManagerResult, ModelGraphs]:
        """What onnxsim and our passes after it make of the model if that has fewer nodes; else all is as before."""
        from onnxctl.passes import simplify_with_onnxsim as onnxsim

        self.news("letting onnxsim work on the graph")
        model, node_count = graphs.model, _node_count(graphs)
        kept = type(model.proto)()
        kept.CopyFrom(model.proto)
        found = onnxsim.simplify_with_onnxsim(model, self._children.working)
        refusals = () if found.refusal is None else (found.refusal,)
        joined = ModelGraphs(model)
        if found.outcome.rewrite_count:
            more = self._run_passes(joined, plan, None)
            removed = node_count - _node_count(joined)
            if removed > 0:
                outcome = replace(found.outcome, rewrite_count=removed)
                return _together(result, more, outcome, refusals), joined
            refusals = (Refusal(pass_name=onnxsim.NAME, reason="found nothing that lasts", where="the model"),)
            model.proto.CopyFrom(kept)
            joined = ModelGraphs(model)
        outcome = replace(found.outcome, rewrite_count=0)
        return replace(result, passes=(*result.passes, outcome), refusals=(*result.refusals, *refusals)), joined

    def stage(self, rewritten: Rewritten, target: Target, *, flush: bool = True) -> Staged:
        """The model written beside the target."""
        return stage(rewritten.model, target, external=self.config.external_data, flush=flush)

    def compare(self, candidate: str) -> Verification:
        """Whether the original and the model in this file give the same answers."""
        from onnxctl.runtime.compare import compare_in_child

        config = self.config
        return compare_in_child(
            self.file,
            candidate,
            dims=dict(config.dims),
            seed=config.seed,
            run_count=config.run_count,
            inputs=config.inputs,
            tolerance=config.tolerance,
            timeout_s=config.timeout_s,
            child=self._children.comparing,
        )

    def foresee_obstacle(self, model: Model) -> str:
        """Why the original can't be run here, as far as that can be told without trying."""
        from onnxctl.runtime.compare import foresee_obstacle

        return foresee_obstacle(model, ModelGraphs(model), self.config.memory_bytes)


_INLINING = "inline_functions"


def _after(inlined: ManagerResult, result: ManagerResult) -> ManagerResult:
    """The result with what was inlined before it, told as that pass's work."""
    (first,) = inlined.passes
    again = [each for each in result.passes if each.name == _INLINING]
    outcome = replace(
        first,
        rewrite_count=first.rewrite_count + sum(each.rewrite_count for each in again),
        elapsed_ns=first.elapsed_ns + sum(each.elapsed_ns for each in again),
    )
    others = [each for each in result.passes if each.name != _INLINING]
    return replace(result, passes=(outcome, *others), refusals=(*inlined.refusals, *result.refusals))


def _growth(what: str, before: int, after: int) -> str:
    return f"the result has {after - before} {what}s more than the original" if after > before else ""


def _node_count(graphs: ModelGraphs) -> int:
    return sum(len(scope.nodes) for scope in graphs.scopes())


def _together(
    first: ManagerResult, second: ManagerResult, outcome: PassOutcome, refusals: Sequence[Refusal]
) -> ManagerResult:
    """Both results as one, onnxsim's between them."""
    more = {each.name: each for each in second.passes}
    passes = [
        replace(
            each,
            rewrite_count=each.rewrite_count + more[each.name].rewrite_count,
            elapsed_ns=each.elapsed_ns + more[each.name].elapsed_ns,
        )
        for each in first.passes
    ]
    return replace(
        second,
        passes=(*passes, outcome),
        refusals=(*second.refusals, *refusals),
        rounds=first.rounds + second.rounds,
    )
