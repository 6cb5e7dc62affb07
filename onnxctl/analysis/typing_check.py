"""Types and shapes that contradict each other, as symbolic propagation sees them; weights are not read."""

from __future__ import annotations

from collections.abc import Iterator

from onnxctl.analysis.problems import Problem
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.propagation import propagate


def find_contradictions(graphs: ModelGraphs) -> Iterator[Problem]:
    """Where sizes that must be equal are not, or the model states other than what follows from its inputs."""
    seen: set[tuple[str, str]] = set()
    for each in propagate(graphs).assumptions:
        if each.contradiction and (each.where, each.message) not in seen:
            seen.add((each.where, each.message))
            yield Problem("shape-contradiction", each.message, each.where)
