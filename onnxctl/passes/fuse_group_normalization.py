"""Make one GroupNormalization of its parts (GroupNormalization, opset 21).

As exporters write it: Reshape of (batch, channels, ...) to (batch, groups, -1), InstanceNormalization with scales of
one and shifts of zero, Reshape back, times a scale and plus a shift of each channel (ONNX operator documentation;
stash_type = 1 computes in float32). Equal but for the rounding of the steps.

Runs at level max or where it is named: onnxruntime's CPU provider has no kernel, takes it apart again, and was
measured to take 2.2 times as long. Left alone: opsets 18 to 20, whose GroupNormalization has one scale for each group
and is deprecated, float64, parts that others read, and sizes that are not known.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, standard_nodes, takes_initializers
from onnxctl.passes.normalization import NORMALIZED_TYPES
from onnxctl.passes.pattern import fuse, is_private, maker
from onnxctl.passes.weights import add_weight, bytes_with_constants, float_values

_FIRST_OPSET = 21
_RANK_OF_GROUPS = 3
_NODE_BYTES = 70
"""What a GroupNormalization with its attributes takes, names apart."""


def fuse_group_normalization(graph: Graph, context: Context) -> int:
    """Fuse group normalizations; returns how many."""
    if graph.opset() < _FIRST_OPSET or not takes_initializers(graph):
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "InstanceNormalization"))


def _fuse(graph: Graph, context: Context, node: NodeProto) -> bool:
    into, back = maker(graph, node.input[0], "Reshape"), graph.only_consumer(node.output[0])
    scale, shift = (float_values(graph, name) for name in node.input[1:3])
    if into is None or back is None or maker(graph, back.output[0], "Reshape") is not back:
        return False
    if scale is None or shift is None or (scale != 1).any() or shift.any():
        return False
    shape, groups = context.fact(graph, into.input[0]).shape, context.fact(graph, into.output[0]).shape
    if shape is None or shape != context.fact(graph, back.output[0]).shape or len(shape) < _RANK_OF_GROUPS:
        context.skip(node, "what it groups is not known to have the shape of its result")
        return False
    if groups is None or len(groups) != _RANK_OF_GROUPS or groups[0] != shape[0]:
        return False
    channels, group_count = shape[1], groups[1]
    if not isinstance(channels, int) or not isinstance(group_count, int) or channels % group_count:
        return False
    if graph.element_type(node.output[0]) not in NORMALIZED_TYPES:
        return False
    scaling = _reader(graph, back, "Mul", channels, len(shape))
    shifting = None if scaling is None else _reader(graph, scaling, "Add", channels, len(shape))
    if scaling is None or shifting is None:
        context.skip(node, "no scale and shift of each channel follow its groups")
        return False
    nodes = [shifting, scaling, back, node, into]
    if not is_private(graph, context, nodes):
        context.skip(node, "a value inside the pattern of GroupNormalization is read elsewhere")
        return False
    freed = sum(bytes_with_constants(graph, each) for each in nodes) - _NODE_BYTES - len(into.input[0])
    weights = [
        _flat(graph, context, _constant(scaling, back), freed),
        _flat(graph, context, _constant(shifting, scaling), 0),
    ]
    if not all(weights):
        context.skip(node, "scale and shift of rank 1 would make the model larger")
        return False
    attributes = {"num_groups": group_count, "epsilon": attribute(node, "epsilon", 1e-5)}
    return fuse(graph, context, nodes, "GroupNormalization", [into.input[0], *weights], attributes)


def _reader(graph: Graph, before: NodeProto, op_type: str, channels: int, rank: int) -> NodeProto | None:
    """The only reader of what a node makes, where it is this operator with a constant for each channel."""
    reader = graph.only_consumer(before.output[0])
    if reader is None or maker(graph, reader.output[0], op_type) is not reader:
        return None
    tensor = graph.constant(_constant(reader, before))
    if tensor is None or tensor.element_count != channels or not rank - 1 <= len(tensor.shape) <= rank:
        return None
    return reader if tensor.shape[1 - rank] == channels else None


def _constant(reader: NodeProto, before: NodeProto) -> str:
    return str(reader.input[1] if reader.input[0] == before.output[0] else reader.input[0])


def _flat(graph: Graph, context: Context, name: str, freed_bytes: int) -> str:
    """The constant as one of rank 1; "" where the model would grow by it."""
    tensor = graph.constant(name)
    if tensor is None:
        return ""
    values = np.ascontiguousarray(tensor.numpy().reshape(-1))
    return add_weight(graph, context, name, values, freed_bytes=freed_bytes)
