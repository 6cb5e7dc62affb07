"""Store a weight in the shape and order it is read in: Transpose, Reshape, Flatten, Squeeze, Unsqueeze of a weight.

A weight that is reshaped keeps its bytes where they are and gets other dims, however large it is. A transposed one is
written in its new order when the model is saved, one in memory at a time, up to MAXIMUM_TRANSPOSED_BYTES. All opsets.
Small constants are left to `fold_constants`. Left alone are weights that anything else reads (there would be two
copies), and those that callers can override or that are outputs.
"""

from __future__ import annotations

import math

from onnx import NodeProto, TensorProto

from onnxctl.model.derivation import transpose
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.model.tensors import Tensor
from onnxctl.passes.base import Context, home_of_constant, replace_by_constant, standard_nodes, takes_initializers

MAXIMUM_TRANSPOSED_BYTES = 16 << 20
"""Larger weights stay as they are: rewriting one costs more time and memory than its Transpose node is worth."""


def fold_layouts(graph: Graph, context: Context) -> int:
    """Give the weights of this scope the layout that their only reader makes of them; returns how many nodes went."""
    if not takes_initializers(graph):
        return 0
    found = 0
    for node in standard_nodes(graph, "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        scope = graph.scope_of(node.input[0])
        proto = None if scope is None else scope.initializers.get(node.input[0])
        if scope is None or proto is None or context.model.payload(proto) is None:
            continue
        if graph.constant(proto.name) is None:
            continue
        if graph.is_output(node.output[0]) or not context.pinned.isdisjoint((proto.name, node.output[0])):
            continue
        if home_of_constant(graph, proto.name) is not scope or scope.is_input(proto.name):
            context.skip(node, "its weight is read elsewhere as it is")
            continue
        stored = _rearranged(graph, context, node, context.model.tensor(proto))
        if stored is not None:
            replace_by_constant(graph, node, stored)
            scope.remove_initializer(proto.name)
            found += 1
    return found


def _rearranged(graph: Graph, context: Context, node: NodeProto, weight: Tensor) -> TensorProto | None:
    if node.op_type == "Transpose":
        if weight.byte_count > MAXIMUM_TRANSPOSED_BYTES:
            context.skip(node, f"its weight is larger than {MAXIMUM_TRANSPOSED_BYTES >> 20} MiB")
            return None
        axes = attribute(node, "perm", list(range(len(weight.shape)))[::-1])
        if sorted(axes) != list(range(len(weight.shape))):
            return None
        stored_bytes = weight.payload.length if weight.payload is not None else 0
        if not context.afford(weight.byte_count, stored_bytes):
            context.skip(node, "its weight is stored in fewer bytes than raw_data takes: the file may not grow")
            return None
        return context.model.derived_tensor("", transpose(weight, axes))
    shape = graph.static_shape(node.output[0])
    if shape is None or math.prod(shape) != weight.element_count:
        return None
    stored = TensorProto()
    stored.CopyFrom(weight.proto)
    stored.dims[:] = shape
    return stored
