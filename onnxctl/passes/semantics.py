"""What standard nodes say they do, whichever opset they are from: axes, permutations, bounds, target shapes.

Where the meaning can't be known (a computed axis, an unknown rank) the answer is None and the pass leaves the node
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from onnx import NodeProto, TensorProto

from onnxctl.model.attributes import new_attribute
from onnxctl.model.dimensions import Expression
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import constant_bytes, define_constant, input_name, takes_initializers, written_bytes

_LEAST_INTEGER = -(2**63)
_END_OF_ALL = 2**31 - 1
_FIRST_OPSET_WITH_BOUNDS_AS_INPUTS = 10

Shape = tuple[int | str | Expression | None, ...]
"""Sizes, symbols (as text or as expressions, not mixed), and None where nothing is known."""


def rank_of(graph: Graph, name: str) -> int | None:
    """How many dimensions the value has."""
    shape = graph.shape_of(name)
    return None if shape is None else len(shape)


def integers(graph: Graph, name: str) -> list[int] | None:
    """The integers of a small constant, None where it is not constant, not of integers or not of rank 0 or 1."""
    values = graph.constant_values(name) if name else None
    if values is None or values.dtype.kind not in "iu" or values.ndim > 1:
        return None
    return [int(value) for value in values.reshape(-1)]


def scalar(graph: Graph, name: str) -> float | None:
    """The value of a constant with one element, whatever its rank."""
    values = graph.constant_values(name, at_most=1) if name else None
    if values is None or values.size != 1 or values.dtype.kind not in "iufb":
        return None
    return float(values.reshape(-1)[0])


def normalized(axes: Sequence[int], rank: int) -> tuple[int, ...] | None:
    """The axes counted from the front, in the order given; None where one is out of range or named twice."""
    found = tuple(axis + rank if axis < 0 else axis for axis in axes)
    if len(set(found)) != len(found) or not all(0 <= axis < rank for axis in found):
        return None
    return found


def stated_axes(graph: Graph, node: NodeProto) -> list[int] | None:
    """The axes of a Squeeze, Unsqueeze or Reduce node as written: an attribute in old opsets, an input in new ones.

    [] where none are given; None where they are computed.
    """
    given = attribute(node, "axes")
    if given is not None:
        return [int(axis) for axis in given]
    name = input_name(node, 1)
    return integers(graph, name) if name else []


def squeezed_axes(graph: Graph, node: NodeProto) -> tuple[int, ...] | None:
    """The axes of its input that a Squeeze takes out, in ascending order."""
    shape = graph.shape_of(node.input[0])
    axes = stated_axes(graph, node)
    if shape is None or axes is None:
        return None
    if axes:
        found = normalized(axes, len(shape))
        return None if found is None else tuple(sorted(found))
    if not all(isinstance(dim, int) for dim in shape):
        return None
    return tuple(axis for axis, dim in enumerate(shape) if dim == 1)


def unsqueezed_axes(graph: Graph, node: NodeProto) -> tuple[int, ...] | None:
    """The axes of its output that an Unsqueeze puts in, in ascending order."""
    axes = stated_axes(graph, node)
    if axes is None:
        return None
    if all(axis >= 0 for axis in axes):
        return tuple(sorted(axes)) if len(set(axes)) == len(axes) else None
    rank = rank_of(graph, node.input[0])
    found = None if rank is None else normalized(axes, rank + len(axes))
    return None if found is None else tuple(sorted(found))


def permutation_of(graph: Graph, node: NodeProto) -> tuple[int, ...] | None:
    """Where each output axis of a Transpose comes from; None where that is not known, or no permutation."""
    given = attribute(node, "perm")
    if given is not None:
        return tuple(int(axis) for axis in given) if sorted(given) == list(range(len(given))) else None
    rank = rank_of(graph, node.input[0])
    return None if rank is None else tuple(reversed(range(rank)))


def composed(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """The permutation of a Transpose by `first` followed by one by `second`."""
    return tuple(first[axis] for axis in second)


def inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes this one."""
    return tuple(int(axis) for axis in np.argsort(permutation))


def add_integers(graph: Graph, values: Sequence[int], *, near: str, before: NodeProto) -> str:
    """The name of a new int64 constant of rank 1, to be read by the node `before`."""
    name = graph.fresh_name(near)
    define_constant(graph, name, graph.model.new_tensor("", np.array(values, dtype=np.int64)), before=before)
    return name


def integers_bytes(graph: Graph, count: int, *, near: str) -> int:
    """The bytes that `add_integers` adds to the model for so many, the name among a node's inputs included."""
    name = graph.free_name(near)
    if not takes_initializers(graph):
        return constant_bytes(graph, name, 8 * count, 1) + len(name) + 2
    tensor = TensorProto(name=name, data_type=TensorProto.INT64, dims=[count], raw_data=bytes(8 * count))
    return written_bytes(tensor) + len(name) + 2


def reshape_target(source: Shape, target: Shape) -> list[int] | None:
    """The constant shape input with which Reshape makes `target` of `source`: 0 copies a size, one -1 is worked out.

    A size that is known is written down; one that is a symbol is copied where the input has it at the same place, and
    is -1 elsewhere. None where two sizes would have to be -1 or a known size is 0, which Reshape reads as a copy.
    Copies are preferred to -1, with which an input without elements can't be reshaped.
    """
    wanted: list[int] = []
    for axis, dim in enumerate(target):
        if isinstance(dim, int):
            if dim == 0:
                return None
            wanted.append(dim)
        elif dim is not None and axis < len(source) and source[axis] == dim:
            wanted.append(0)
        else:
            wanted.append(-1)
    return wanted if wanted.count(-1) <= 1 else None


class Cut(NamedTuple):
    """What a Slice takes along one axis, as written: negative bounds count from the end, step is not 0."""

    start: int
    end: int
    step: int

    def positions(self, size: int) -> range:
        """The positions it takes of so many. Unlike Python, a backward Slice that starts before all starts at 0."""
        start, end = (bound + size if bound < 0 else bound for bound in (self.start, self.end))
        if self.step > 0:
            return range(min(max(start, 0), size), min(max(end, 0), size), self.step)
        return range(max(min(start, size - 1), 0), max(min(end, size - 1), -1), self.step) if size else range(0)


def cut_along(positions: range) -> Cut:
    """The Cut that takes these positions."""
    if not positions:
        return Cut(0, 0, 1)
    end = positions.stop if positions.stop >= 0 else _LEAST_INTEGER
    return Cut(positions.start, end, positions.step)


def cuts_of(graph: Graph, node: NodeProto) -> dict[int, Cut] | None:
    """What a Slice takes along each axis it names; None where a bound is computed or the rank is needed and unknown."""
    if attribute(node, "starts") is not None:
        starts, ends = list(attribute(node, "starts")), list(attribute(node, "ends"))
        axes = list(attribute(node, "axes") or range(len(starts)))
        steps = [1] * len(starts)
    else:
        given = [integers(graph, input_name(node, index)) if input_name(node, index) else [] for index in (1, 2, 3, 4)]
        if any(each is None for each in given) or not given[0]:
            return None
        starts, ends, axes, steps = (each or [] for each in given)
        axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        return None
    if any(step < 0 and end >= _END_OF_ALL for end, step in zip(ends, steps, strict=True)):
        return None  # onnxruntime takes the largest end of a backward Slice for its farthest, against the standard
    rank = rank_of(graph, node.input[0])
    if rank is None:
        if any(axis < 0 for axis in axes) or len(set(axes)) != len(axes):
            return None
        places: tuple[int, ...] | None = tuple(axes)
    else:
        places = normalized(axes, rank)
    if places is None:
        return None
    return {axis: Cut(*cut) for axis, cut in zip(places, zip(starts, ends, steps, strict=True), strict=True)}


def add_slice(graph: Graph, source: str, result: str, cuts: Mapping[int, Cut], *, before: NodeProto) -> NodeProto:
    """A new Slice in front of another node, in the form the operator set has. Steps other than 1 need opset 10."""
    bounds = _bounds(cuts)
    if graph.opset() < _FIRST_OPSET_WITH_BOUNDS_AS_INPUTS:
        return graph.add_node("Slice", [source], [result], before=before, name=before.name, attributes=bounds)
    steps = [cuts[axis].step for axis in sorted(cuts)]
    lists = [*bounds.values(), *([steps] if steps != [1] * len(steps) else [])]
    names = [add_integers(graph, values, near="bounds", before=before) for values in lists]
    return graph.add_node("Slice", [source, *names], [result], before=before, name=before.name)


def _bounds(cuts: Mapping[int, Cut]) -> dict[str, list[int]]:
    axes = sorted(cuts)
    return {"starts": [cuts[axis].start for axis in axes], "ends": [cuts[axis].end for axis in axes], "axes": axes}


def slice_bytes(graph: Graph, source: str, result: str, cuts: Mapping[int, Cut], name: str) -> int:
    """The bytes that `add_slice` adds to the model."""
    node = NodeProto(op_type="Slice", input=[source], output=[result], name=name or None)
    if graph.opset() < _FIRST_OPSET_WITH_BOUNDS_AS_INPUTS:
        node.attribute.extend(new_attribute(*each) for each in _bounds(cuts).items())
        return written_bytes(node)
    count = 3 if all(cut.step == 1 for cut in cuts.values()) else 4
    number_bytes = 2 * len("_1")  # behind all names but the first, here and there
    return written_bytes(node) + count * (integers_bytes(graph, len(cuts), near="bounds") + number_bytes)


def split_sizes(graph: Graph, node: NodeProto) -> list[int] | None:
    """The sizes of the pieces a Split makes, None where they are computed or follow from a size that is not known."""
    given = attribute(node, "split")
    if given is not None:
        return [int(size) for size in given]
    name = input_name(node, 1)
    if name:
        return integers(graph, name)
    shape, axis, count = graph.shape_of(node.input[0]), attribute(node, "axis", 0), len(node.output)
    if shape is None or not -len(shape) <= axis < len(shape):
        return None
    whole = shape[axis]
    if not isinstance(whole, int):
        return None
    size = -(-whole // count)
    return [size] * (count - 1) + [whole - size * (count - 1)] if size * (count - 1) <= whole else None


def axis_of(node: NodeProto, rank: int, default: int = 0) -> int | None:
    """The node's attribute axis counted from the front, None where it is out of range."""
    axis = int(attribute(node, "axis", default))
    return axis % rank if -rank <= axis < rank else None
