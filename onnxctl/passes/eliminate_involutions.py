"""Undo what is done twice, and do once what changes nothing the second time.

Involutions, f(f(x)) = x: Neg, Not, BitwiseNot. Exact for every type, for the least integer too, which Neg maps to
itself. Idempotents, f(f(x)) = f(x): Abs, Relu, Ceil, Floor, Round, Sign. And Abs(Neg(x)) = Abs(x). Results that are
never negative pass Relu and Abs unchanged: Relu of Sigmoid, Softmax, Abs, Exp, Relu, HardSigmoid; Abs of Sigmoid,
Softmax, Exp. Abs of Relu stays, because Relu keeps the sign of a zero. All opsets. Reciprocal of Reciprocal stays: it
is not exact.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, bypass, standard_nodes

_INVOLUTIONS = ("Neg", "Not", "BitwiseNot")
_IDEMPOTENTS = ("Abs", "Relu", "Ceil", "Floor", "Round", "Sign")
_UNCHANGED_BY = {
    "Relu": ("Sigmoid", "Softmax", "Abs", "Exp", "HardSigmoid"),
    "Abs": ("Sigmoid", "Softmax", "Exp"),
}


def eliminate_involutions(graph: Graph, context: Context) -> int:
    """Take out pairs that cancel and repetitions; returns how many nodes were taken out or moved past another."""
    found = 0
    for node in standard_nodes(graph, *_INVOLUTIONS, *_IDEMPOTENTS):
        first = graph.producer(node.input[0])
        if first is None or first.domain != node.domain or not first.input:
            continue
        if node.op_type in _INVOLUTIONS and first.op_type == node.op_type:
            found += bypass(graph, context, node, first.input[0])
        elif _repeats(node, first):
            found += bypass(graph, context, node, node.input[0])
        elif node.op_type == "Abs" and is_standard(first, "Neg"):
            graph.set_input(node, 0, first.input[0])
            found += 1
    return found


def _repeats(node: NodeProto, first: NodeProto) -> bool:
    if first.op_type == node.op_type:
        return node.op_type in _IDEMPOTENTS
    return is_standard(first, *_UNCHANGED_BY.get(node.op_type, ()))
