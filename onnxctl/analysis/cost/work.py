"""What a formula says, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onnx import AttributeProto, NodeProto

from onnxctl.model.dimensions import Dimension
from onnxctl.model.propagation import Fact, ScopeFacts, Shape


@dataclass(frozen=True, slots=True)
class Work:
    """macs: multiply-accumulates; others: all other arithmetic and comparisons. FLOPs are 2 * macs + others."""

    macs: Dimension = 0
    others: Dimension = 0

    @property
    def flops(self) -> Dimension:
        """All operations, a multiply-accumulate counted as two."""
        return 2 * self.macs + self.others


class UnknownShapeError(Exception):
    """A shape that the formula needs is not known, not even in symbols."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One node in the circumstances of its scope: its attributes, and what is known of its inputs and outputs."""

    node: NodeProto
    scope: ScopeFacts
    opset: int

    @property
    def op_type(self) -> str:
        """The operator's type."""
        return self.node.op_type

    # ------------------------------------------------------------ values

    def has(self, index: int) -> bool:
        """Whether the optional input is given."""
        return index < len(self.node.input) and bool(self.node.input[index])

    def input_fact(self, index: int) -> Fact:
        """What is known of an input. Raises UnknownShapeError where it is left out."""
        if not self.has(index):
            raise UnknownShapeError
        return self.scope.fact(self.node.input[index])

    def input_shape(self, index: int) -> Shape:
        """The shape of an input. Raises UnknownShapeError where it is not known or the input is left out."""
        return _known(self.input_fact(index).shape)

    def output_shape(self, index: int = 0) -> Shape:
        """The shape of an output. Raises UnknownShapeError where it is not known."""
        if index >= len(self.node.output):
            raise UnknownShapeError
        return _known(self.scope.shape(self.node.output[index]))

    def input_elements(self, index: int = 0) -> Dimension:
        """How many elements an input has."""
        return product(self.input_shape(index))

    def output_elements(self, index: int = 0) -> Dimension:
        """How many elements an output has."""
        return product(self.output_shape(index))

    def constant(self, index: int) -> list[int] | None:
        """The contents of a small integer input where all of it is known numbers."""
        values = self.scope.values(self.node.input[index]) if self.has(index) else None
        if values is None or not all(isinstance(each, int) for each in values):
            return None
        return [int(each) for each in values if isinstance(each, int)]

    # ------------------------------------------------------------ attributes

    def _attribute(self, name: str) -> AttributeProto | None:
        return self.scope.attribute(self.node, name)

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        found = self._attribute(name)
        return default if found is None else int(found.i)

    def integers(self, name: str) -> list[int] | None:
        """An attribute of integers, None where it is absent."""
        found = self._attribute(name)
        return None if found is None else list(found.ints)

    def real(self, name: str, default: float) -> float:
        """A float attribute."""
        found = self._attribute(name)
        return default if found is None else float(found.f)

    def reals(self, name: str) -> list[float] | None:
        """An attribute of floats, None where it is absent."""
        found = self._attribute(name)
        return None if found is None else list(found.floats)

    def text(self, name: str, default: str = "") -> str:
        """A string attribute."""
        found = self._attribute(name)
        return default if found is None else found.s.decode(errors="replace")

    def texts(self, name: str) -> list[str]:
        """An attribute of strings; empty where it is absent."""
        found = self._attribute(name)
        return [] if found is None else [each.decode(errors="replace") for each in found.strings]


Formula = Callable[[Operation], Work]


def product(dimensions: Sequence[Dimension]) -> Dimension:
    """The product of dimensions; 1 for none."""
    result: Dimension = 1
    for each in dimensions:
        result = result * each
    return result


def _known(shape: Shape | None) -> Shape:
    if shape is None:
        raise UnknownShapeError
    return shape
