"""Weights that are made of other weights when somebody reads them: transposed, scaled, joined.

A pass that rewrites a large weight describes the new one and computes nothing. It is made once, when the model is
saved, straight into the output; one weight is in memory at a time, and there is no copy of it on any disk before.
What a derivation is made of is kept as it was when it was described, whatever becomes of the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from onnxctl.model.arrays import Array, numpy_dtype
from onnxctl.model.tensors import Tensor

_ROWS_AT_A_TIME = 64
"""Of a matrix being transposed: what is read and what is written then both stay in the processor's cache."""


class Transposed(NamedTuple):
    """A tensor with its axes in another order, as the operator Transpose puts them."""

    source: Tensor
    axes: tuple[int, ...]

    @property
    def sources(self) -> tuple[Tensor, ...]:
        return (self.source,)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape[axis] for axis in self.axes)

    def values(self) -> Array:
        """All values, in an array of its own."""
        array = self.source.numpy()
        if self.axes != (1, 0):
            return np.ascontiguousarray(array.transpose(self.axes))
        result = np.empty(self.shape, array.dtype)
        for row in range(0, len(array), _ROWS_AT_A_TIME):
            result[:, row : row + _ROWS_AT_A_TIME] = array[row : row + _ROWS_AT_A_TIME].T
        return result

    def elements(self, positions: Array) -> Array:
        """The values at these positions, counted in row-major order."""
        places = np.unravel_index(positions, self.shape)
        order = np.argsort(self.axes)
        return self.source.elements(np.ravel_multi_index([places[at] for at in order], self.source.shape))


class Stretch(NamedTuple):
    """The positions [start, stop) along an axis."""

    axis: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """A tensor times a float64 factor, computed in float64 and rounded once.

    The factor broadcasts to the tensor; where it is a single number (0-d), a stretch may be all that is multiplied.
    """

    source: Tensor
    factor: Array
    stretch: Stretch | None

    @property
    def sources(self) -> tuple[Tensor, ...]:
        return (self.source,)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    def values(self) -> Array:
        """All values, in an array of its own."""
        array = self.source.numpy()
        if not array.flags.writeable:
            array = array.copy()
        part = array[stretch_index(self.stretch)]
        multiply(part, self.factor, part)
        return array

    def elements(self, positions: Array) -> Array:
        """The values at these positions, counted in row-major order."""
        values, places = self.source.elements(positions), np.unravel_index(positions, self.shape)
        factor = np.broadcast_to(self.factor, self.shape)[places] if self.factor.ndim else self.factor
        scaled = multiply(values, factor, np.empty_like(values))
        if self.stretch is None:
            return scaled
        along = places[self.stretch.axis]
        return np.where((along >= self.stretch.start) & (along < self.stretch.stop), scaled, values)


class Joined(NamedTuple):
    """Tensors one after the other along an axis, as the operator Concat puts them."""

    sources: tuple[Tensor, ...]
    axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        shape = list(self.sources[0].shape)
        shape[self.axis] = sum(each.shape[self.axis] for each in self.sources)
        return tuple(shape)

    def values(self) -> Array:
        """All values, in an array of its own."""
        result = np.empty(self.shape, numpy_dtype(self.sources[0].proto.data_type))
        start = 0
        for each in self.sources:
            stop = start + each.shape[self.axis]
            result[stretch_index(Stretch(self.axis, start, stop))] = each.numpy()
            start = stop
        return result

    def elements(self, positions: Array) -> Array:
        """The values at these positions, counted in row-major order."""
        places = list(np.unravel_index(positions, self.shape))
        along, start = places[self.axis], 0
        result = np.empty(len(positions), numpy_dtype(self.sources[0].proto.data_type))
        for each in self.sources:
            stop = start + each.shape[self.axis]
            inside = (along >= start) & (along < stop)
            mine = [place[inside] - (start if axis == self.axis else 0) for axis, place in enumerate(places)]
            result[inside] = each.elements(np.ravel_multi_index(mine, each.shape))
            start = stop
        return result


Derivation = Transposed | Scaled | Joined


def transpose(tensor: Tensor, axes: Sequence[int]) -> Transposed:
    """The tensor with its axes in this order."""
    return Transposed(_kept(tensor), tuple(axes))


def scale(tensor: Tensor, factor: float | Array, stretch: Stretch | None = None) -> Scaled:
    """The tensor times the factor, which broadcasts to it; or a stretch of it times a number."""
    return Scaled(_kept(tensor), np.asarray(factor, np.float64), stretch)


def join(tensors: Sequence[Tensor], axis: int) -> Joined:
    """Tensors of one element type, and of one shape but for this axis, one after the other along it."""
    return Joined(tuple(map(_kept, tensors)), axis)


def depth(derivation: Derivation) -> int:
    """How many steps lead from what is stored to this."""
    inner = (each.payload.derivation for each in derivation.sources if each.payload is not None)
    return 1 + max((depth(each) for each in inner if each is not None), default=0)


def multiply(array: Array, factor: Array, result: Array) -> Array:
    """array * factor (which broadcasts to it) into the result: in float64, rounded once to the result's type.

    NumPy does so by small buffers, so that no large array in float64 is ever made.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        np.multiply(array, factor, out=result, dtype=np.float64, casting="unsafe")
    return result


def stretch_index(stretch: Stretch | None) -> tuple[slice | EllipsisType, ...]:
    """What an array is indexed with to have a view of the stretch, or of all of it, also where it has no axes."""
    if stretch is None:
        return (...,)
    return (*[slice(None)] * stretch.axis, slice(stretch.start, stretch.stop))


def _kept(tensor: Tensor) -> Tensor:
    proto = TensorProto()
    proto.CopyFrom(tensor.proto)
    return Tensor(proto, tensor.payload)
