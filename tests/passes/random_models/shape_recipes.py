"""Elementwise operators and shapes: single ones, and the short chains that passes look for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import helper

from tests.passes.random_models.builder import FLOATS, INTEGERS, KINDS, Array, Builder, RefusedError, Value

NUMBERS = (*FLOATS, *INTEGERS)


# ---------------------------------------------------------------- elementwise


def unary(b: Builder) -> None:
    names = ("Relu", "Neg", "Abs", "Sigmoid", "Tanh", "Erf", "Softplus", "LeakyRelu", "HardSigmoid", "Floor", "Sign")
    b.one(b.choose((*names, "Identity", "Dropout", "Softmax", "Exp", "Sqrt", "Reciprocal")), b.pick(FLOATS))


def twice(b: Builder) -> None:
    name = b.choose(("Neg", "Abs", "Relu", "Floor", "Identity", "Not", "Sign", "Ceil"))
    value = b.pick((np.bool_,) if name == "Not" else FLOATS)
    b.one(name, b.one(name, value))


def broadcastable(b: Builder, shape: Sequence[int]) -> list[int]:
    """A shape that broadcasts with this one: parts of it, ones, now and then a longer one."""
    found = [size if b.chance(0.6) else 1 for size in shape[int(b.random.integers(len(shape) + 1)) :]]
    return [1, *[1] * (len(shape) - len(found)), *found] if b.chance(0.07) else found


def with_constant(b: Builder) -> None:
    value = b.pick(NUMBERS)
    name = b.choose(("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"))
    shape = broadcastable(b, value.array.shape)
    content: Array = np.full(shape, b.choose([0, 1, 1, -1, 2, 0.5, 3])).astype(value.array.dtype)
    if b.chance(0.4):
        content = b.array(shape, value.array.dtype)
    if name in ("Div", "Pow") and value.array.dtype.kind == "i":
        content = np.abs(content) + (content == 0)
    constant = b.constant(content, value.array.dtype)
    sides = (value, constant) if b.chance(0.7) or name in ("Div", "Pow") else (constant, value)
    b.one(name, *sides)


def constants_in_a_row(b: Builder) -> None:
    for _ in range(2):
        with_constant(b)


def binary(b: Builder) -> None:
    first = b.pick(NUMBERS)
    second = b.pick((first.array.dtype,))
    names = ["Add", "Sub", "Mul", "Max", "Min", "Equal", "Less", "Greater"]
    b.one(b.choose(names if first.array.dtype.kind == "i" else [*names, "Div"]), first, second)


def logic(b: Builder) -> None:
    first, second = b.pick((np.bool_,)), b.pick((np.bool_,))
    if b.chance(0.4):
        second = b.constant(np.full(broadcastable(b, first.array.shape), b.chance(0.5)), np.bool_)
    b.one(b.choose(("And", "Or", "Xor", "Equal")), first, second)


def where(b: Builder) -> None:
    value = b.pick(NUMBERS)
    condition = b.pick((np.bool_,))
    if b.chance(0.5):
        shape = broadcastable(b, value.array.shape)
        known = np.full(shape, b.chance(0.5)) if b.chance(0.7) else b.array(shape, np.bool_)
        condition = b.constant(known, np.bool_)
    other = b.pick((value.array.dtype,)) if b.chance(0.5) else b.parameter([], value.array.dtype)
    sides = (value, other) if b.chance(0.5) else (other, value)
    b.one("Where", condition, *(sides if b.chance(0.9) else (value, value)))


def casts(b: Builder) -> None:
    value = b.pick()
    for _ in range(b.choose((1, 2, 2, 3))):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(b.choose((*KINDS, np.uint8, np.int8))))
        value = b.one("Cast", value, to=kind)


def clips(b: Builder) -> None:
    value = b.pick(FLOATS)
    for _ in range(b.choose((1, 2))):
        if b.chance(0.3):
            value = b.one("Relu", value)
            continue
        kind = value.array.dtype
        bounds = [b.constant(b.choose((-1, 0, 0.5, 6, np.inf, -np.inf)), kind) if b.chance(0.7) else None for _ in "ab"]
        value = b.one("Clip", value, *bounds)


# ---------------------------------------------------------------- shapes


def regrouped(b: Builder, shape: Sequence[int]) -> list[int]:
    """Another shape of as many elements: neighbours merged, ones put in, a size divided."""
    sizes = list(shape)
    for _ in range(b.choose((1, 2))):
        place = int(b.random.integers(len(sizes) + 1))
        if b.chance(0.4) and place + 1 < len(sizes):
            sizes[place : place + 2] = [sizes[place] * sizes[place + 1]]
        elif b.chance(0.5) and place < len(sizes) and sizes[place] % 2 == 0:
            sizes[place : place + 1] = [2, sizes[place] // 2]
        elif len(sizes) < 5:
            sizes.insert(place, 1)
    return sizes


def reshape(b: Builder, value: Value) -> Value:
    target = regrouped(b, value.array.shape)
    for axis, size in enumerate(target):
        if axis < value.array.ndim and value.array.shape[axis] == size and b.chance(0.3):
            target[axis] = 0
    if target and b.chance(0.5):
        target[int(b.random.integers(len(target)))] = -1
    attributes = {"allowzero": 1} if b.opset >= 14 and b.chance(0.05) else {}
    return b.one("Reshape", value, b.constant(target), **attributes)


def on_axes(b: Builder, name: str, value: Value, axes: Sequence[int], first_opset: int, **attributes: Any) -> Value:
    """A node whose axes are an attribute in old operator sets and an input from `first_opset` on."""
    if b.opset >= first_opset:
        return b.one(name, value, b.constant(list(axes)), **attributes)
    return b.one(name, value, axes=list(axes), **attributes)


def unsqueeze(b: Builder, value: Value) -> Value:
    rank = value.array.ndim + 1
    return on_axes(b, "Unsqueeze", value, [int(b.random.integers(-rank, rank))], 13)


def squeeze(b: Builder, value: Value) -> Value:
    ones = [axis for axis, size in enumerate(value.array.shape) if size == 1]
    if not ones or b.chance(0.2):
        return b.one("Squeeze", value)
    axis = b.choose(ones)
    return on_axes(b, "Squeeze", value, [axis - value.array.ndim if b.chance(0.3) else axis], 13)


def transpose(b: Builder, value: Value) -> Value:
    if b.chance(0.1) or not value.array.ndim:
        return b.one("Transpose", value)
    return b.one("Transpose", value, perm=[int(axis) for axis in b.random.permutation(value.array.ndim)])


def flatten(b: Builder, value: Value) -> Value:
    return b.one("Flatten", value, axis=int(b.random.integers(-value.array.ndim, value.array.ndim + 1)))


def expand(b: Builder, value: Value) -> Value:
    shape = [int(b.random.integers(1, 4)) if size == 1 and b.chance(0.5) else size for size in value.array.shape]
    return b.one("Expand", value, b.constant([1 if b.chance(0.3) else size for size in [*[1] * b.chance(0.2), *shape]]))


def tile(b: Builder, value: Value) -> Value:
    return b.one("Tile", value, b.constant([b.choose((1, 1, 2)) for _ in value.array.shape]))


def slices(b: Builder, value: Value) -> Value:
    rank = value.array.ndim
    axes = [int(axis) for axis in b.random.permutation(rank)[: b.choose((1, 1, 2))]]
    ends = (-9, -2, -1, 0, 1, 2, 3, 9, 2**31 - 1, 2**63 - 1, -(2**63))
    starts, stops = ([b.choose(ends) for _ in axes] for _ in "ab")
    if b.chance(0.3):
        starts, stops = [0 for _ in axes], [b.choose((2, 3, 2**63 - 1)) for _ in axes]
    steps = [b.choose((1, 1, 1, 2, -1, -2)) for _ in axes]
    if any(step < 0 and end >= 2**31 - 1 for end, step in zip(stops, steps, strict=True)):
        raise RefusedError(
            "onnxruntime takes the largest end of a backward Slice for its farthest, onnx for its nearest"
        )
    signed = [axis - rank if b.chance(0.2) else axis for axis in axes]
    if b.chance(0.2):
        return b.one("Slice", value, b.constant(starts), b.constant(stops), b.constant(signed))
    return b.one("Slice", value, *map(b.constant, (starts, stops, signed, steps)))


def pad(b: Builder, value: Value) -> Value:
    amounts = b.constant([b.choose((0, 0, 0, 1, 2, -1)) for _ in range(2 * value.array.ndim)])
    mode = b.choose(("constant",) * 4 + ("edge", "reflect"))
    if mode == "constant" and b.chance(0.4):
        content = b.constant(b.choose((0, 1, -1)), value.array.dtype)
        return b.one("Pad", value, amounts, content)
    return b.one("Pad", value, amounts, mode=mode)


def reduce(b: Builder, value: Value) -> Value:
    name = b.choose(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceProd", "ReduceSumSquare"))
    keep = int(b.chance(0.6))
    if b.chance(0.1):
        return b.one(name, value, keepdims=keep)
    rank = value.array.ndim
    axes = [int(axis) for axis in b.random.permutation(rank)[: b.choose((1, 1, 2))]]
    signed = [axis - rank if b.chance(0.3) else axis for axis in axes]
    return on_axes(b, name, value, signed, 13 if name == "ReduceSum" else 18, keepdims=keep)


def gather(b: Builder, value: Value) -> Value:
    axis = int(b.random.integers(max(value.array.ndim, 1)))
    size = value.array.shape[axis] if value.array.ndim else 1
    count = b.choose(((), (1,), (2,), (3,), (1, 2)))
    indices = b.constant(b.random.integers(-size, size or 1, count), b.choose(INTEGERS))
    return b.one("Gather", value, indices, axis=axis - (value.array.ndim if b.chance(0.2) else 0))


MOVES = (reshape, reshape, unsqueeze, squeeze, transpose, transpose, flatten, expand, tile, slices, slices, pad, gather)


def move(b: Builder) -> None:
    b.choose((*MOVES, reduce))(b, b.pick(ranks=range(1, 6)))


def moves(b: Builder) -> None:
    """Several of the same kind, or of any, in a row, with something elementwise between."""
    value, kind = b.pick(ranks=range(1, 6)), b.choose(MOVES)
    for _ in range(b.choose((2, 3))):
        value = (kind if b.chance(0.6) else b.choose(MOVES))(b, value)
        if b.chance(0.3) and value.array.dtype.kind == "f":
            value = b.one(b.choose(("Relu", "Sigmoid", "Neg")), value)


def computed_reshape(b: Builder) -> None:
    """Reshape to sizes that are taken from Shape, as exporters write it."""
    value = b.pick(ranks=range(1, 5))
    sizes = []
    for axis in range(value.array.ndim):
        if b.chance(0.3):
            sizes.append(b.constant([value.array.shape[axis]]))
            continue
        index = b.constant(axis if b.chance(0.6) else [axis])
        size = b.one("Gather", b.one("Shape", value), index)
        if size.array.ndim == 0:
            if b.chance(0.3):
                size = b.one("Mul", b.one("Div", size, b.constant(1)), b.constant(1))
            size = on_axes(b, "Unsqueeze", size, [0], 13)
        sizes.append(size)
    if b.chance(0.5):
        sizes[int(b.random.integers(len(sizes)))] = b.constant([-1])
    b.one(b.choose(("Reshape", "Reshape", "Expand")), value, b.add("Concat", sizes, axis=0)[0])


def shape_sums(b: Builder) -> None:
    shape = b.one("Shape", b.pick(ranks=range(1, 5)))
    cut = slices(b, shape) if b.chance(0.5) else shape
    last = b.one(b.choose(("ReduceProd", "ReduceSum")), cut, keepdims=0)
    b.one("ConstantOfShape", b.one("Reshape", b.one("Min", last, b.constant(4)), b.constant([1])))


def range_of(b: Builder) -> None:
    size = b.one("Size", b.pick(ranks=(1, 2)))
    b.one("Range", b.constant(0), size, b.constant(b.choose((1, 2))))


# ---------------------------------------------------------------- joining and splitting


def split(b: Builder, value: Value, axis: int) -> list[Value]:
    """The value in two or three pieces, of equal sizes or not."""
    size = value.array.shape[axis]
    if size < 2:
        raise RefusedError("nothing to split")
    sizes = [size - 1, 1] if b.chance(0.5) else [1, *([1] if size > 2 and b.chance(0.4) else []), 0]
    sizes[-1] = sizes[-1] or size - sum(sizes)
    signed = axis - value.array.ndim if b.chance(0.3) else axis
    if b.opset >= 13:
        return b.add("Split", [value, b.constant(sizes)], output_count=len(sizes), axis=signed)
    return b.add("Split", [value], output_count=len(sizes), axis=signed, split=sizes)


def pieces(b: Builder) -> None:
    """Split or slice, do something to some pieces, and join them, in order or not."""
    value = b.pick(ranks=range(1, 5))
    axis = int(b.random.integers(value.array.ndim))
    if b.chance(0.4):
        cut = b.choose((1, 2))
        bounds = [(0, cut), (cut, 2**63 - 1)]
        parts = [b.one("Slice", value, *(b.constant([each]) for each in (*bound, axis))) for bound in bounds]
    else:
        parts = split(b, value, axis)
    change = b.choose((None, None, transpose, reshape, unsqueeze, "Neg"))
    if change is not None:
        parts = [b.one("Neg", part) if change == "Neg" else change(b, part) for part in parts]
    if b.chance(0.4):
        parts = [parts[int(place)] for place in b.random.permutation(len(parts))]
    b.add("Concat", parts, axis=axis if b.chance(0.9) else 0)


def concat(b: Builder) -> None:
    value = b.pick(ranks=range(1, 5))
    fitting = [
        each for each in b.values if each.array.dtype == value.array.dtype and each.array.ndim == value.array.ndim
    ]
    axis = int(b.random.integers(-value.array.ndim, value.array.ndim))
    joined = b.add("Concat", [value, *fitting[: b.choose((0, 1, 1, 2))]], axis=axis)[0]
    if b.chance(0.5):
        b.add("Concat", [joined, value], axis=axis)


def phases(b: Builder) -> None:
    """All strided slices of an image, joined: what YOLO's Focus layer does."""
    value = b.input([1, 2, 4, 4], np.float32)
    starts = ((0, 0), (1, 0), (0, 1), (1, 1))
    cuts = [b.one("Slice", value, *map(b.constant, (start, (9, 9), (2, 3), (2, 2)))) for start in starts]
    b.add("Concat", [cuts[int(place)] for place in b.random.permutation(4)], axis=1)


RECIPES = (
    unary,
    twice,
    *(with_constant,) * 3,
    constants_in_a_row,
    *(binary,) * 2,
    logic,
    where,
    casts,
    clips,
    *(move,) * 4,
    *(moves,) * 6,
    *(computed_reshape,) * 3,
    shape_sums,
    range_of,
    *(pieces,) * 3,
    concat,
    phases,
)
