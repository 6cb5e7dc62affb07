"""Which of the model's own nodes a node of the graph onnxruntime runs stands for, from the tensors both have.

onnxruntime keeps the names of the tensors a fused node reads and writes. The model's nodes between these are what was
fused. Where it renames tensors (function bodies it inlines, rearranged layouts other than NCHWc) nothing is recovered.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence

from onnx import GraphProto, NodeProto

from onnxctl.model.names import own_label

_BLOCKED_LAYOUT = "_nchwc"
"""onnxruntime calls the blocked form of a node after the tensor it makes, with this at the end."""

_OUT_OF_BLOCKED = "ReorderOutput"
_OUTSIDE = -1


def original_nodes(model: GraphProto, optimized: GraphProto) -> tuple[tuple[str, ...], ...]:
    """For each node of the optimized graph the labels of the model's nodes that it stands for, in the model's order."""
    return _Matcher(model, optimized).match()


class _Matcher:
    def __init__(self, model: GraphProto, optimized: GraphProto) -> None:
        self._nodes = model.node
        self._optimized = optimized.node
        self._makers = {name: at for at, node in enumerate(model.node) for name in node.output if name}
        self._readers: dict[str, set[int]] = defaultdict(set)
        for at, node in enumerate(model.node):
            for name in node.input:
                self._readers[name].add(at)
        for value in model.output:
            self._readers[value.name].add(_OUTSIDE)
        self._known = {tensor.name for tensor in optimized.initializer}
        self._owners: dict[int, int] = {}

    def match(self) -> tuple[tuple[str, ...], ...]:
        made = [self._made(node) for node in self._optimized]
        for owner, names in enumerate(made):
            self._known.update(names)
            self._owners.update({self._makers[name]: owner for name in names})
        for owner, names in enumerate(made):
            self._claim_behind(owner, names)
        self._claim_after({owner for owner, node in enumerate(self._optimized) if self._blocked(node)})
        found: list[list[str]] = [[] for _ in self._optimized]
        for at, owner in sorted(self._owners.items()):
            found[owner].append(own_label(self._nodes[at]))
        return tuple(map(tuple, found))

    def _made(self, node: NodeProto) -> list[str]:
        """The model's tensors that the node makes, one whose blocked form it makes included."""
        if node.op_type == _OUT_OF_BLOCKED:
            return []  # it computes nothing: what it puts out was made before
        blocked = self._blocked(node)
        return [name for name in (*node.output, blocked) if name in self._makers]

    def _blocked(self, node: NodeProto) -> str:
        name = node.name.removesuffix(_BLOCKED_LAYOUT) if node.name.endswith(_BLOCKED_LAYOUT) else ""
        return name if name in self._makers else ""

    def _claim_behind(self, owner: int, made: Sequence[str]) -> None:
        """What leads to the tensors made and to nothing else; later nodes first, so that all readers have been seen."""
        mine = {self._makers[name] for name in made}
        waiting = [-each for at in mine for each in self._before(at)]
        heapq.heapify(waiting)
        while waiting:
            at = -heapq.heappop(waiting)
            outputs = [name for name in self._nodes[at].output if name]
            if at in mine or at in self._owners or any(name in self._known for name in outputs):
                continue
            if all(self._readers[name] <= mine for name in outputs):
                mine.add(at)
                self._owners[at] = owner
                for each in self._before(at):
                    heapq.heappush(waiting, -each)

    def _before(self, at: int) -> list[int]:
        return [
            self._makers[name] for name in self._nodes[at].input if name in self._makers and name not in self._known
        ]

    def _claim_after(self, owners: set[int]) -> None:
        """What was fused behind a node in blocked layout, which is called after the tensor before (Conv, Add, Relu)."""
        for at, node in enumerate(self._nodes):
            if at in self._owners:
                continue
            before = [self._owners.get(self._makers[name], _OUTSIDE) for name in node.input if name in self._makers]
            last = max(before, default=_OUTSIDE)
            if last in owners:
                self._owners[at] = last
