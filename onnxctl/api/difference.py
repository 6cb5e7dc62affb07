"""`diff`: what differs between two models, in structure, weights and, if asked, outputs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from onnxctl.api.progress import News, silent

if TYPE_CHECKING:
    from onnxctl.analysis.difference.comparison import Difference
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import Model
    from onnxctl.reports import DiffReport, OutputsComparison


def diff(
    before: str,
    after: str,
    *,
    full: bool = False,
    quick: bool = False,
    run: bool = False,
    dims: Mapping[str, int] | None = None,
    seed: int = 0,
    runs: int | None = None,
    inputs: Sequence[tuple[str, str]] = (),
    tolerance: float | None = None,
    timeout_s: float | None = None,
    memory_bytes: int | None = None,
    progress: News | None = None,
) -> DiffReport:
    """What differs between two models: interface, header, nodes matched by structure, weights by content.

    quick lets weights count as equal whose samples are. run compares outputs on the same generated inputs, with dims,
    seed, runs, inputs, tolerance, timeout_s and memory_bytes as for verification; without it nothing is executed. full
    lets people be shown everything. As in git, /dev/null stands for no model, and all of the other is added or removed.
    Raises ModelError for a file that is no valid model.
    """
    from onnxctl.analysis.difference.comparison import compare_models
    from onnxctl.errors import UsageError
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import STANDARD_INPUT, model_file

    started = time.perf_counter_ns()
    news = progress or silent
    if before == after == STANDARD_INPUT:
        raise UsageError("both models can't come from standard input", hint="name a file for one of them")
    if run and os.devnull in (before, after):
        raise UsageError(f"{os.devnull} is no model that could be run", hint="leave out --run")
    with model_file(before) as before_file, model_file(after) as after_file:
        news("reading both models")
        a, b = (ModelGraphs(_open_sound_model(path)) for path in (before_file, after_file))
        news("comparing")
        difference = compare_models(a, b, quick=quick)
        outputs = None
        if run:
            news("running both models")
            outputs = _outputs(a, b, dims or {}, seed, runs, inputs, tolerance, timeout_s, memory_bytes)
    return _report(before, after, difference, outputs, full, time.perf_counter_ns() - started)


def _open_sound_model(path: str) -> Model:
    from onnxctl.analysis.structure import check_structure
    from onnxctl.model.loading import no_model, open_model

    if path == os.devnull:
        return no_model()
    model = open_model(path)
    check_structure(model)
    return model


def _outputs(
    a: ModelGraphs,
    b: ModelGraphs,
    dims: Mapping[str, int],
    seed: int,
    runs: int | None,
    inputs: Sequence[tuple[str, str]],
    tolerance: float | None,
    timeout_s: float | None,
    memory_bytes: int | None,
) -> OutputsComparison:
    """Run both; inputs and outputs stand for each other as in the comparison of the interface."""
    from onnxctl.analysis.difference.header import pair_values
    from onnxctl.analysis.types import refuse_unknown_symbols
    from onnxctl.runtime.difference import compare_outputs_in_child

    graph_a, graph_b = a.model.proto.graph, b.model.proto.graph
    refuse_unknown_symbols(graph_a, dims)
    input_pairs, output_pairs = pair_values(graph_a.input, graph_b.input), pair_values(graph_a.output, graph_b.output)
    return compare_outputs_in_child(
        a.model.path,
        b.model.path,
        input_names={x: y for x, y in input_pairs if x is not None and y is not None},
        output_names=[(x, y) for x, y in output_pairs if x is not None and y is not None],
        dims=dims,
        seed=seed,
        run_count=runs,
        inputs=inputs,
        tolerance=tolerance,
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
    )


def _report(
    before: str,
    after: str,
    found: Difference,
    outputs: OutputsComparison | None,
    full: bool,
    elapsed_ns: int,
) -> DiffReport:
    from onnxctl.reports import DiffReport

    verdict: Literal["same", "different", "not compared"] = "same"
    if any(each.status == "not compared" for each in found.weights) or (outputs and outputs.status == "not verified"):
        verdict = "not compared"
    changed_weights = any(each.status != "not compared" for each in found.weights)
    if found.header or found.interface or found.nodes or changed_weights or (outputs and outputs.status == "different"):
        verdict = "different"
    return DiffReport(
        before=before,
        after=after,
        verdict=verdict,
        header=found.header,
        interface=found.interface,
        nodes=found.nodes,
        weights=found.weights,
        counts=found.counts,
        outputs=outputs,
        full=full,
        elapsed_ns=elapsed_ns,
    )
