"""Operators that choose elements: Gather to Slice, TopK to NonZero, ArgMax to OneHot."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import TensorProto

from onnxctl.model import dimensions
from onnxctl.model.dimensions import Dimension, ceil_divide, is_at_least, maximum, minimum, positive_part
from onnxctl.model.propagation.arithmetic import as_dimension
from onnxctl.model.propagation.call import Call, ShapeFunction, normalized_axes, normalized_axis
from onnxctl.model.propagation.facts import Element, Fact, static_shape, tensor
from onnxctl.model.propagation.shaping import made_shape, picked, sizes_of

_TO_THE_END = 2**31 - 1
"""Slice bounds from here on mean the end of the axis."""


def _gather(call: Call) -> Fact:
    data, indices = call.fact(0), call.fact(1)
    if data.shape is None or indices.shape is None:
        return tensor(data.dtype)
    axis = normalized_axis(call.integer("axis", 0), len(data.shape))
    shape = data.shape[:axis] + indices.shape + data.shape[axis + 1 :]
    if data.values is None or indices.values is None:
        return tensor(data.dtype, shape)
    values: list[Element] | None = None
    chosen = call.constant(1)
    sizes, index_sizes = static_shape(data.shape), static_shape(indices.shape)
    if chosen is not None and sizes is not None and index_sizes is not None:
        if any(not -sizes[axis] <= index < sizes[axis] for index in chosen):
            raise ValueError("index out of range")
        if len(sizes) == 1:
            values = [data.values[index] for index in chosen]
        else:
            values, _ = picked(data.values, sizes, lambda ids: ids.take(chosen, axis))
    return tensor(data.dtype, shape, values)


def _gather_nd(call: Call) -> Fact:
    data, indices = call.shape(0), call.shape(1)
    batch = call.integer("batch_dims", 0)
    if data is None or indices is None or not indices or not isinstance(indices[-1], int):
        return tensor(call.dtype(0))
    return tensor(call.dtype(0), indices[:-1] + data[batch + indices[-1] :])


def _shape_of_indices(call: Call) -> Fact:
    return tensor(call.dtype(0), call.shape(1))


# ---------------------------------------------------------------- Slice


def _slice(call: Call) -> Fact:
    fact = call.fact(0)
    if fact.shape is None:
        return tensor(fact.dtype)
    rank = len(fact.shape)
    bounds = _slice_bounds(call, rank)
    if bounds is None:
        return tensor(fact.dtype, call.unknown_shape(rank))
    sizes = list(fact.shape)
    selection = [slice(None)] * rank
    exact = fact.values is not None
    for axis, start, stated_end, step in bounds:
        end = None if _ends_in_doubt(stated_end, step) else stated_end
        size = _slice_length(sizes[axis], start, end, step)
        if isinstance(start, int) and isinstance(end, int) and isinstance(step, int):
            selection[axis] = _as_python(start, end, step, _length(fact.shape[axis]))
        else:
            exact = False
        sizes[axis] = call.fresh(axis) if size is None else size
    values = None
    own = static_shape(fact.shape)
    if exact and fact.values is not None and own is not None:
        values, _ = picked(fact.values, own, lambda ids: ids[tuple(selection)])
    return tensor(fact.dtype, sizes, values)


def _ends_in_doubt(end: Element, step: Element) -> bool:
    """onnxruntime takes the largest end of a backward Slice for its farthest, the standard for its nearest."""
    return isinstance(step, int) and step < 0 and isinstance(end, int) and end >= _TO_THE_END


def _as_python(start: int, end: int, step: int, size: int) -> slice:
    """The same elements in Python, where a backward slice that starts before all is empty; here it starts at 0."""
    return slice(start, end, step) if step > 0 else slice(max(start, -size), end if end >= -size else None, step)


def _length(size: Dimension) -> int:
    return size if isinstance(size, int) else 0


def _slice_bounds(call: Call, rank: int) -> list[tuple[int, Element, Element, Element]] | None:
    """(axis, start, end, step) of each axis that is cut; None where the axes are unknown."""
    if call.opset < 10:
        starts, ends = call.integers("starts"), call.integers("ends")
        if starts is None or ends is None:
            return None
        axes = call.integers("axes") or list(range(len(starts)))
        return [
            (axis, *cut, 1)
            for axis, cut in zip(normalized_axes(axes, rank), zip(starts, ends, strict=True), strict=True)
        ]
    count = next((length for index in (1, 2) if (length := call.length(index)) is not None), None)
    if count is None or count > rank:
        return None
    if call.has(3):
        given = call.constant(3)
        if given is None:
            return None
        axes = normalized_axes(given, rank)
    else:
        axes = list(range(count))
    columns = [call.values(index) or [None] * count for index in (1, 2)]
    steps = (call.values(4) or [None] * count) if call.has(4) else [1] * count
    return list(zip(axes, *columns, steps, strict=True))


def _slice_length(size: Dimension, start: Element, end: Element, step: Element) -> Dimension | None:
    if not isinstance(step, int) or step == 0:
        return None
    first, last = _bound(start, size, backwards=False), _bound(end, size, backwards=step < 0)
    if first is None or last is None:
        return None
    if step > 0:
        return positive_part(ceil_divide(minimum(last, size) - first, step))
    return positive_part(ceil_divide(minimum(first, size - 1) - last, -step))


def _bound(bound: Element, size: Dimension, *, backwards: bool) -> Dimension | None:
    """A bound counted from the front, at least 0 (or -1, before the first, for an end when walking backwards)."""
    place = as_dimension(bound)
    if place is None:
        return None
    if isinstance(place, int) and place >= _TO_THE_END:
        return size
    if isinstance(place, int) and place <= -_TO_THE_END:
        return -1 if backwards else 0
    if is_at_least(place, size):
        return size
    if is_at_least(place, 0):
        return place
    if is_at_least(-1, place):
        return maximum(place + size, -1 if backwards else 0)
    return None


# ---------------------------------------------------------------- counts that depend on data


def _non_zero(call: Call) -> Fact:
    rank = call.rank(0)
    return tensor(TensorProto.INT64, (max(rank, 1) if rank is not None else call.fresh(0), call.fresh(1)))


def _compress(call: Call) -> Fact:
    shape = call.shape(0)
    if not call.has_attribute("axis"):
        return tensor(call.dtype(0), (call.fresh(0),))
    if shape is None:
        return tensor(call.dtype(0))
    axis = normalized_axis(call.integer("axis", 0), len(shape))
    return tensor(call.dtype(0), (*shape[:axis], call.fresh(axis), *shape[axis + 1 :]))


def _unique(call: Call) -> list[Fact]:
    shape, count = call.shape(0), call.fresh(0, 1)
    if not call.has_attribute("axis"):
        first = tensor(call.dtype(0), (count,))
    elif shape is None:
        first = tensor(call.dtype(0))
    else:
        axis = normalized_axis(call.integer("axis", 0), len(shape))
        first = tensor(call.dtype(0), (*shape[:axis], count, *shape[axis + 1 :]))
    inverse: Dimension
    if shape is None:
        inverse = call.fresh(0, 2)
    elif call.has_attribute("axis"):
        inverse = shape[normalized_axis(call.integer("axis", 0), len(shape))]
    else:
        inverse = dimensions.product(shape)
    counts = tensor(TensorProto.INT64, (count,))
    return [first, counts, tensor(TensorProto.INT64, (inverse,)), counts]


def _non_max_suppression(call: Call) -> Fact:
    return tensor(TensorProto.INT64, (call.fresh(0), 3))


def _top_k(call: Call) -> list[Fact]:
    shape = call.shape(0)
    if shape is None:
        return [tensor(call.dtype(0)), tensor(TensorProto.INT64)]
    axis = normalized_axis(call.integer("axis", -1), len(shape))
    if call.opset < 10:
        count: Dimension | None = call.integer("k", 0)
    else:
        sizes = sizes_of(call, 1)
        count = sizes[0] if sizes else None
    own = call.fresh(axis) if count is None else count
    result = (*shape[:axis], own, *shape[axis + 1 :])
    return [tensor(call.dtype(0), result), tensor(TensorProto.INT64, result)]


def _arg_extreme(call: Call) -> Fact:
    shape = call.shape(0)
    if shape is None:
        return tensor(TensorProto.INT64)
    axis = normalized_axis(call.integer("axis", 0), len(shape))
    kept: tuple[Dimension, ...] = (1,) if call.integer("keepdims", 1) else ()
    return tensor(TensorProto.INT64, shape[:axis] + kept + shape[axis + 1 :])


def _one_hot(call: Call) -> Fact:
    shape, depth = call.shape(0), call.values(1)
    if shape is None:
        return tensor(call.dtype(2))
    axis = normalized_axis(call.integer("axis", -1), len(shape) + 1)
    size = as_dimension(depth[0]) if depth else None
    return tensor(call.dtype(2), (*shape[:axis], call.fresh(axis) if size is None else size, *shape[axis:]))


def _center_crop_pad(call: Call) -> Fact:
    shape, sizes = call.shape(0), sizes_of(call, 1)
    if shape is None:
        return tensor(call.dtype(0))
    axes = call.integers("axes")
    axes = list(range(len(shape))) if axes is None else normalized_axes(axes, len(shape))
    if sizes is None or len(sizes) != len(axes):
        return tensor(call.dtype(0), call.unknown_shape(len(shape)))
    result: list[Dimension | None] = list(shape)
    for axis, size in zip(axes, sizes, strict=True):
        result[axis] = size
    return tensor(call.dtype(0), made_shape(call, result))


OPERATORS: Mapping[str, ShapeFunction] = {
    "Gather": _gather,
    "GatherElements": _shape_of_indices,
    "GatherND": _gather_nd,
    "Slice": _slice,
    "NonZero": _non_zero,
    "Compress": _compress,
    "Unique": _unique,
    "NonMaxSuppression": _non_max_suppression,
    "TopK": _top_k,
    "ArgMax": _arg_extreme,
    "ArgMin": _arg_extreme,
    "OneHot": _one_hot,
    "CenterCropPad": _center_crop_pad,
}
