"""Which node of one scope is which of another: by what they compute, then by what is made of them, then by neighbours.

Certain matches come first: equal computations from equal inputs, then equal ones but for the values of weights, then
those whose results are used alike. From these, matches spread along edges to neighbours of the same operator. Names
decide only among what is left. A node that then stands where another stood, read by the same readers at the same
places, has replaced it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator

from onnx import NodeProto

from onnxctl.analysis.difference.numbering import NumberedScope

Pair = tuple[NodeProto, NodeProto]


class Matching:
    """The pairs of two scopes; what is in no pair was removed from a, or added in b."""

    def __init__(self, a: NumberedScope, b: NumberedScope) -> None:
        self.a, self.b = a, b
        self._of_a: dict[int, NodeProto] = {}
        self._of_b: dict[int, NodeProto] = {}
        self._replaced_by: dict[int, NodeProto] = {}
        self._replacing: set[int] = set()
        self._waiting: deque[Pair] = deque()
        self._operators = a.operators | b.operators
        self._match()
        self._find_replaced()

    def pairs(self) -> Iterator[Pair]:
        """All pairs, in a's order."""
        for node in self.a.nodes:
            partner = self._of_a.get(id(node))
            if partner is not None:
                yield node, partner

    def replaced(self) -> Iterator[Pair]:
        """The nodes of a whose place a node of another kind has taken, and that one, in a's order."""
        for node in self.a.nodes:
            if id(node) in self._replaced_by:
                yield node, self._replaced_by[id(node)]

    def removed(self) -> list[NodeProto]:
        """The nodes of a that b has no counterpart of."""
        return [node for node in self.a.nodes if id(node) not in self._of_a and id(node) not in self._replaced_by]

    def added(self) -> list[NodeProto]:
        """The nodes of b that a has no counterpart of."""
        return [node for node in self.b.nodes if id(node) not in self._of_b and id(node) not in self._replacing]

    # ------------------------------------------------------------ the steps

    def _match(self) -> None:
        a, b = self.a, self.b
        self._by(lambda s, k: s.node_exact[k], alone=True)
        if not self.removed() or not self.added():
            return
        self._by(lambda s, k: (s.node_exact[k], s.node_uses[k]))
        self._by(lambda s, k: s.node_exact[k])
        self._by(lambda s, k: (s.node_rough[k], s.node_uses[k]))
        self._by(lambda s, k: s.node_rough[k])
        self._by(lambda s, k: s.node_uses[k])
        self._spread()
        names = {id(node): node.name for scope in (a, b) for node in scope.nodes}
        made = {id(node): tuple(node.output) for scope in (a, b) for node in scope.nodes}
        self._by(lambda s, k: (self._operators[k], names[k]) if names[k] else None)
        self._spread()
        self._by(lambda s, k: (self._operators[k], made[k]))
        self._spread()
        self._by(lambda s, k: (self._operators[k], s.attributes[k], made[k] == ()), evenly=True)
        self._spread()

    def _find_replaced(self) -> None:
        """Nodes left over on both sides whose values are read at the same places, and by nobody else's counterpart."""
        places = [pair for one, two in self.pairs() for pair in zip(one.input, two.input, strict=False)]
        places += zip(self.a.graph.outputs, self.b.graph.outputs, strict=False)
        candidates: dict[tuple[int, int], Pair] = {}
        for x, y in places:
            for one in self._makers(self.a, x):
                for two in self._makers(self.b, y):
                    if id(one) not in self._of_a and id(two) not in self._of_b:
                        candidates[id(one), id(two)] = one, two
        sides = [Counter(key[side] for key in candidates) for side in (0, 1)]
        for (old, new), (_, two) in candidates.items():
            if sides[0][old] == sides[1][new] == 1:
                self._replaced_by[old] = two
                self._replacing.add(new)

    def _by(self, key: Callable[[NumberedScope, int], Hashable], *, evenly: bool = False, alone: bool = False) -> None:
        """Pair what is left and has an equal key, in order.

        evenly: only where both sides have as many; alone: only where they have one each.
        """
        left = _grouped(self.a, self.removed(), key)
        right = _grouped(self.b, self.added(), key)
        for each, nodes in left.items():
            others = right.get(each, [])
            if (evenly and len(nodes) != len(others)) or (alone and not len(nodes) == len(others) == 1):
                continue
            for one, two in zip(nodes, others, strict=False):
                self._pair(one, two)

    def _pair(self, one: NodeProto, two: NodeProto) -> None:
        self._of_a[id(one)] = two
        self._of_b[id(two)] = one
        self._waiting.append((one, two))

    def _spread(self) -> None:
        """From each pair to the makers of its inputs and the readers of its outputs, as long as that is unambiguous."""
        beside = self._beside_what_is_left()
        while self._waiting:
            one, two = self._waiting.popleft()
            if id(one) not in beside:
                continue
            for x, y in zip(one.input, two.input, strict=False):
                self._try(self._makers(self.a, x), self._makers(self.b, y))
            for x, y in zip(one.output, two.output, strict=False):
                self._try(self._readers(self.a, x, self._of_a), self._readers(self.b, y, self._of_b))

    def _beside_what_is_left(self) -> set[int]:
        """The nodes of a that make what a node in no pair reads, or read what it makes."""
        found: set[int] = set()
        for node in self.removed():
            found.update(id(each) for name in node.input for each in self._makers(self.a, name))
            found.update(id(each) for name in node.output for each in self.a.graph.consumers(name))
        return found

    def _try(self, left: Iterable[NodeProto], right: Iterable[NodeProto]) -> None:
        """Pair neighbours of the same operator: those with equal attributes, then those that are the only ones."""
        free_left = [node for node in left if id(node) not in self._of_a]
        free_right = [node for node in right if id(node) not in self._of_b]
        for exactly in (True, False):
            for one in list(free_left):
                alike = [two for two in free_right if self._is_alike(one, two, exactly)]
                others = [each for each in free_left if alike and self._is_alike(each, alike[0], exactly)]
                if len(alike) == 1 and len(others) == 1:
                    self._pair(one, alike[0])
                    free_left.remove(one)
                    free_right.remove(alike[0])

    def _is_alike(self, one: NodeProto, two: NodeProto, exactly: bool) -> bool:
        if self._operators[id(one)] != self._operators[id(two)]:
            return False
        return not exactly or self.a.attributes[id(one)] == self.b.attributes[id(two)]

    def _makers(self, scope: NumberedScope, name: str) -> list[NodeProto]:
        node = scope.graph.producer(name) if name else None
        return [] if node is None or id(node) not in self._operators else [node]

    def _readers(self, scope: NumberedScope, name: str, taken: dict[int, NodeProto]) -> list[NodeProto]:
        found = [node for node in (scope.graph.consumers(name) if name else ()) if id(node) not in taken]
        return [node for node in found if id(node) in self._operators][:_MOST_NEIGHBOURS]


_MOST_NEIGHBOURS = 32
"""Readers of one value that are looked at: more of them are hardly told apart by their operators."""


def _grouped(
    scope: NumberedScope, nodes: Iterable[NodeProto], key: Callable[[NumberedScope, int], Hashable]
) -> dict[Hashable, list[NodeProto]]:
    groups: dict[Hashable, list[NodeProto]] = {}
    for node in nodes:
        found = key(scope, id(node))
        if found is not None:
            groups.setdefault(found, []).append(node)
    return groups
