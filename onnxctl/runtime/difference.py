"""Two models, of whatever names, run on the same inputs in a child process: how far apart their outputs are."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from onnxctl.child import Answer, Blob, Progress
from onnxctl.errors import ChildCrashed, ModelError, ResourceLimit, UsageError
from onnxctl.reports import JSON, OutputDifference, OutputsComparison, TopAgreement, decode, encode
from onnxctl.runtime.children import child_for_models
from onnxctl.runtime.compare import (
    RUN_COUNT,
    TIMEOUT_S,
    Reference,
    open_plainly,
    random_nodes,
    run_original,
)

if TYPE_CHECKING:
    from onnxctl.model.arrays import Array

TOP_COUNTS = (1, 5)
"""How many of the largest elements of a row are held against each other."""

_MOST_ROWS = 100_000


def compare_outputs_in_child(
    before_path: str,
    after_path: str,
    *,
    input_names: Mapping[str, str],
    output_names: Sequence[tuple[str, str]],
    dims: Mapping[str, int],
    seed: int,
    run_count: int | None = None,
    inputs: Sequence[tuple[str, str]] = (),
    tolerance: float | None = None,
    timeout_s: float | None = None,
    memory_bytes: int | None = None,
) -> OutputsComparison:
    """Compare the outputs of two model files; input_names maps inputs of the first to those of the second.

    The others are as for `compare.compare_in_child`. Never raises for what a model does.
    """
    request = {
        "original": before_path,
        "candidate": after_path,
        "input_names": dict(input_names),
        "output_names": [list(each) for each in output_names],
        "dims": dict(dims),
        "seed": seed,
        "run_count": RUN_COUNT if run_count is None else run_count,
        "inputs": [list(each) for each in inputs],
        "tolerance": tolerance,
    }
    with child_for_models(memory_bytes) as child:
        try:
            answer, _ = child.call(
                "onnxctl.runtime.difference:compare_outputs",
                request,
                timeout_s=TIMEOUT_S if timeout_s is None else timeout_s,
                doing="running both models",
            )
        except (ChildCrashed, ModelError, ResourceLimit, UsageError) as error:
            return _verdict("not verified", error.message, seed)
    return decode(OutputsComparison, answer)


def _verdict(status: Literal["different", "not verified"], reason: str, seed: int) -> OutputsComparison:
    return OutputsComparison(status=status, reason=reason, run_count=0, seed=seed, dims=(), outputs=())


# ---------------------------------------------------------------- the child's side


def compare_outputs(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: what `compare_outputs_in_child` asks for; answers an OutputsComparison."""
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import open_model
    from onnxctl.runtime.tolerance import decides_by_floats, tolerance_of

    seed = request["seed"]
    model = open_model(request["original"])
    graphs = ModelGraphs(model)
    references, names, reason = run_original(model, graphs, request)
    gc.collect()
    if reason:
        return encode(_verdict("not verified", reason.replace("the original", "the first model"), seed)), ()
    outputs, reason = _run_other(request, references)
    if reason and not outputs:
        return encode(_verdict("different", reason, seed)), ()
    tolerance = tolerance_of(graphs) if request["tolerance"] is None else request["tolerance"]
    may_flip = decides_by_floats(graphs)
    differences = []
    for at, (before, after) in enumerate(request["output_names"]):
        pairs = [(run.outputs[names.index(before)], found[at]) for run, found in zip(references, outputs, strict=False)]
        differences.append(difference_of_values(before, after, pairs, tolerance, may_flip))
    reason = reason or "; ".join(f"output {each.after!r}: {each.message}" for each in differences if not each.equal)
    status: Literal["equal", "different", "not verified"] = "different" if reason else "equal"
    random = random_nodes(graphs)
    if reason and random:
        status, reason = "not verified", f"random: {random} draws new numbers on every run"
    found = OutputsComparison(
        status=status,
        reason=reason,
        run_count=len(references),
        seed=seed,
        dims=tuple(references[0].feeds.dims.items()),
        outputs=tuple(differences),
    )
    return encode(found), ()


def _run_other(request: JSON, references: Sequence[Reference]) -> tuple[list[list[Any]], str]:
    """The second model's outputs, in the order asked for, and what is wrong with it where it gives none."""
    from onnxctl.model.loading import open_model
    from onnxctl.runtime.feeds import required_inputs

    path = request["candidate"]
    known = {after: before for before, after in request["input_names"].items()}
    found: list[list[Any]] = []
    try:
        model = open_model(path)
        wanted = list(required_inputs(model))
        alone = [name for name in wanted if name not in known]
        if alone:
            return [], f"the input {alone[0]!r} of the second model has no counterpart in the first"
        session = open_plainly(model, path)
        places = [value.name for value in session.outputs]
        for reference in references:
            missing = [name for name in wanted if known[name] not in reference.feeds.values]
            if missing:
                return [], f"the input {missing[0]!r} of the second model has a default in the first"
            outputs = session.run({name: reference.feeds.values[known[name]] for name in wanted})
            found.append([outputs[places.index(after)] for _, after in request["output_names"]])
    except ModelError as error:
        return found, f"the second model doesn't run where the first does: {error.message.removeprefix(f'{path}: ')}"
    return found, ""


# ---------------------------------------------------------------- one output


def difference_of_values(
    before: str, after: str, pairs: Sequence[tuple[Any, Any]], tolerance: float, may_flip: bool, *, ranked: bool = True
) -> OutputDifference:
    """How far a value is apart in pairs of runs; before and after are its names.

    ranked: it tells what is most likely, so that its largest elements are held against each other.
    """
    from onnxctl.runtime.tolerance import compare_values, merge

    compared = merge([compare_values(after, x, y, tolerance=tolerance, may_flip=may_flip) for x, y in pairs])
    arrays = [each for pair in pairs if (each := _numbers(*pair)) is not None]
    cosines = [cosine for x, y in arrays if (cosine := _cosine(x, y)) is not None]
    means = [_mean_difference(x, y) for x, y in arrays]
    return OutputDifference(
        before=before,
        after=after,
        equal=compared.equal,
        max_absolute=compared.max_absolute,
        max_relative=compared.max_relative,
        mean_absolute=max(means, default=None),
        cosine=min(cosines, default=None),
        top=tuple(_agreements(arrays)) if ranked else (),
        tolerance=compared.tolerance,
        message=compared.message,
    )


def _numbers(x: Any, y: Any) -> tuple[Array, Array] | None:
    """Both as float64 where they are arrays of floating-point numbers of one shape."""
    import numpy as np

    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray) or x.shape != y.shape or not x.size:
        return None
    if any(each.dtype.kind not in "fV" and "float" not in each.dtype.name for each in (x, y)):
        return None
    return x.astype(np.float64), y.astype(np.float64)


def _cosine(x: Array, y: Array) -> float | None:
    import numpy as np

    with np.errstate(all="ignore"):
        norms = math.sqrt(float(np.vdot(x, x))) * math.sqrt(float(np.vdot(y, y)))
        product = float(np.vdot(x, y))
    if not norms or not math.isfinite(norms) or not math.isfinite(product):
        return None
    return max(-1.0, min(1.0, product / norms))


def _mean_difference(x: Array, y: Array) -> float:
    import numpy as np

    with np.errstate(all="ignore"):
        difference = np.abs(x - y)
    finite = difference[np.isfinite(difference)]
    return float(finite.mean()) if finite.size else 0.0


def _agreements(arrays: Sequence[tuple[Array, Array]]) -> Iterator[TopAgreement]:
    """For each of TOP_COUNTS that is less than a row, over the rows (along the last axis) of all runs."""
    import numpy as np

    for count in TOP_COUNTS:
        rows = sets = orders = 0
        for x, y in arrays:
            if x.ndim < 1 or x.shape[-1] <= count:
                continue
            left, right = (_top(each.reshape(-1, each.shape[-1])[:_MOST_ROWS], count) for each in (x, y))
            rows += len(left)
            orders += int(np.count_nonzero((left == right).all(axis=1)))
            sets += int(np.count_nonzero((np.sort(left, axis=1) == np.sort(right, axis=1)).all(axis=1)))
        if rows:
            yield TopAgreement(k=count, row_count=rows, same_set=sets / rows, same_order=orders / rows)


def _top(rows: Array, count: int) -> Array:
    """The places of the largest elements of each row, the largest first; of equal ones the first."""
    import numpy as np

    return np.argsort(-rows, axis=1, kind="stable")[:, :count]
