"""One node as a shape function sees it: its attributes, what is known of its inputs, fresh symbols for its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from onnx import AttributeProto, NodeProto

from onnxctl.model.dimensions import Dimension, cap_between, differs, is_known, unknown_symbol
from onnxctl.model.loading import Model
from onnxctl.model.propagation.facts import UNKNOWN, Element, Fact, Shape, static_shape


class Host(Protocol):
    """What a call needs of the walk it is part of."""

    @property
    def model(self) -> Model: ...

    @property
    def assumes_equal(self) -> bool:
        """Whether two symbols that meet in a broadcast are taken to be equal."""

    def fresh(self, value: str, axis: int | str) -> Dimension:
        """The unknown symbol for an axis of the value: the same one whenever asked in this scope."""

    def note(self, node: NodeProto, message: str) -> None:
        """Record an equality that was assumed, or a contradiction."""

    def run_body(
        self, node: NodeProto, name: str, inputs: Sequence[Fact] | None, trips: Dimension
    ) -> list[Fact] | None:
        """The outputs of the subgraph in the attribute, given its inputs; None where it can't be walked."""

    def without_locals(self, node: NodeProto, fact: Fact, output: int) -> Fact:
        """The fact without symbols that mean something in the node's subgraphs only."""


class Call:
    """One node under inference. Accessors raise ValueError or TypeError on malformed attributes: the walk copes."""

    __slots__ = ("_attributes", "_references", "host", "inputs", "node", "op_type", "opset")

    def __init__(
        self,
        host: Host,
        node: NodeProto,
        inputs: Sequence[Fact],
        opset: int,
        references: Mapping[str, AttributeProto],
    ) -> None:
        self.host = host
        self.node = node
        self.op_type: str = node.op_type
        self.inputs = inputs
        self.opset = opset
        self._references = references
        self._attributes: dict[str, AttributeProto] | None = None

    # ------------------------------------------------------------ attributes

    def attribute(self, name: str) -> AttributeProto | None:
        """The attribute; a reference to one of the function's is followed."""
        known = self._attributes
        if known is None:
            known = self._attributes = {each.name: each for each in self.node.attribute}
        found = known.get(name)
        if found is not None and found.ref_attr_name:
            return self._references.get(found.ref_attr_name)
        return found

    def has_attribute(self, name: str) -> bool:
        return self.attribute(name) is not None

    def integer(self, name: str, default: int) -> int:
        """The attribute, or the default where it is absent."""
        found = self.attribute(name)
        if found is None:
            return default
        if found.type != AttributeProto.INT and not found.HasField("i"):
            raise ValueError(f"attribute {name} is no integer")
        return int(found.i)

    def integers(self, name: str) -> list[int] | None:
        """The list of integers, None where the attribute is absent."""
        found = self.attribute(name)
        return None if found is None else list(found.ints)

    def reals(self, name: str) -> list[float] | None:
        found = self.attribute(name)
        return None if found is None else list(found.floats)

    def text(self, name: str, default: str = "") -> str:
        found = self.attribute(name)
        return default if found is None else found.s.decode("utf-8", "replace")

    # ------------------------------------------------------------ inputs

    def has(self, index: int) -> bool:
        """Whether the optional input is given."""
        return index < len(self.inputs) and bool(self.node.input[index]) and self.inputs[index].kind != "absent"

    def fact(self, index: int) -> Fact:
        return self.inputs[index] if index < len(self.inputs) else UNKNOWN

    def dtype(self, index: int) -> int | None:
        return self.fact(index).dtype

    def shape(self, index: int) -> Shape | None:
        return self.fact(index).shape

    def rank(self, index: int) -> int | None:
        shape = self.fact(index).shape
        return None if shape is None else len(shape)

    def values(self, index: int) -> Sequence[Element] | None:
        """The contents of the input, elements unknown within being None."""
        return self.fact(index).values

    def constant(self, index: int) -> list[int] | None:
        """The contents of an integer input where all of it is known numbers."""
        values = self.fact(index).values
        if values is None or not all(isinstance(each, int) for each in values):
            return None
        return [int(each) for each in values]  # type: ignore[arg-type]

    def length(self, index: int) -> int | None:
        """How many elements a rank-1 input has, where known."""
        shape = static_shape(self.fact(index).shape)
        return shape[0] if shape is not None and len(shape) == 1 else None

    def axes(self, index: int, attribute: str = "axes") -> list[int] | None:
        """Axes given as an attribute, or (newer opsets) as an input; [] where neither is given, None where unknown."""
        given = self.integers(attribute)
        if given is not None:
            return given
        return self.constant(index) if self.has(index) else []

    # ------------------------------------------------------------ outputs

    @property
    def output_count(self) -> int:
        return len(self.node.output)

    def fresh(self, axis: int, output: int = 0) -> Dimension:
        """An unknown symbol for the axis of the output."""
        outputs = self.node.output
        name = outputs[output] if output < len(outputs) else ""
        return self.host.fresh(name or f"{next(iter(outputs), '')}:{output}", axis)

    def unknown_shape(self, rank: int | None, output: int = 0) -> Shape | None:
        """A shape of so many unknown dimensions."""
        return None if rank is None else tuple(self.fresh(axis, output) for axis in range(rank))

    def with_shape(self, index: int, shape: Shape) -> Call:
        """The same call, an input of another shape."""
        inputs = list(self.inputs)
        inputs[index] = Fact(inputs[index].kind, inputs[index].dtype, shape)
        return Call(self.host, self.node, inputs, self.opset, self._references)

    def note(self, message: str) -> None:
        self.host.note(self.node, message)

    # ------------------------------------------------------------ dimensions that must agree

    def equal(self, first: Dimension, second: Dimension) -> Dimension:
        """Two dimensions that the operator requires to be equal: the better known of them."""
        if first == second:
            return first
        if differs(first, second):
            self.note(f"contradiction: {first} and {second} must be equal")
            return first
        if isinstance(first, int):
            return first
        if isinstance(second, int):
            return second
        self.note(f"assumed equal: {first} = {second}")
        return min((first, second), key=lambda each: (not is_known(each), each.size))

    def check_equal(self, first: Dimension, second: Dimension) -> None:
        """Tell where two dimensions that the operator requires to be equal can't be; open symbols stay apart."""
        if differs(first, second):
            self.note(f"contradiction: {first} and {second} must be equal")

    def broadcast_dimension(self, first: Dimension, second: Dimension) -> Dimension:
        """Numpy's rule for one dimension. A number other than 1 wins: a symbol beside it is that number, or is 1.

        Two different symbols are equal or one of them is 1. But p and min(p, c) are equal where they fit together: if
        one of them is 1, so is the other.
        """
        if first == second or second == 1:
            return first
        if first == 1:
            return second
        if isinstance(first, int) != isinstance(second, int):
            number, symbolic = (first, second) if isinstance(first, int) else (second, first)
            if differs(symbolic, 1):
                self.check_equal(symbolic, number)
            return number
        if isinstance(first, int) or self.host.assumes_equal:
            return self.equal(first, second)
        for whole, capped in ((first, second), (second, first)):
            if (cap_between(whole, capped) or 0) > 1:
                return whole
        return unknown_symbol(f"broadcast({', '.join(sorted(map(str, (first, second))))})")

    def broadcast(self, *shapes: Shape | None) -> Shape | None:
        """The shape that numpy's broadcasting gives."""
        result: Shape | None = ()
        for shape in shapes:
            if shape is None or result is None:
                return None
            if shape == result:
                continue
            longer, shorter = (shape, result) if len(shape) > len(result) else (result, shape)
            split = len(longer) - len(shorter)
            result = longer[:split] + tuple(map(self.broadcast_dimension, longer[split:], shorter))
        return result


ShapeFunction = Callable[[Call], Fact | Sequence[Fact]]
"""The rule of one operator: the call in, the facts of its outputs out (one fact where it has one output)."""


def normalized_axis(axis: int, rank: int) -> int:
    """A possibly negative axis as an index. Raises ValueError where it is out of range."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is out of range for rank {rank}")
    return axis + rank if axis < 0 else axis


def normalized_axes(axes: Sequence[int], rank: int) -> list[int]:
    """Possibly negative axes as indices."""
    return [normalized_axis(axis, rank) for axis in axes]


def same_as(index: int) -> ShapeFunction:
    """The output has the element type and shape of the input."""

    def rule(call: Call) -> Fact:
        fact = call.fact(index)
        return Fact(fact.kind, fact.dtype, fact.shape, None, fact.element)

    return rule
