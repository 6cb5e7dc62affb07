"""Clamp once where values are clamped several times, and not at all where the bounds are infinite.

Clip(x, lo, hi) = min(max(x, lo), hi), where a bound that is left out is the least or largest finite number, and
Relu(x) = Clip(x, 0, inf):
- bounds -inf and inf, or the ends of an integer type: x;
- Clip of Clip or Relu, or Relu of Clip: one Clip, whose bounds are the first ones clamped by the second ones;
- where the second clamps nothing that the first lets through, the second goes.
Exact, infinities included, and NaN, which every one of them lets through. Opsets 11 on, where bounds are inputs and
can be infinite, floats and integers. Left alone: computed bounds, lo > hi, a first node whose result others read too,
what would make the model larger, clamps that leave nothing but zeros, and Relu of Relu (see eliminate_involutions).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto

from onnxctl.model.arrays import Array, numpy_dtype
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, bypass, constant_bytes, define_constant, input_name, standard_nodes

Bounds = tuple[Array, Array]

_FIRST_OPSET_WITH_BOUNDS_AS_INPUTS = 11


def merge_clips(graph: Graph, context: Context) -> int:
    """Merge neighbouring clamps; returns how many nodes went."""
    if graph.opset() < _FIRST_OPSET_WITH_BOUNDS_AS_INPUTS:
        return 0
    found = 0
    for node in standard_nodes(graph, "Clip", "Relu"):
        bounds = _bounds(graph, node)
        if bounds is None:
            if node.op_type == "Clip":
                context.skip(node, "its bounds are computed, or the lower one exceeds the upper one")
            continue
        if bounds == _widest(bounds[0].dtype):
            found += bypass(graph, context, node, node.input[0])
            continue
        first = graph.producer(node.input[0])
        if first is not None and is_standard(first, "Clip", "Relu") and first.op_type + node.op_type != "ReluRelu":
            found += _merge(graph, context, first, node, bounds)
    return found


def _merge(graph: Graph, context: Context, first: NodeProto, second: NodeProto, outer: Bounds) -> bool:
    inner = _bounds(graph, first)
    if inner is None:
        return False
    merged = _clamped(inner[0], outer), _clamped(inner[1], outer)
    if merged[0].dtype.kind == "f" and not any(merged):
        context.skip(second, "nothing but zeros comes out, and they could have another sign")
        return False
    if merged == inner:
        return bypass(graph, context, second, second.input[0])
    if graph.only_consumer(first.output[0]) is not second:
        context.skip(second, "others read what the first of the two clamps gives")
        return False
    names = [first.input[0], "", ""]
    new: dict[str, Array] = {}
    for index, (bound, absent) in enumerate(zip(merged, _finite(merged[0].dtype), strict=True), start=1):
        if bound == outer[index - 1] and input_name(second, index):
            names[index] = input_name(second, index)
        elif bound != absent:
            names[index] = graph.fresh_name(f"{second.output[0]}_bound{index}")
            new[names[index]] = np.array(bound)
    added = sum(constant_bytes(graph, name, bound.nbytes, 0) + len(name) for name, bound in new.items())
    if not context.afford(added, first.ByteSize()):
        context.skip(second, "a bound of its own would be larger than the clamp that goes")
        return False
    for name, bound in new.items():
        define_constant(graph, name, graph.model.new_tensor("", bound), before=second)
    while not names[-1]:
        names.pop()
    graph.add_node("Clip", names, [second.output[0]], before=second, name=second.name)
    graph.remove(second)
    graph.remove(first)
    return True


def _bounds(graph: Graph, node: NodeProto) -> Bounds | None:
    """The bounds as arrays of rank 0 of the tensor's type; None where they are computed or in the wrong order."""
    number = graph.element_type(node.input[0])
    if number is None:
        return None
    dtype = numpy_dtype(number)
    if dtype.kind not in "iuf":
        return None
    if node.op_type == "Relu":
        return (np.zeros((), dtype), _widest(dtype)[1]) if dtype.kind != "u" else None
    found = list(_finite(dtype))
    for index in (1, 2):
        name = input_name(node, index)
        if not name:
            continue
        values = graph.constant_values(name, at_most=1)
        if values is None or values.size != 1 or values.dtype != dtype or values != values:
            return None
        found[index - 1] = values.reshape(())
    low, high = found
    return None if low > high else (low, high)


def _widest(dtype: np.dtype[np.generic]) -> Bounds:
    """The bounds that clamp nothing."""
    return (np.array(-np.inf, dtype), np.array(np.inf, dtype)) if dtype.kind == "f" else _finite(dtype)


def _finite(dtype: np.dtype[np.generic]) -> Bounds:
    """The bounds of a Clip that has none."""
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return np.array(limits.min, dtype), np.array(limits.max, dtype)


def _clamped(bound: Array, by: Bounds) -> Array:
    low, high = by
    return low if bound < low else high if bound > high else bound
