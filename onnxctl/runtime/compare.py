"""Proof that two models give the same answers: both run on the same generated inputs, in a child process.

The original runs first, its outputs are kept and its session freed; then the candidate. Both run without onnxruntime's
own graph optimizations, so that our rewrites are compared and not its fusions. What can't be run here is "not
verified", with the reason; only a seen difference is "different".
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import ChildCrashed, ModelError, OnnxctlError, ResourceLimit, UsageError
from onnxctl.memory import usual_memory_bytes
from onnxctl.reports import JSON, OutputComparison, Verification, decode, encode
from onnxctl.runtime.children import child_for_models
from onnxctl.runtime.opening import FirstRun, check_tensors, check_values, refuse_native_code

if TYPE_CHECKING:
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import Model
    from onnxctl.runtime.feeds import Feeds
    from onnxctl.runtime.given import Given
    from onnxctl.runtime.session import Session

RUN_COUNT = 3
"""Runs with different values: at least so many."""

OTHER_SIZES = 2
"""How many other sizes of the open dimensions are tried besides the first that runs."""

TIMEOUT_S = 600.0

KEPT_BYTES_LIMIT = 1 << 30
"""Inputs and outputs of the original that are kept for the candidate; beyond it there are no further runs."""

RANDOM_OPERATORS = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial", "Dropout")
)


def compare_in_child(
    original_path: str,
    candidate_path: str,
    *,
    dims: Mapping[str, int],
    seed: int,
    run_count: int | None = None,
    inputs: Sequence[tuple[str, str]] = (),
    tolerance: float | None = None,
    timeout_s: float | None = None,
    memory_bytes: int | None = None,
    child: Child | None = None,
) -> Verification:
    """Compare two model files in a child process of their own, or in the one given (see `children.child_for_models`).

    dims gives sizes for symbols; those that the original's inputs don't have count for nothing. run_count is how many
    runs there are at least (RUN_COUNT). inputs are (name, source) pairs as `given.read_inputs` takes them. tolerance
    replaces the one that fits the model. memory_bytes bounds the private memory of the child, by default to most of
    what is available.

    Raises UsageError or UnreadableFile for inputs that can't be used. Never raises for what a model does: a crash or a
    time-out is "not verified" like everything else that can't be run.
    """
    started = time.perf_counter_ns()
    request = {
        "original": original_path,
        "candidate": candidate_path,
        "dims": dict(dims),
        "seed": seed,
        "run_count": RUN_COUNT if run_count is None else run_count,
        "inputs": [list(each) for each in inputs],
        "tolerance": tolerance,
    }
    if inputs:
        _check_inputs(original_path, inputs)
    stage = _Stage()
    with child_for_models(memory_bytes) if child is None else contextlib.nullcontext(child) as worker:
        try:
            answer, _ = worker.call(
                "onnxctl.runtime.compare:compare",
                request,
                timeout_s=TIMEOUT_S if timeout_s is None else timeout_s,
                progress=stage.note,
                doing="the verification",
            )
        except ChildCrashed as error:
            if stage.name == "candidate" and "bad_alloc" not in error.message:  # where the original came through
                return _verdict(
                    "different", f"the result crashes where the original runs: {error.message}", seed, started
                )
            return _verdict("not verified", error.message, seed, started)
        except (ModelError, ResourceLimit, UsageError) as error:
            return _verdict("not verified", error.message, seed, started)
    found: Verification = decode(Verification, answer)
    return _timed(found, started)


def foresee_obstacle(model: Model, graphs: ModelGraphs, memory_bytes: int | None = None) -> str:
    """Why the model can't be run here, as far as that can be told without trying; "" where nothing is known.

    Nothing is opened: native code is found by its operators, and the tensors and values of known size are held against
    memory_bytes (None: most of what is available).
    """
    limit = usual_memory_bytes() if memory_bytes is None else memory_bytes
    try:
        refuse_native_code(graphs)
        check_tensors(model, limit)
        check_values(graphs, {}, limit)
    except (ModelError, ResourceLimit) as error:
        return f"the original doesn't run here: {error.message}"
    return ""


def _check_inputs(path: str, inputs: Sequence[tuple[str, str]]) -> None:
    """Raises UsageError or UnreadableFile for inputs that can't be used, before anything is run."""
    from onnxctl.model.loading import open_model
    from onnxctl.runtime.given import read_inputs

    read_inputs(open_model(path), inputs)


@dataclass(slots=True)
class _Stage:
    """Which of the two models is running, as the child told last."""

    name: str = ""

    def note(self, news: JSON) -> None:
        self.name = str(news)


def _verdict(status: Any, reason: str, seed: int, started: int) -> Verification:
    return _timed(Verification(status=status, reason=reason, seed=seed), started)


def _timed(found: Verification, started: int) -> Verification:
    return replace(found, elapsed_ns=time.perf_counter_ns() - started)


# ---------------------------------------------------------------- the child's side


@dataclass(frozen=True, slots=True)
class Reference:
    """One run of the original: what it was fed, and what it gave."""

    feeds: Feeds
    outputs: Sequence[Any]

    @property
    def byte_count(self) -> int:
        values = (*self.outputs, *self.feeds.values.values())
        return sum(getattr(value, "nbytes", 0) for value in values)


@dataclass(frozen=True, slots=True)
class _Original:
    """The original while it is open, and what its inputs are made of."""

    graphs: ModelGraphs
    session: Session
    dims: Mapping[str, int]
    seed: int
    given: Given

    def run(self, dims: Mapping[str, int], seed: int, attempt: int = 0) -> Reference | None:
        """A run with these sizes and values; None where it does not take them, which proves nothing."""
        from onnxctl.runtime.feeds import generate_feeds

        model = self.graphs.model
        try:
            feeds = generate_feeds(model, self.graphs, dims=dims, seed=seed, attempt=attempt, given=self.given)
            return Reference(feeds, self.session.run(feeds.values))
        except (UsageError, ModelError, ResourceLimit):
            return None


def compare(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: compare the model files request["original"] and request["candidate"]; answers a Verification."""
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import open_model

    seed = request["seed"]
    progress("original")
    model = open_model(request["original"])
    graphs = ModelGraphs(model)
    references, names, reason = run_original(model, graphs, request)
    gc.collect()
    if reason:
        return encode(Verification(status="not verified", reason=reason, seed=seed)), ()
    progress("candidate")
    outputs, reason = _run_candidate(request["candidate"], names, references)
    pairs = list(zip(references, outputs, strict=False))
    comparisons = _compare_all(graphs, names, pairs, request["tolerance"]) if pairs else []
    random = random_nodes(graphs)
    if not reason and not all(each.equal for each in comparisons):
        reason = "; ".join(f"output {each.name!r}: {each.message}" for each in comparisons if not each.equal)
    status = "different" if reason else "equal"
    if not reason:
        reason = _weakness(names, references)
    if status == "different" and random:
        status, reason = "not verified", f"random: {random} draws new numbers on every run"
    dims = dict.fromkeys(tuple(each.feeds.dims.items()) for each in references)
    found = Verification(
        status=status,  # type: ignore[arg-type]
        reason=reason,
        run_count=len(references),
        seed=seed,
        dims=tuple(each for each in dims if each),
        outputs=tuple(comparisons),
    )
    return encode(found), ()


def _weakness(names: Sequence[str], references: Sequence[Reference]) -> str:
    """What equal outputs don't prove, in words: a float output that held nothing but NaN; "" where all held numbers."""
    empty = [
        name
        for at, name in enumerate(names)
        if all(_is_nothing_but_nan(reference.outputs[at]) for reference in references)
    ]
    return f"but {', '.join(map(repr, empty))} held nothing but NaN, which proves little" if empty else ""


def _is_nothing_but_nan(value: Any) -> bool:
    import numpy as np

    is_float = isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
    return is_float and value.size > 0 and bool(np.isnan(value).all())


def open_plainly(model: Model, path: str) -> Session:
    """A session on the CPU without onnxruntime's own graph optimizations, the weights mapped."""
    from onnxctl.runtime.mapping import MAPPED_CONFIG, mapped_model
    from onnxctl.runtime.session import SessionSettings, open_session

    config = (*MAPPED_CONFIG, ("session.disable_prepacking", "1"))
    settings = SessionSettings(graph_optimization="disable", memory_arena=False, config=config)
    return open_session(mapped_model(model), settings, path=path)


def run_original(model: Model, graphs: ModelGraphs, request: JSON) -> tuple[list[Reference], tuple[str, ...], str]:
    """The runs of the original, its outputs' names, and why there is nothing to compare with if so."""
    from onnxctl.runtime.feeds import find_feeds, required_symbols
    from onnxctl.runtime.given import read_inputs

    seed = request["seed"]
    dims = {symbol: size for symbol, size in request["dims"].items() if symbol in required_symbols(model)}
    try:
        check_tensors(model)
        refuse_native_code(graphs)
        given = read_inputs(model, [(name, source) for name, source in request["inputs"]])
        session = open_plainly(model, request["original"])
        first_run = FirstRun(session)
        failures = (ModelError, ResourceLimit)
        feeds = find_feeds(model, graphs, first_run.run, dims=dims, seed=seed, failures=failures, given=given)
        again = session.run(feeds.values)
    except OnnxctlError as error:
        return [], (), f"the original doesn't run here: {error.message}"
    names = tuple(value.name for value in session.outputs)
    reason = _unsteady(names, first_run.outputs, again, graphs)
    if reason:
        return [], names, reason
    original, first = _Original(graphs, session, dims, seed, given), Reference(feeds, first_run.outputs)
    return [first, *_further_runs(original, first, request["run_count"]), *_runs_with_a_one(original, first)], names, ""


def _further_runs(original: _Original, first: Reference, run_count: int) -> list[Reference]:
    """More runs of the original: other sizes where it takes them, then other values until there are enough."""
    from onnxctl.runtime.feeds import required_inputs
    from onnxctl.runtime.habits import ATTEMPT_COUNT

    if set(required_inputs(original.graphs.model)) <= set(original.given.values):
        return []  # every value was given: another run would be the same one

    attempts = [n for n in range(ATTEMPT_COUNT) if n != first.feeds.attempt] if first.feeds.open_size_count else []
    wanted = [*attempts[:OTHER_SIZES], *[first.feeds.attempt] * (run_count + OTHER_SIZES)]
    least = run_count + (1 if attempts else 0)
    found: list[Reference] = []
    for number, attempt in enumerate(wanted, 1):
        if len(found) + 1 >= least or sum(each.byte_count for each in (first, *found)) > KEPT_BYTES_LIMIT:
            break
        another = original.run(original.dims, original.seed + number, attempt)
        if another is not None:
            found.append(another)
    return found


def _runs_with_a_one(original: _Original, first: Reference) -> list[Reference]:
    """Runs in which one of two open sizes is 1 that were equal so far: they may have met in a broadcast only."""
    sizes = first.feeds.dims
    equal = [name for name, size in sizes.items() if size > 1 and list(sizes.values()).count(size) > 1]
    symbols = [name for name in equal if name not in original.dims][:OTHER_SIZES]
    runs = [original.run({**sizes, symbol: 1}, original.seed) for symbol in symbols]
    return [each for each in runs if each is not None]


def _unsteady(names: Sequence[str], outputs: Sequence[Any], again: Sequence[Any], graphs: ModelGraphs) -> str:
    """Why the original can't be compared with anything: two runs on the same inputs differ; "" where they don't."""
    from onnxctl.runtime.tolerance import compare_values, tolerance_of

    tolerance = tolerance_of(graphs)
    for name, first, second in zip(names, outputs, again, strict=True):
        if not compare_values(name, first, second, tolerance=tolerance).equal:
            random = random_nodes(graphs)
            if random:
                return f"random: {random} draws new numbers on every run"
            return f"not deterministic: output {name!r} of the original changes from run to run on the same inputs"
    return ""


def random_nodes(graphs: ModelGraphs) -> str:
    """The nodes that draw random numbers, in words; "" where there are none."""
    labels = [
        f"node {scope.node_label(node)!r} ({node.op_type})"
        for scope in graphs.scopes()
        for node in scope.nodes
        if node.op_type in RANDOM_OPERATORS and (node.op_type != "Dropout" or len(node.input) > 2)
    ]
    more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
    return f"{labels[0]}{more}" if labels else ""


def _run_candidate(path: str, names: Sequence[str], references: Sequence[Reference]) -> tuple[list[Sequence[Any]], str]:
    """The candidate's outputs on the same inputs, and what is wrong with it where it doesn't give any."""
    from onnxctl.model.loading import open_model

    found: list[Sequence[Any]] = []
    try:
        session = open_plainly(open_model(path), path)
        if tuple(value.name for value in session.outputs) != tuple(names):
            return [], "the result has other outputs than the original"
        for reference in references:
            found.append(session.run(reference.feeds.values))
    except ModelError as error:
        return found, f"the result doesn't run where the original does: {error.message.removeprefix(f'{path}: ')}"
    return found, ""


def _compare_all(
    graphs: ModelGraphs,
    names: Sequence[str],
    pairs: Sequence[tuple[Reference, Sequence[Any]]],
    tolerance: float | None,
) -> list[OutputComparison]:
    """Each output of the original held against the candidate's in all runs, with the tolerance that fits the model."""
    from onnxctl.runtime.tolerance import compare_values, decides_by_floats, merge, slack_of, tolerance_of

    limit = tolerance_of(graphs) if tolerance is None else tolerance
    may_flip = decides_by_floats(graphs)
    found = []
    for at, name in enumerate(names):
        slack = slack_of(graphs, name) if tolerance is None else 0.0
        compared = [
            compare_values(name, run.outputs[at], outputs[at], tolerance=limit, may_flip=may_flip, slack=slack)
            for run, outputs in pairs
        ]
        found.append(merge(compared))
    return found
