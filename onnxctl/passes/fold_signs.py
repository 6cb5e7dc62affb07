"""Let a constant hold the sign of a negated part: Concat(-a, b) * S = Concat(a, b) * [-S, S] along the axis of Concat.

This is the rotation of rotary position embeddings, Concat(-x2, x1) * sin. A constant S that several such products
read is changed once for all of them, where every one of them negates the same stretch. Exact: only signs change, and
the Concat, which now makes something else, gets a name that says so. Opsets 7 on. Left alone: a constant that anybody
else reads, or that does not vary along the axis.
"""

from __future__ import annotations

from typing import NamedTuple

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, rename, standard_nodes
from onnxctl.passes.pattern import maker, operands
from onnxctl.passes.weights import FLOAT_TYPES, put_weight

_FIRST_OPSET = 7


class _Negation(NamedTuple):
    """A negated part of a Concat: its Neg, its place among the inputs, and the stretch of the axis that it fills."""

    concat: NodeProto
    neg: NodeProto
    place: int
    axis_from_back: int
    start: int
    stop: int

    @property
    def stretch(self) -> tuple[int, int, int]:
        return self.axis_from_back, self.start, self.stop


def fold_signs(graph: Graph, context: Context) -> int:
    """Negate constants instead of parts; returns how many Neg nodes went."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = 0
    for node in standard_nodes(graph, "Mul"):
        for _, constant in operands(graph, node, "Concat"):
            if constant in graph.initializers and not graph.is_input(constant):
                found += _fold(graph, context, constant)
                break
    return found


def _fold(graph: Graph, context: Context, constant: str) -> int:
    negations = [_negation(graph, context, product, constant) for product in graph.consumers(constant)]
    known = [each for each in negations if each is not None]
    tensor = graph.constant(constant)
    if len(known) < len(negations) or tensor is None or tensor.proto.data_type not in FLOAT_TYPES:
        return 0
    if graph.is_output(constant) or constant in context.pinned or len({each.stretch for each in known}) != 1:
        return 0
    first = known[0]
    if len(tensor.shape) < first.axis_from_back or tensor.shape[-first.axis_from_back] < first.stop:
        return 0
    array = tensor.numpy().copy()
    axis = array.ndim - first.axis_from_back
    array[(*[slice(None)] * axis, slice(first.start, first.stop))] *= -1
    put_weight(graph, graph.model.new_tensor(constant, array))
    for each in known:
        graph.set_input(each.concat, each.place, each.neg.input[0])
        graph.remove(each.neg)
        rename(graph, each.concat.output[0])
    return len(known)


def _negation(graph: Graph, context: Context, product: NodeProto, constant: str) -> _Negation | None:
    """The negated part of what the constant is multiplied by; None where there is none, or others read it too."""
    if product.op_type != "Mul" or list(product.input).count(constant) != 1:
        return None
    value = product.input[0] if product.input[1] == constant else product.input[1]
    concat = maker(graph, value, "Concat")
    shape = graph.shape_of(value)
    if concat is None or shape is None or graph.only_consumer(value) is not product or value in context.pinned:
        return None
    axis = attribute(concat, "axis") % len(shape)
    constant_shape = graph.shape_of(constant) or ()
    if len(constant_shape) > len(shape) or constant_shape[axis - len(shape) :][:1] != (shape[axis],):
        return None
    start = 0
    for place, name in enumerate(concat.input):
        part = graph.shape_of(name)
        size = None if part is None else part[axis]
        if not isinstance(size, int):
            return None
        neg = maker(graph, name, "Neg")
        if neg is not None and graph.only_consumer(name) is concat and name not in context.pinned:
            return _Negation(concat, neg, place, len(shape) - axis, start, start + size)
        start += size
    return None
