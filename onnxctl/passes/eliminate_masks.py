"""Let masks that are known decide: And, Or, Xor, Equal with one value everywhere, and Where with nothing to choose.

- And(x, true) = Or(x, false) = Xor(x, false) = x, Equal(x, true) = x for a bool x, And(x, x) = Or(x, x) = x;
- And(x, false) is false, Or(x, true) is true, and Equal(x, x) is true for integers and bools: a constant;
- Where(c, x, x) = x, and Where(c, a, b) with c one value everywhere is a or b.
Exact by the definition of the operators; onnxruntime's own Where makes 0.0 of a -0.0 that it hands on. Opsets 7 on, in
which broadcasting is NumPy's. Left alone: what would have another shape than the result, shapes that are not known,
Equal(x, x) of floats, which is false for NaN, and constants that would make the model larger.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, bypass, constant_bytes, replace_by_constant, standard_nodes
from onnxctl.passes.uniform import uniform_value

_FIRST_OPSET = 7
_NEUTRAL = {"And": True, "Or": False, "Xor": False, "Equal": True}
_DOMINANT = {"And": False, "Or": True}
_WITH_ITSELF = ("And", "Or")
_EQUAL_TO_THEMSELVES = frozenset(
    {TensorProto.BOOL, TensorProto.INT64, TensorProto.INT32, TensorProto.INT16, TensorProto.INT8}
    | {TensorProto.UINT64, TensorProto.UINT32, TensorProto.UINT16, TensorProto.UINT8}
)


def eliminate_masks(graph: Graph, context: Context) -> int:
    """Replace what known masks decide; returns how many nodes went."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = sum(_decide(graph, context, node) for node in standard_nodes(graph, *_NEUTRAL))
    return found + sum(_choose(graph, context, node) for node in standard_nodes(graph, "Where"))


def _decide(graph: Graph, context: Context, node: NodeProto) -> bool:
    first, second = node.input
    if first == second:
        if node.op_type in _WITH_ITSELF:
            return bypass(graph, context, node, first)
        is_equal = node.op_type == "Equal" and graph.element_type(first) in _EQUAL_TO_THEMSELVES
        return is_equal and _put(graph, context, node, value=True)
    if graph.element_type(first) != TensorProto.BOOL:
        return False
    for value, mask in ((first, second), (second, first)):
        known = uniform_value(graph, mask)
        if known is None:
            continue
        if bool(known) == _NEUTRAL[node.op_type]:
            return _has_shape_of(graph, context, value, node) and bypass(graph, context, node, value)
        if node.op_type in _DOMINANT:
            return _put(graph, context, node, value=bool(known))
    return False


def _choose(graph: Graph, context: Context, node: NodeProto) -> bool:
    """Take the branch of a Where that is always taken."""
    condition, first, second = node.input
    known = uniform_value(graph, condition)
    if known is None and first != second:
        return False
    taken = second if known is not None and not known else first
    return _has_shape_of(graph, context, taken, node) and bypass(graph, context, node, taken)


def _has_shape_of(graph: Graph, context: Context, value: str, node: NodeProto) -> bool:
    shape = context.fact(graph, value).shape
    return shape is not None and shape == context.fact(graph, node.output[0]).shape


def _put(graph: Graph, context: Context, node: NodeProto, *, value: bool) -> bool:
    """Let the result be one value everywhere; False where its shape is not known or it would take room."""
    shape = graph.static_shape(node.output[0])
    if shape is None:
        return False
    size = int(np.prod(shape, dtype=object))
    if not context.afford(constant_bytes(graph, node.output[0], size, len(shape)), node.ByteSize()):
        context.skip(node, "the model would grow by what it comes to")
        return False
    replace_by_constant(graph, node, context.model.new_tensor("", np.full(shape, value)))
    return True
