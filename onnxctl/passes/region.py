"""A region of nodes to be computed in another arrangement of its tensors, and who reads what on its border."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from onnx import NodeProto

from onnxctl.model.graph import Graph

ELEMENTWISE = frozenset(
    "Abs Cast Ceil Clip Cos Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity LeakyRelu Log Mish Neg Not "
    "Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt Tanh Add Sub Mul Div Pow Where Equal Greater "
    "Less And Or GreaterOrEqual LessOrEqual Max Min Sum Mean IsNaN IsInf".split()
)
"""Operators that compute each element from those at its place, with NumPy's broadcasting."""


@dataclass(slots=True)
class Region:
    """Nodes by their identity, and the values they make or read that are arranged anew."""

    graph: Graph
    nodes: dict[int, NodeProto] = field(default_factory=dict)
    values: dict[str, None] = field(default_factory=dict)

    def makes(self, name: str) -> bool:
        """Whether a node of the region makes the value."""
        return id(self.graph.producer(name)) in self.nodes

    def outside_readers(self, name: str) -> list[NodeProto]:
        """The nodes that read the value and don't belong to the region."""
        return [reader for reader in self.graph.consumers(name) if id(reader) not in self.nodes]

    def is_private(self, name: str) -> bool:
        """Whether nobody else sees the value."""
        return not self.graph.is_output(name) and not self.outside_readers(name)


def grow_region(
    graph: Graph,
    start: str,
    fits: Callable[[str], bool],
    moved_by: Callable[[NodeProto], Iterable[str] | None],
) -> Region:
    """All that hangs together with the value `start`: nodes that can be arranged anew, and values of theirs that fit.

    moved_by gives the values that a node has in common with its neighbours, None where the node can't belong to it.
    """
    region = Region(graph)
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in region.values or not fits(name):
            continue
        region.values[name] = None
        maker = graph.producer(name)
        for node in [*graph.consumers(name), *([maker] if maker is not None else [])]:
            if id(node) not in region.nodes:
                moved = moved_by(node)
                if moved is not None:
                    region.nodes[id(node)] = node
                    waiting += moved
    region.values = {name: None for name in region.values if region.makes(name) or _reads(region, name)}
    return region


def _reads(region: Region, name: str) -> bool:
    return len(region.outside_readers(name)) < len(region.graph.consumers(name))
