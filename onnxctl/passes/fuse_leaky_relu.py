"""Make one LeakyRelu of a choice between x and a * x for one number a (LeakyRelu, opset 6).

- Where(x > 0, x, a * x), also with >=, and with the branches the other way round for < and <=
- Max(x, a * x) for 0 <= a <= 1
(ONNX operator documentation: x for x >= 0, else alpha x.) Exact, but for the sign of a zero. Opsets 9 on. Left alone:
element types other than float32 and float16, for which onnxruntime has no kernel in every operator set.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.pattern import FLOAT_AND_HALF, fuse, is_scalar, keeps_rank, maker
from onnxctl.passes.semantics import scalar

_FIRST_OPSET = 9
_POSITIVE = ("Greater", "GreaterOrEqual")
_NEGATIVE = ("Less", "LessOrEqual")


def fuse_leaky_relu(graph: Graph, context: Context) -> int:
    """Fuse leaky rectifiers; returns how many."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Where", "Max"))


def _fuse(graph: Graph, context: Context, node: NodeProto) -> bool:
    if graph.element_type(node.output[0]) not in FLOAT_AND_HALF:
        return False
    if node.op_type == "Max":
        pairs = [(node.input[0], node.input[1]), (node.input[1], node.input[0])] if len(node.input) == 2 else []
        for value, scaled in pairs:
            product, slope = _slope(graph, value, scaled)
            if product is not None and 0 <= slope <= 1:
                return fuse(graph, context, [node, product], "LeakyRelu", [value], {"alpha": slope})
        return False
    condition = maker(graph, node.input[0], *_POSITIVE, *_NEGATIVE)
    if condition is None or not is_scalar(graph, condition.input[1], 0.0):
        return False
    value, scaled = node.input[1:3] if condition.op_type in _POSITIVE else (node.input[2], node.input[1])
    product, slope = _slope(graph, value, scaled)
    if product is None or condition.input[0] != value or not keeps_rank(graph, value, condition.input[1]):
        return False
    return fuse(graph, context, [node, condition, product], "LeakyRelu", [value], {"alpha": slope})


def _slope(graph: Graph, value: str, scaled: str) -> tuple[NodeProto | None, float]:
    """The Mul that makes the scaled value of the value and a number, and the number; None where none does."""
    product = maker(graph, scaled, "Mul")
    for place in (0, 1) if product is not None else ():
        slope = scalar(graph, product.input[place]) if product is not None else None
        if product is None or slope is None or product.input[1 - place] != value:
            continue
        if keeps_rank(graph, value, product.input[place]):
            return product, slope
    return None, 0.0
