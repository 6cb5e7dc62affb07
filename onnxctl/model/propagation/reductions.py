"""Reductions: axes disappear or become 1. Of small integer tensors the result itself is followed."""

from __future__ import annotations

from collections.abc import Mapping

from onnxctl.model.dimensions import Dimension
from onnxctl.model.propagation import arithmetic
from onnxctl.model.propagation.arithmetic import Binary
from onnxctl.model.propagation.call import Call, ShapeFunction, normalized_axes
from onnxctl.model.propagation.facts import INTEGER_TYPES, Element, Fact, static_shape, tensor


def _reduction(total: Binary | None = None) -> ShapeFunction:
    def shape_function(call: Call) -> Fact:
        fact = call.fact(0)
        keep = call.integer("keepdims", 1)
        axes = call.axes(1)
        if axes is None or fact.shape is None:
            if axes == [] and not call.integer("noop_with_empty_axes", 0) and not keep:
                return tensor(fact.dtype, ())
            rank = len(fact.shape) if fact.shape is not None and keep else None
            return tensor(fact.dtype, call.unknown_shape(rank))
        if not axes and call.integer("noop_with_empty_axes", 0):
            return tensor(fact.dtype, fact.shape, fact.values if total else None)
        reduced = set(normalized_axes(axes, len(fact.shape)) if axes else range(len(fact.shape)))
        sizes: list[Dimension] = []
        for axis, size in enumerate(fact.shape):
            if axis not in reduced:
                sizes.append(size)
            elif keep:
                sizes.append(1)
        values = None
        if total is not None and len(reduced) == len(fact.shape):
            values = _total(fact, total)
        return tensor(fact.dtype, sizes, values)

    return shape_function


def _total(fact: Fact, rule: Binary) -> list[Element] | None:
    if not fact.values or fact.dtype not in INTEGER_TYPES or static_shape(fact.shape) is None:
        return None
    result = fact.values[0]
    for each in fact.values[1:]:
        result = rule(result, each, fact.dtype)
    return [result]


OPERATORS: Mapping[str, ShapeFunction] = {
    **dict.fromkeys(
        ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceSumSquare"), _reduction()
    ),
    "ReduceSum": _reduction(arithmetic.add),
    "ReduceProd": _reduction(arithmetic.multiply),
    "ReduceMax": _reduction(arithmetic.maximum),
    "ReduceMin": _reduction(arithmetic.minimum),
}
