"""Remove Dropout that does nothing: y = Dropout(x) = x at inference.

From opset 7 on, Dropout computes in inference mode unless (opset 12) its third input training_mode is given and not a
constant false; a constant ratio of 0 makes it do nothing in training too. In opsets 1 and 6 the attribute is_test has
to be 1. Left alone where the mask (all true) is used.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, bypass, input_name, standard_nodes


def eliminate_dropout(graph: Graph, context: Context) -> int:
    """Let readers of the result read the input; returns how many nodes went."""
    found = 0
    for node in standard_nodes(graph, "Dropout"):
        if _does_nothing(graph, node):
            found += bypass(graph, context, node, node.input[0])
        else:
            context.skip(node, "may be in training mode")
    return found


def _does_nothing(graph: Graph, node: NodeProto) -> bool:
    if graph.opset() < 7:
        return bool(attribute(node, "is_test", 0) == 1)
    training = input_name(node, 2)
    if not training:
        return True
    mode = graph.constant_values(training, at_most=1)
    return mode is not None and not mode.any()
