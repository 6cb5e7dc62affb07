"""Sizes a model leaves open, joined where operators force them to agree; and the values that have such shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onnx import NodeProto

from onnxctl.model.arrays import Array
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute


class Size:
    """One dimension that the model leaves open; sizes that must agree share one fate."""

    __slots__ = ("_same", "_value", "symbol")

    def __init__(self, symbol: str = "") -> None:
        self.symbol = symbol
        self._value: int | None = None
        self._same: Size | None = None

    def root(self) -> Size:
        """The size that stands for all those joined with this one."""
        size = self
        while size._same is not None:
            size = size._same
        return size

    @property
    def value(self) -> int | None:
        """The number it has been settled on, or None."""
        return self.root()._value

    def settle(self, value: int) -> None:
        """Settle on a number, unless it already has one."""
        root = self.root()
        if root._value is None and value >= 0:
            root._value = value

    def join(self, other: Size) -> None:
        """Let both be equal from now on, unless they have different numbers already."""
        mine, theirs = self.root(), other.root()
        if mine is theirs or (mine._value is not None and theirs._value is not None):
            return
        if mine._value is None:
            mine._same = theirs
        else:
            theirs._same = mine


Dim = int | Size | None
Shape = tuple[Dim, ...] | None


def in_numbers(shape: Shape) -> tuple[int | None, ...] | None:
    """The shape with every settled size as a number, the others as None."""
    if shape is None:
        return None
    return tuple(dim.value if isinstance(dim, Size) else dim for dim in shape)


def settled(shape: tuple[int | None, ...] | None) -> tuple[int, ...] | None:
    """The shape, if all its sizes are numbers."""
    if shape is None or None in shape:
        return None
    return tuple(dim for dim in shape if dim is not None)


def settle(dim: Dim) -> Dim:
    """The dimension as a number where it is settled."""
    if isinstance(dim, Size) and dim.value is not None:
        return dim.value
    return dim


def unify(first: Dim, second: Dim) -> Dim:
    """Let the two agree; the sharper of them. A contradiction leaves both as they are."""
    first, second = settle(first), settle(second)
    if isinstance(first, Size):
        if isinstance(second, Size):
            first.join(second)
        elif second is not None:
            first.settle(second)
            return second
        return first
    if isinstance(second, Size):
        return unify(second, first)
    return second if first is None else first


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape that elementwise operators give; open sizes that meet a number over 1, or each other, agree with it."""
    known = [shape for shape in shapes if shape is not None]
    if not known or len(known) != len(shapes):
        return None
    rank = max(map(len, known))
    result: list[Dim] = []
    for axis in range(-rank, 0):
        dims = [settle(shape[axis]) for shape in known if len(shape) >= -axis]
        wide = [dim for dim in dims if dim != 1]
        whole: Dim = 1
        for position, dim in enumerate(wide):
            whole = dim if position == 0 else unify(whole, dim)
        result.append(None if None in wide else whole)
    return tuple(result)


def product(dims: Sequence[Dim]) -> int | None:
    """The product where every dimension is a number."""
    total = 1
    for dim in map(settle, dims):
        if not isinstance(dim, int):
            return None
        total *= dim
    return total


@dataclass(frozen=True, slots=True)
class Origin:
    """Values that are those of a model input times scale plus offset."""

    input_name: str
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the graph: its shape as far as known, the inputs its numbers come from, and where to look it up."""

    shape: Shape
    origins: tuple[Origin, ...]
    graph: Graph
    name: str

    def constant(self, *, at_most: int = 4096) -> Array | None:
        """The value where it is a constant of at most so many elements."""
        return self.graph.constant_values(self.name, at_most=at_most)


# ---------------------------------------------------------------- what rules about shapes are made of

Inputs = Sequence[Value | None]
Rule = Callable[[NodeProto, Inputs], list[Shape]]
"""The shapes of a node's outputs as far as they are known, after joining the sizes that must agree."""


def shape_at(inputs: Inputs, index: int) -> Shape:
    """The shape of input number `index`, settled sizes as numbers; None where it is absent or unknown."""
    value = inputs[index] if index < len(inputs) else None
    return None if value is None or value.shape is None else tuple(map(settle, value.shape))


def agree(first: Shape, axis: int, second: Shape, other_axis: int) -> None:
    """Let two shapes agree at one axis each."""
    for shape, at in ((first, axis), (second, other_axis)):
        if shape is None or not -len(shape) <= at < len(shape):
            return
    assert first is not None and second is not None
    unify(first[axis], second[other_axis])


def integers_at(value: Value | None) -> list[int] | None:
    """The numbers of a constant integer tensor."""
    array = None if value is None else value.constant()
    return None if array is None or array.dtype.kind not in "iu" else [int(each) for each in array.reshape(-1)]


def axes_at(node: NodeProto, inputs: Inputs, index: int) -> list[int] | None:
    """The axes that an attribute gives, or (from opset 13 or 18 on) input number `index`; [] where none are given."""
    written = attribute(node, "axes")
    if written is not None:
        return list(written)
    if index < len(inputs) and inputs[index] is not None:
        return integers_at(inputs[index])
    return []
