"""Types and shapes that contradict each other, as symbolic propagation sees them; weights are not read."""

from __future__ import annotations

from collections.abc import Iterator

from onnxctl.analysis.problems import Problem
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.names import as_text
from onnxctl.model.propagation import Propagation, propagate

_TOLD = "contradiction: "
_STATED = "contradiction: computed "
"""How propagation begins to tell that the model states a type other than what follows from its inputs."""


def find_contradictions(graphs: ModelGraphs, found: Propagation | None = None) -> Iterator[Problem]:
    """Where sizes that must be equal are not, or the model states other than what follows from its inputs.

    found is what propagation found, if somebody has it already.
    """
    told = dict.fromkeys(
        (as_text(each.where), each.message)
        for each in (found or propagate(graphs)).assumptions
        if each.contradiction and each.message.startswith(_TOLD)
    )
    for where, message in told:
        code = "stated-shape" if message.startswith(_STATED) else "shape-contradiction"
        yield Problem(code, message.removeprefix(_TOLD), where)
