"""What a formula says, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onnxctl.model.dimensions import Dimension
from onnxctl.model.propagation.call import Call
from onnxctl.model.propagation.facts import Fact, Shape


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
    """One node: its attributes and inputs (`call`) and its outputs' types."""

    call: Call
    outputs: Sequence[Fact]

    def input_shape(self, index: int) -> Shape:
        """The shape of an input. Raises UnknownShapeError where it is not known or the input is left out."""
        inputs = self.call.inputs
        return _shape(inputs[index] if index < len(inputs) else None)

    def output_shape(self, index: int = 0) -> Shape:
        """The shape of an output. Raises UnknownShapeError where it is not known."""
        return _shape(self.outputs[index] if index < len(self.outputs) else None)

    def input_elements(self, index: int = 0) -> Dimension:
        """How many elements an input has."""
        return product(self.input_shape(index))

    def output_elements(self, index: int = 0) -> Dimension:
        """How many elements an output has."""
        return product(self.output_shape(index))

    def real(self, name: str, default: float) -> float:
        """A float attribute."""
        found = self.call.attribute(name)
        return default if found is None else float(found.f)

    def texts(self, name: str) -> list[str]:
        """A string list attribute; empty where it is absent."""
        found = self.call.attribute(name)
        return [] if found is None else [each.decode(errors="replace") for each in found.strings]


Formula = Callable[[Operation], Work]


def product(dimensions: Sequence[Dimension]) -> Dimension:
    """The product of dimensions; 1 for none."""
    result: Dimension = 1
    for each in dimensions:
        result = result * each
    return result


def _shape(fact: Fact | None) -> Shape:
    if fact is None or fact.shape is None:
        raise UnknownShapeError
    return fact.shape
