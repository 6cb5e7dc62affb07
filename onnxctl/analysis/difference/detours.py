"""Values of two scopes that stand for each other, and nodes put in between them or taken out: changes told once.

A node that was put before another changes what that one reads. This is one change, told of the node that is new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from onnx import NodeProto

from onnxctl.analysis.difference.numbering import NumberedScope
from onnxctl.model.names import as_text

_LONGEST = 16
"""So many nodes in a row are followed."""

_NAMED = 3
"""So many readers are named."""


class ScopePair:
    """Two scopes and the values of theirs that stand for each other."""

    def __init__(self, a: NumberedScope, b: NumberedScope, values: Mapping[str, str], outer: ScopePair | None) -> None:
        self.a, self.b = a, b
        self.values = dict(values)
        self.outer = outer

    def is_same(self, x: str, y: str) -> bool:
        """Whether two computed values stand for each other."""
        x, y = self.a.origin(x), self.b.origin(y)
        exact = self.a.exact_of(x)
        if exact and exact == self.b.exact_of(y):
            return True
        pair: ScopePair | None = self
        while pair is not None:
            if x in pair.values:
                return self.b.origin(pair.values[x]) == y
            pair = pair.outer
        return False

    def is_moved(self, x: str, y: str) -> bool:
        """Whether x has a counterpart in b, but y is another value."""
        return self.a.origin(x) in self.values and not self.is_same(x, y)


class Detours:
    """The nodes of one side only through which a value reaches its reader, and what they lie between."""

    def __init__(self, pair: ScopePair, removed: Sequence[NodeProto], added: Sequence[NodeProto]) -> None:
        self._pair = pair
        self._removed = {name: node for node in removed for name in node.output if name}
        self._added = {name: node for node in added for name in node.output if name}
        self._between: dict[int, tuple[str, list[str]]] = {}

    def explain(self, x: str, y: str, one: NodeProto, two: NodeProto) -> bool:
        """Whether the two read x and y because nodes were put in or taken out before them; if so, it is noted."""
        for maker, source in _way_back(self._added, y):
            if self._pair.is_same(x, source):
                self._note(
                    self._added[y], maker, f"between {as_text(source)!r} and", self._pair.b.graph.node_label(two)
                )
                return True
        for maker, source in _way_back(self._removed, x):
            if self._pair.is_same(source, y):
                before = f"was between {as_text(source)!r} and"
                self._note(self._removed[x], maker, before, self._pair.a.graph.node_label(one))
                return True
        return False

    def _note(self, last: NodeProto, first: NodeProto, before: str, reader: str) -> None:
        for node in (first, last):
            _, readers = self._between.setdefault(id(node), (before, []))
            if reader not in readers:
                readers.append(reader)

    def of(self, node: NodeProto) -> tuple[str, ...]:
        """What a node of one side only lies between, in words; nothing where it is on no way from value to reader."""
        if id(node) not in self._between:
            return ()
        before, readers = self._between[id(node)]
        more = f" and {len(readers) - _NAMED} more" if len(readers) > _NAMED else ""
        return (f"{before} {', '.join(as_text(each) for each in readers[:_NAMED])}{more}",)


def _way_back(makers: Mapping[str, NodeProto], name: str) -> Iterator[tuple[NodeProto, str]]:
    """From a value back along first inputs, as long as these nodes make them: each node and what it reads."""
    for _ in range(_LONGEST):
        node = makers.get(name)
        if node is None or not node.input:
            return
        for source in node.input:
            yield node, source
        name = node.input[0]
