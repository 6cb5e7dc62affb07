"""Take BatchNormalization into the weights of the Conv, ConvTranspose, Gemm or MatMul before or behind it.

At inference y = (x - mean) / sqrt(var + epsilon) * scale + B is x * s + t for each channel, with
s = scale / sqrt(var + epsilon) and t = B - mean * s (ONNX operator documentation, BatchNormalization 7 on). The node
before takes both in, or else the node behind that alone reads y, where it pads nothing (see `linear`). Weights are
rounded once more: about one unit in the last place of each.

A MatMul of rank 2 becomes a Gemm where t is not 0. Left alone: training mode and the outputs that only training has,
statistics that are computed, `spatial = 0` (opset 7), weights that others read (a second copy would make the model
larger), and a Conv whose result others read too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from onnx import NodeProto

from onnxctl.model.arrays import Array
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, standard_nodes, take_over
from onnxctl.passes.linear import LINEAR_OPERATORS, input_channels, linear_of, take_in, take_in_before
from onnxctl.passes.pattern import is_private, maker
from onnxctl.passes.semantics import rank_of
from onnxctl.passes.weights import bytes_with_constants, float_values

_RANK_OF_A_MATRIX = 2
_FIRST_OPSET = 7
"""Before, `is_test` was an attribute that said whether the node trains."""


class _Affine(NamedTuple):
    """What a BatchNormalization does to each channel: x * scale + shift."""

    scale: Array
    shift: Array


def fuse_batch_normalization(graph: Graph, context: Context) -> int:
    """Let weights do what BatchNormalization does; returns how many such nodes went."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = 0
    for node in standard_nodes(graph, "BatchNormalization"):
        before = maker(graph, node.input[0], *LINEAR_OPERATORS)
        after = graph.only_consumer(node.output[0])
        found += (before is not None and _fuse_after(graph, context, node, before)) or (
            after is not None
            and maker(graph, after.output[0], *LINEAR_OPERATORS) is after
            and _fuse_before(graph, context, node, after)
        )
    return found


def _fuse_after(graph: Graph, context: Context, node: NodeProto, before: NodeProto) -> bool:
    linear, affine = linear_of(graph, before), _affine(graph, context, node)
    if linear is None or affine is None or affine.scale.shape != (linear.channels,):
        context.skip(node, f"its statistics, or the weights of the {before.op_type} before it, are not constant")
        return False
    if not is_private(graph, context, [node, before]):
        context.skip(node, f"the result of the {before.op_type} before it is read elsewhere")
        return False
    freed = bytes_with_constants(graph, node)
    problem = take_in(graph, context, linear, affine.scale, affine.shift, freed_bytes=freed)
    if problem:
        context.skip(node, f"the {before.op_type} before it can't take it in: {problem}")
        return False
    take_over(graph, node, before.output[0])
    return True


def _fuse_before(graph: Graph, context: Context, node: NodeProto, after: NodeProto) -> bool:
    linear, affine = linear_of(graph, after), _affine(graph, context, node)
    if linear is None or affine is None or after.input[0] != node.output[0] or node.output[0] in context.pinned:
        return False
    if affine.scale.shape != (input_channels(linear),) or rank_of(graph, node.input[0]) != linear.rank:
        return False
    if after.op_type == "MatMul" and linear.rank != _RANK_OF_A_MATRIX:
        return False  # the channels lie on axis 1, which is not the one that it sums over
    freed = bytes_with_constants(graph, node)
    problem = take_in_before(graph, context, linear, affine.scale, affine.shift, freed_bytes=freed)
    if problem:
        context.skip(node, f"the {after.op_type} behind it can't take it in: {problem}")
        return False
    graph.set_input(after, 0, node.input[0])
    graph.remove(node)
    return True


def _affine(graph: Graph, context: Context, node: NodeProto) -> _Affine | None:
    if attribute(node, "training_mode", 0) or not attribute(node, "spatial", 1) or any(node.output[1:]):
        context.skip(node, "is in training mode, or normalizes more than channels")
        return None
    return _scale_and_shift(graph, node)


def _scale_and_shift(graph: Graph, node: NodeProto) -> _Affine | None:
    values = [each for name in node.input[1:5] if (each := float_values(graph, name)) is not None]
    if len(values) != 4 or any(each.ndim != 1 or each.shape != values[0].shape for each in values):
        return None
    scale, bias, mean, variance = values
    variance = variance + attribute(node, "epsilon", 1e-5)
    if not bool((variance > 0).all()):
        return None
    factor = scale / np.sqrt(variance)
    return _Affine(factor, bias - mean * factor)
