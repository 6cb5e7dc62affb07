"""Operators that read or change shapes: Shape, Reshape and Transpose, Concat and Split, Expand and Pad."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import TensorProto

from onnxctl.model.dimensions import (
    Dimension,
    Expression,
    ceil_divide,
    exact_quotient,
    is_at_least,
    lower_bound,
    product,
    total_of,
)
from onnxctl.model.propagation import arithmetic
from onnxctl.model.propagation.call import Call, ShapeFunction, normalized_axes, normalized_axis
from onnxctl.model.propagation.elementwise import expanded
from onnxctl.model.propagation.facts import (
    MAXIMUM_ELEMENTS,
    MAXIMUM_RANK,
    Element,
    Fact,
    Shape,
    Values,
    static_shape,
    tensor,
)


def sizes_of(call: Call, index: int) -> list[Dimension | None] | None:
    """The contents of an integer input as sizes, None where unknown or where they might be negative."""
    values = call.values(index)
    if values is None:
        length = call.length(index)
        return None if length is None or length > MAXIMUM_RANK else [None] * length
    return [size_of(each) for each in values]


def size_of(value: Element) -> Dimension | None:
    """The element as a size; None where it is unknown, no integer, or nothing bounds it from below."""
    if isinstance(value, int):
        return value
    return value if isinstance(value, Expression) and lower_bound(value) is not None else None


def made_shape(call: Call, sizes: Sequence[Dimension | None] | None) -> Shape | None:
    """The sizes as a shape, unknown or negative ones as fresh symbols."""
    if sizes is None:
        return None
    return tuple(
        call.fresh(axis) if size is None or (isinstance(size, int) and size < 0) else size
        for axis, size in enumerate(sizes)
    )


def picked(values: Values, shape: tuple[int, ...], select: object) -> tuple[list[Element], tuple[int, ...]]:
    """The contents chosen by a function of an index array of that shape, and their shape."""
    indices = select(np.arange(len(values)).reshape(shape))  # type: ignore[operator]
    return [values[index] for index in indices.reshape(-1).tolist()], indices.shape


# ---------------------------------------------------------------- shapes as contents


def _shape(call: Call) -> Fact:
    shape = call.shape(0)
    if shape is None:
        return tensor(TensorProto.INT64, (call.fresh(0),))
    start, end = call.integer("start", 0), call.integer("end", len(shape))
    part = shape[slice(start, end)] if start or end != len(shape) else shape
    return tensor(TensorProto.INT64, (len(part),), part)


def _size_operator(call: Call) -> Fact:
    shape = call.shape(0)
    return tensor(TensorProto.INT64, (), None if shape is None else (product(shape),))


# ---------------------------------------------------------------- same contents, another shape


def _reshape(call: Call) -> Fact:
    fact = call.fact(0)
    if call.opset < 5:
        given = call.integers("shape")
        sizes: list[Dimension | None] | None = None if given is None else list(given)
        undecided = set[int]()
    else:
        sizes = sizes_of(call, 1)
        undecided = set[int]() if sizes is None else {axis for axis, size in enumerate(sizes) if size is None}
    if sizes is None:
        return tensor(fact.dtype)
    if not call.integer("allowzero", 0):
        for axis, size in enumerate(sizes):
            if size == 0:
                sizes[axis] = fact.shape[axis] if fact.shape is not None and axis < len(fact.shape) else None
    open_axes = [axis for axis, size in enumerate(sizes) if size is None or size == -1]
    if len(open_axes) == 1 and fact.shape is not None:
        rest = product(size for axis, size in enumerate(sizes) if axis != open_axes[0])  # type: ignore[misc]
        sizes[open_axes[0]] = _left_over(call, product(fact.shape), rest, open_axes[0] in undecided)
    elif not open_axes and fact.shape is not None:
        call.check_equal(product(fact.shape), product([size for size in sizes if size is not None]))
    return tensor(fact.dtype, made_shape(call, sizes), fact.values)


def _left_over(call: Call, total: Dimension, rest: Dimension, undecided: bool) -> Dimension | None:
    """The one dimension of a Reshape that follows from the others."""
    if rest == 0:
        return None
    quotient = exact_quotient(total, rest)
    if quotient is None and isinstance(total, int) and isinstance(rest, int):
        call.note(f"contradiction: {total} elements can't be reshaped into a multiple of {rest}")
        return None
    return total // rest if quotient is None and not undecided else quotient


def _flatten(call: Call) -> Fact:
    fact = call.fact(0)
    if fact.shape is None:
        return tensor(fact.dtype, call.unknown_shape(2))
    axis = call.integer("axis", 1)
    rank = len(fact.shape)
    if not -rank <= axis <= rank:
        raise ValueError("axis")
    axis = axis + rank if axis < 0 else axis
    return tensor(fact.dtype, (product(fact.shape[:axis]), product(fact.shape[axis:])), fact.values)


def _squeeze(call: Call) -> Fact:
    fact, axes = call.fact(0), call.axes(1)
    if fact.shape is None or axes is None:
        count = call.length(1)
        rank = len(fact.shape) - count if fact.shape is not None and count is not None else None
        return tensor(fact.dtype, call.unknown_shape(rank))
    if axes:
        dropped = set(normalized_axes(axes, len(fact.shape)))
        for axis in dropped:
            call.check_equal(fact.shape[axis], 1)
    elif all(isinstance(size, int) or is_at_least(size, 2) for size in fact.shape):
        dropped = {axis for axis, size in enumerate(fact.shape) if size == 1}
    else:
        return tensor(fact.dtype)
    return tensor(fact.dtype, [size for axis, size in enumerate(fact.shape) if axis not in dropped], fact.values)


def _unsqueeze(call: Call) -> Fact:
    fact, axes = call.fact(0), call.axes(1)
    if fact.shape is None or axes is None:
        count = call.length(1)
        rank = len(fact.shape) + count if fact.shape is not None and count is not None else None
        return tensor(fact.dtype, call.unknown_shape(rank))
    rank = len(fact.shape) + len(axes)
    if rank > MAXIMUM_RANK:
        return tensor(fact.dtype)
    inserted = set(normalized_axes(axes, rank))
    if len(inserted) != len(axes):
        raise ValueError("an axis is inserted twice")
    sizes = iter(fact.shape)
    return tensor(fact.dtype, [1 if axis in inserted else next(sizes) for axis in range(rank)], fact.values)


def _transpose(call: Call) -> Fact:
    fact, order = call.fact(0), call.integers("perm")
    if fact.shape is None:
        return tensor(fact.dtype, call.unknown_shape(len(order) if order else None))
    if order is None:
        order = list(range(len(fact.shape)))[::-1]
    if sorted(order) != list(range(len(fact.shape))):
        raise ValueError("perm is no permutation of the axes")
    values = None
    sizes = static_shape(fact.shape)
    if fact.values is not None and sizes is not None:
        values, _ = picked(fact.values, sizes, lambda indices: indices.transpose(order))
    return tensor(fact.dtype, [fact.shape[axis] for axis in order], values)


# ---------------------------------------------------------------- more or fewer contents


def _concat(call: Call) -> Fact:
    dtype = next((fact.dtype for fact in call.inputs if fact.dtype is not None), None)
    axis = call.integer("axis", 1)
    known = [fact.shape for fact in call.inputs if fact.shape is not None]
    if not known:
        return tensor(dtype)
    rank = len(known[0])
    if any(len(shape) != rank for shape in known):
        raise ValueError("inputs of different rank")
    axis = normalized_axis(axis, rank)
    sizes = list(known[0])
    for shape in known[1:]:
        for index, size in enumerate(shape):
            if index != axis:
                sizes[index] = call.equal(sizes[index], size)
    total: Dimension = 0
    for shape in known:
        total = total + shape[axis]
    sizes[axis] = total if len(known) == len(call.inputs) else call.fresh(axis)
    return tensor(dtype, sizes, _concatenated(call, axis))


def _concatenated(call: Call, axis: int) -> Sequence[Element] | None:
    parts: list[Element] = []
    offset, indices = 0, []
    if all(fact.values is None for fact in call.inputs):
        return None
    for fact in call.inputs:
        shape = static_shape(fact.shape)
        if shape is None or math.prod(shape) > MAXIMUM_ELEMENTS:
            return None
        count = math.prod(shape)
        parts.extend(fact.values if fact.values is not None else [None] * count)
        if len(shape) != 1:
            indices.append(np.arange(offset, offset + count).reshape(shape))
        offset += count
    if not indices:
        return parts
    return [parts[index] for index in np.concatenate(indices, axis).reshape(-1).tolist()]


def _split(call: Call) -> list[Fact]:
    fact, count = call.fact(0), call.output_count
    if fact.shape is None:
        return [tensor(fact.dtype)] * count
    axis = normalized_axis(call.integer("axis", 0), len(fact.shape))
    size = fact.shape[axis]
    given = call.integers("split")
    parts: Sequence[Dimension | None] | None = given or (sizes_of(call, 1) if call.has(1) else None)
    if parts is None and not call.has(1):
        chunk = ceil_divide(size, count) if call.opset >= 18 else size // count
        parts = [chunk] * (count - 1) + [size - chunk * (count - 1)]
    elif parts is not None and len(parts) == count:
        known = [part for part in parts if part is not None]
        if len(known) == count:
            call.check_equal(size, total_of(known))
    results: list[Fact] = []
    start: Dimension = 0
    for index in range(count):
        part = parts[index] if parts is not None and index < len(parts) else None
        own = call.fresh(axis, index) if part is None else part
        values = None
        if fact.values is not None and isinstance(part, int) and isinstance(start, int):
            select = (slice(None),) * axis + (slice(start, start + part),)
            values, _ = picked(fact.values, static_shape(fact.shape) or (), lambda ids, at=select: ids[at])
        results.append(tensor(fact.dtype, (*fact.shape[:axis], own, *fact.shape[axis + 1 :]), values))
        start = start + own
    return results


def _expand(call: Call) -> Fact:
    fact, sizes = call.fact(0), sizes_of(call, 1)
    if fact.shape is None or sizes is None:
        return tensor(fact.dtype)
    wanted: list[Dimension] = []
    rank = max(len(fact.shape), len(sizes))
    own = (1,) * (rank - len(fact.shape)) + fact.shape
    for axis, size in enumerate((1,) * (rank - len(sizes)) + tuple(sizes)):
        if size is None:
            here = own[axis]
            wanted.append(here if isinstance(here, int) and here != 1 else call.fresh(axis))
        else:
            wanted.append(call.broadcast_dimension(own[axis], size))
    source, target = static_shape(fact.shape), static_shape(tuple(wanted))
    values = None
    if fact.values is not None and source is not None and target is not None:
        values = expanded(fact.values, source, target)
    return tensor(fact.dtype, wanted, values)


def _tile(call: Call) -> Fact:
    fact, repeats = call.fact(0), sizes_of(call, 1)
    if fact.shape is None:
        return tensor(fact.dtype, call.unknown_shape(len(repeats) if repeats is not None and call.opset >= 6 else None))
    if call.opset < 6:
        return tensor(fact.dtype, call.unknown_shape(len(fact.shape)))
    if repeats is None or len(repeats) != len(fact.shape):
        return tensor(fact.dtype, call.unknown_shape(len(fact.shape)))
    sizes = [
        call.fresh(axis) if times is None else size * times
        for axis, (size, times) in enumerate(zip(fact.shape, repeats, strict=True))
    ]
    values = None
    source, target = static_shape(fact.shape), static_shape(tuple(sizes))
    if fact.values is not None and source is not None and target is not None and math.prod(target) <= MAXIMUM_ELEMENTS:
        values, _ = picked(fact.values, source, lambda indices: np.tile(indices, repeats))  # type: ignore[arg-type]
    return tensor(fact.dtype, sizes, values)


def _pad(call: Call) -> Fact:
    fact = call.fact(0)
    given = call.integers("pads") or call.integers("paddings")
    pads: Sequence[Element] | None = given if given is not None else call.values(1)
    if fact.shape is None:
        length = len(pads) if pads is not None else call.length(1)
        return tensor(fact.dtype, call.unknown_shape(length // 2 if length is not None and not call.has(3) else None))
    rank = len(fact.shape)
    axes: list[int] | None = list(range(rank))
    if call.has(3):
        axes = call.constant(3)
    if pads is None or axes is None or len(pads) != 2 * len(axes):
        return tensor(fact.dtype, call.unknown_shape(rank))
    sizes = list(fact.shape)
    for index, axis in enumerate(normalized_axes(axes, rank)):
        before, after = (arithmetic.as_dimension(pads[at]) for at in (index, index + len(axes)))
        sizes[axis] = call.fresh(axis) if before is None or after is None else sizes[axis] + before + after
    return tensor(fact.dtype, sizes)


def _depth_to_space(call: Call) -> Fact:
    shape, block = call.shape(0), call.integer("blocksize", 1)
    if shape is None or len(shape) != 4 or block < 1:
        return tensor(call.dtype(0), call.unknown_shape(4))
    batch, channels, height, width = shape
    if call.op_type == "DepthToSpace":
        return tensor(call.dtype(0), (batch, channels // (block * block), height * block, width * block))
    return tensor(call.dtype(0), (batch, channels * (block * block), height // block, width // block))


OPERATORS: Mapping[str, ShapeFunction] = {
    "Shape": _shape,
    "Size": _size_operator,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _depth_to_space,
}
