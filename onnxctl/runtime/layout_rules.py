"""What operators that lay the same elements out anew say about shapes: Reshape, Transpose, Concat and their kin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from onnx import NodeProto

from onnxctl.model.nodes import attribute
from onnxctl.runtime.sizes import (
    Dim,
    Inputs,
    Rule,
    Shape,
    Size,
    agree,
    axes_at,
    broadcast,
    integers_at,
    product,
    settle,
    shape_at,
    unify,
)


def _reshape(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x, target = shape_at(inputs, 0), integers_at(inputs[1] if len(inputs) > 1 else None)
    if len(inputs) == 1:
        target = attribute(node, "shape")
    if target is None:
        return []
    if x is None:
        return [tuple(each if each > 0 else None for each in target)]
    zero_means_zero = bool(attribute(node, "allowzero", 0))
    result: list[Dim] = []
    for axis, each in enumerate(target):
        if each == 0 and not zero_means_zero:
            result.append(x[axis] if axis < len(x) else None)
        else:
            result.append(each if each >= 0 else None)
    free = target.index(-1) if -1 in target else None
    _balance(x, [dim for axis, dim in enumerate(result) if axis != free], result, free)
    return [tuple(map(settle, result))]


def _balance(x: Sequence[Dim], known: Sequence[Dim], result: list[Dim], free: int | None) -> None:
    """Settle open sizes of x so that the elements fit the target; name the free axis (-1) where one size is left."""
    if None in x or None in known:
        return
    numbers_in = product([dim for dim in x if isinstance(dim, int)]) or 1
    numbers_out = product([dim for dim in known if isinstance(dim, int)]) or 1
    open_in = Counter(dim.root() for dim in x if isinstance(dim, Size))
    open_out = Counter(dim.root() for dim in known if isinstance(dim, Size))
    left, missing = list((open_in - open_out).elements()), open_out - open_in
    if missing:
        return
    if free is None:
        if len(left) == 1 and numbers_out % numbers_in == 0:
            left[0].settle(numbers_out // numbers_in)
        return
    if not left and numbers_in % numbers_out == 0:
        result[free] = numbers_in // numbers_out
    elif len(left) == 1 and numbers_in == numbers_out:
        result[free] = left[0]
    elif left and numbers_out % numbers_in == 0 and numbers_out > numbers_in:
        # [-1, 784] of [batch, height]: the last open size carries what the numbers of the target ask for
        left[-1].settle(numbers_out // numbers_in)
        result[free] = left[0] if len(left) == 2 else 1 if len(left) == 1 else None


def _flatten(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = shape_at(inputs, 0)
    if x is None:
        return []
    axis = attribute(node, "axis", 1)
    axis = axis + len(x) if axis < 0 else axis
    return [(_folded(x[:axis]), _folded(x[axis:]))]


def _folded(dims: Sequence[Dim]) -> Dim:
    """The product of sizes: a number, or the one open size among ones."""
    wide = [dim for dim in dims if dim != 1]
    return wide[0] if len(wide) == 1 else product(wide)


def _transpose(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = shape_at(inputs, 0)
    if x is None:
        return []
    order = attribute(node, "perm") or list(range(len(x)))[::-1]
    return [tuple(x[axis] if -len(x) <= axis < len(x) else None for axis in order)]


def _squeeze(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x, axes = shape_at(inputs, 0), axes_at(node, inputs, 1)
    if x is None or not axes:
        return []
    gone = {axis % len(x) for axis in axes} if x else set()
    for axis in gone:
        unify(x[axis], 1)
    return [tuple(dim for axis, dim in enumerate(x) if axis not in gone)]


def _unsqueeze(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x, axes = shape_at(inputs, 0), axes_at(node, inputs, 1)
    if x is None or axes is None:
        return []
    rank = len(x) + len(axes)
    new, rest = {axis % rank for axis in axes}, iter(x)
    return [tuple(1 if axis in new else next(rest, None) for axis in range(rank))]


def _concat(node: NodeProto, inputs: Inputs) -> list[Shape]:
    shapes = [shape_at(inputs, index) for index in range(len(inputs))]
    known = [shape for shape in shapes if shape]
    if not known or len(known) != len(shapes) or len({len(shape) for shape in known}) > 1:
        return []
    rank = len(known[0])
    axis = attribute(node, "axis", 1) % rank
    result: list[Dim] = list(known[0])
    for shape in known[1:]:
        for at in range(rank):
            if at != axis:
                result[at] = unify(result[at], shape[at])
    sizes = [size for shape in known if isinstance(size := settle(shape[axis]), int)]
    result[axis] = sum(sizes) if len(sizes) == len(known) else None
    return [tuple(result)]


def _gather(node: NodeProto, inputs: Inputs) -> list[Shape]:
    data, indices = shape_at(inputs, 0), shape_at(inputs, 1)
    if not data or indices is None:
        return []
    axis = attribute(node, "axis", 0) % len(data)
    return [(*data[:axis], *indices, *data[axis + 1 :])]


def _gather_elements(node: NodeProto, inputs: Inputs) -> list[Shape]:
    data, indices = shape_at(inputs, 0), shape_at(inputs, 1)
    axis = attribute(node, "axis", 0)
    for at in range(len(indices or ())):
        if indices is not None and at != axis % len(indices):
            agree(data, at, indices, at)
    return [indices]


def _slice(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = shape_at(inputs, 0)
    if x is None:
        return []
    if attribute(node, "starts") is not None:
        axes = attribute(node, "axes") or list(range(len(attribute(node, "starts"))))
    elif len(inputs) > 3 and inputs[3] is not None:
        axes = integers_at(inputs[3])
    else:
        axes = list(range(_length(inputs, 1) or len(x)))
    return [_forget(x, axes)]


def _length(inputs: Inputs, index: int) -> int | None:
    shape = shape_at(inputs, index)
    return shape[0] if shape is not None and len(shape) == 1 and isinstance(shape[0], int) else None


def _forget(x: Sequence[Dim], axes: Sequence[int] | None) -> Shape:
    """The shape with these axes unknown, all of them where it isn't known which."""
    changed = set(range(len(x))) if axes is None else {axis % len(x) for axis in axes} if x else set()
    return tuple(None if axis in changed else dim for axis, dim in enumerate(x))


def _split(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = shape_at(inputs, 0)
    if not x:
        return []
    axis = attribute(node, "axis", 0) % len(x)
    parts = attribute(node, "split") or integers_at(inputs[1] if len(inputs) > 1 else None)
    if parts:
        unify(x[axis], sum(parts))
    sizes: list[Dim] = list(parts or [None] * len(node.output))
    return [(*x[:axis], size, *x[axis + 1 :]) for size in sizes]


def _pad(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = shape_at(inputs, 0)
    pads = attribute(node, "pads") or integers_at(inputs[1] if len(inputs) > 1 else None)
    if x is None:
        return []
    if pads is None or len(pads) != 2 * len(x):
        return [(None,) * len(x)]
    changed = [axis for axis in range(len(x)) if pads[axis] or pads[axis + len(x)]]
    return [_forget(x, changed)]


def _expand(node: NodeProto, inputs: Inputs) -> list[Shape]:
    target = integers_at(inputs[1] if len(inputs) > 1 else None)
    return [] if target is None else [broadcast([shape_at(inputs, 0), tuple(target)])]


def _reduce(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = shape_at(inputs, 0)
    axes = [attribute(node, "axis", 0)] if node.op_type.startswith("Arg") else axes_at(node, inputs, 1)
    if x is None or axes is None:
        return []
    gone = {axis % len(x) for axis in axes} if axes and x else set(range(len(x)))
    if attribute(node, "keepdims", 1):
        return [tuple(1 if axis in gone else dim for axis, dim in enumerate(x))]
    return [tuple(dim for axis, dim in enumerate(x) if axis not in gone)]


def _shape_operator(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = shape_at(inputs, 0)
    whole = not any(attribute(node, name) for name in ("start", "end"))
    return [(len(x),)] if x is not None and whole else []


LAYOUT_RULES: Mapping[str, Rule] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Slice": _slice,
    "Split": _split,
    "Pad": _pad,
    "Expand": _expand,
    "Shape": _shape_operator,
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"), _reduce),
    **dict.fromkeys(("ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "ArgMax", "ArgMin"), _reduce),
}
