"""Which of the model's own nodes a node of the graph onnxruntime runs stands for, from the tensors both have.

onnxruntime keeps the names of the tensors a fused node reads and writes. The model's nodes between these are what was
fused. Where it renames tensors (quantized models, rearranged layouts) a node mostly keeps the name of one that it
stands for. Where neither is known of a node, or of one before it (function bodies inlined), nothing is recovered.
"""

from __future__ import annotations

import heapq
import re
from collections import defaultdict

from onnx import GraphProto, NodeProto

from onnxctl.model.names import own_label
from onnxctl.model.nodes import is_standard

_BLOCKED_LAYOUT = "_nchwc"
"""onnxruntime calls the blocked form of a node after the tensor it makes, with this at the end."""

_OUT_OF_BLOCKED = "ReorderOutput"
_RENAMED = re.compile(r"(?:/\w+Fusion/?)?(?:_token_\d+)?$")
"""What onnxruntime adds to the name of a node that it fuses with others, and to one that it has used already."""

_FLOAT32_FORM = "InsertedPrecisionFreeCast_"
"""What onnxruntime puts before the names of float16 tensors, and of their casts, where it computes in float32."""

_REARRANGES = ("Transpose", "ReorderInput", "ReorderOutput", "Cast", "MemcpyToHost", "MemcpyFromHost")
"""Operators that onnxruntime puts between nodes: they stand for none."""

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
        self._given = (
            self._known | {value.name for value in model.input} | {tensor.name for tensor in model.initializer}
        )
        self._optimized_makers = {name: node for node in optimized.node for name in node.output if name}
        self._labels = {own_label(node): at for at, node in reversed(list(enumerate(model.node)))}
        self._owners: dict[int, int] = {}
        self._anchored: set[str] = set()

    def match(self) -> tuple[tuple[str, ...], ...]:
        made = [self._made(node) for node in self._optimized]
        for owner, names in enumerate(made):
            self._known.update(names)
            self._owners.update({self._makers[name]: owner for name in names})
        anchors = [{self._makers[name] for name in names} for names in made]
        for owner, node in enumerate(self._optimized):
            anchors[owner] |= self._namesake(node, owner) if not anchors[owner] else set()
            if anchors[owner]:
                self._anchored.update(node.output)
        for owner, node in enumerate(self._optimized):
            if node.op_type.startswith("Q"):
                self._claim_until_quantized(owner, anchors[owner])
        for owner, node in enumerate(self._optimized):
            if self._blocked(node) or all(map(self._is_clear, node.input)):
                self._claim_behind(owner, anchors[owner])
        self._claim_after({owner for owner, node in enumerate(self._optimized) if self._blocked(node)})
        found: list[list[str]] = [[] for _ in self._optimized]
        for at, owner in sorted(self._owners.items()):
            if not is_standard(self._nodes[at], "Constant"):  # it is a weight more than a node
                found[owner].append(own_label(self._nodes[at]))
        return tuple(map(tuple, found))

    def _made(self, node: NodeProto) -> list[str]:
        """The model's tensors that the node makes, one whose blocked form it makes included."""
        if node.op_type == _OUT_OF_BLOCKED or (node.op_type == "Cast" and node.name.startswith(_FLOAT32_FORM)):
            return []  # it computes nothing: what it puts out was made before
        names = (*(name.removeprefix(_FLOAT32_FORM) for name in node.output), self._blocked(node))
        return [name for name in names if name in self._makers]

    def _blocked(self, node: NodeProto) -> str:
        blocked = node.name.endswith(_BLOCKED_LAYOUT)
        name = node.name.removesuffix(_BLOCKED_LAYOUT).removeprefix(_FLOAT32_FORM) if blocked else ""
        return name if name in self._makers else ""

    def _namesake(self, node: NodeProto, owner: int) -> set[int]:
        """The model's node of the same name, if it is nobody's yet."""
        at = self._labels.get(_RENAMED.sub("", node.name, count=1))
        if at is None or self._owners.setdefault(at, owner) != owner:
            return set()
        return {at}

    def _is_clear(self, name: str) -> bool:
        """Whether it is known where in the model this tensor of the optimized graph is made, or that it is given."""
        for _ in range(len(_REARRANGES)):
            if not name or name in self._given or name in self._makers or name in self._anchored:
                return True
            maker = self._optimized_makers.get(name)
            if maker is None or maker.op_type not in _REARRANGES:
                return maker is None
            name = maker.input[0]
        return False

    def _claim_until_quantized(self, owner: int, anchors: set[int]) -> None:
        """What follows a quantized node, up to the QuantizeLinear that is part of it."""
        for start in anchors:
            at = start
            while len(self._nodes[at].output) == 1 and self._nodes[at].op_type != "QuantizeLinear":
                readers = self._readers[self._nodes[at].output[0]]
                at = next(iter(readers)) if len(readers) == 1 else _OUTSIDE
                if at == _OUTSIDE or at in self._owners:
                    break
                self._owners[at] = owner

    def _claim_behind(self, owner: int, anchors: set[int]) -> None:
        """What leads to the anchors and to nothing else; later nodes first, so that all readers have been seen."""
        mine = {at for at, who in self._owners.items() if who == owner} | anchors
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
