"""Fixing symbolic dimensions, unless the sizes contradict what else the model says or computes."""

from __future__ import annotations

from collections.abc import Mapping

from onnxctl.analysis.onnx_opinion import ask_onnx
from onnxctl.analysis.problems import Problem
from onnxctl.analysis.typing_check import find_contradictions
from onnxctl.child import Child
from onnxctl.errors import UsageError
from onnxctl.model.graph import ModelGraphs
from onnxctl.passes.freeze_dimensions import freeze_dimensions


def freeze_or_refuse(graphs: ModelGraphs, dims: Mapping[str, int], child: Child) -> None:
    """Freeze the dimensions, as a pass does.

    Raises UsageError, naming the node or value, for a symbol that the model does not have, and where a contradiction
    appears where there was none before: by our propagation of symbols, or by onnx's own strict inference in the child.
    """
    before = {each.where for each in _contradictions(graphs, child)}
    freeze_dimensions(graphs, dims)
    for each in _contradictions(graphs, child):
        if each.where not in before:
            sizes = ", ".join(f"{name}={size}" for name, size in dims.items())
            raise UsageError(
                f"--dim {sizes} contradicts the model at {each.where!r}: {each.message}",
                hint="choose sizes that agree with what is fixed in the model",
            )


def _contradictions(graphs: ModelGraphs, child: Child) -> list[Problem]:
    return [*find_contradictions(graphs), *ask_onnx(graphs.model, child).types]
