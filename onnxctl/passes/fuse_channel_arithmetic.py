"""Take multiplication by, and addition of, a constant for each channel into the weights before (or after) it.

After a Conv, ConvTranspose, Gemm or MatMul with constant weights, for y its result and c constant along the channels:
y * c, y / c, y + c, y - c and c - y are y * s + t, which the node takes in (see `linear`). In front of one, with c one
number for each input channel, L(x * c, W) = L(x, W * c), also where a Conv pads: 0 * c = 0; and L(x + c, W) is L(x, W)
with a larger bias where nothing is padded and there is a bias. Weights are rounded once more: about one unit in the
last place of each.

Opsets 7 on. Left alone: additions after a MatMul (see `fuse_matmul_add`), weights that others read, and in front of a
MatMul or Gemm what may be the last step of a Gelu, a SiLU or a normalization, which runtimes know as a whole.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from onnxctl.model.arrays import Array
from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, standard_nodes, take_over
from onnxctl.passes.linear import (
    LINEAR_OPERATORS,
    Linear,
    channel_vector,
    input_channels,
    linear_of,
    take_in,
    take_in_before,
)
from onnxctl.passes.pattern import is_private, maker
from onnxctl.passes.semantics import rank_of
from onnxctl.passes.weights import bytes_with_constants, float_values

_FIRST_OPSET = 7


def fuse_channel_arithmetic(graph: Graph, context: Context) -> int:
    """Let weights do what arithmetic with constants does; returns how many nodes went."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = 0
    for node in standard_nodes(graph, "Mul", "Div", "Add", "Sub"):
        found += _fuse_after(graph, context, node) or _fuse_before(graph, context, node)
    return found


# ---------------------------------------------------------------- after the node with weights


def _fuse_after(graph: Graph, context: Context, node: NodeProto) -> bool:
    for place in (0, 1):
        before = maker(graph, node.input[place], *LINEAR_OPERATORS)
        constant = node.input[1 - place]
        if before is None or (place == 1 and node.op_type == "Div") or graph.constant(constant) is None:
            continue
        if before.op_type == "MatMul" and node.op_type in ("Add", "Sub"):
            return False
        linear = linear_of(graph, before)
        vector = None if linear is None else channel_vector(graph, linear, constant)
        if linear is None or vector is None:
            context.skip(node, f"its constant, or the weight of the {before.op_type} before it, does not fit channels")
            return False
        return _take_in(graph, context, node, linear, *_scale_and_shift(node.op_type, place, vector))
    return False


def _scale_and_shift(op_type: str, place: int, vector: Array) -> tuple[Array | None, Array | None]:
    """What the operator does to the result in input number `place`, the constant being the other operand."""
    if op_type == "Mul":
        return vector, None
    if op_type == "Div":
        with np.errstate(divide="ignore"):
            return 1 / vector, None
    if op_type == "Add":
        return None, vector
    return (None, -vector) if place == 0 else (-np.ones_like(vector), vector)


def _take_in(
    graph: Graph, context: Context, node: NodeProto, linear: Linear, scale: Array | None, shift: Array | None
) -> bool:
    before = linear.node
    if not is_private(graph, context, [node, before]):
        context.skip(node, f"the result of the {before.op_type} before it is read elsewhere")
        return False
    if scale is not None and not np.isfinite(scale).all():
        context.skip(node, "it divides by 0")
        return False
    problem = take_in(graph, context, linear, scale, shift, freed_bytes=bytes_with_constants(graph, node))
    if problem:
        context.skip(node, f"the {before.op_type} before it can't take it in: {problem}")
        return False
    take_over(graph, node, before.output[0])
    return True


# ---------------------------------------------------------------- in front of the node with weights


def _fuse_before(graph: Graph, context: Context, node: NodeProto) -> bool:
    after = graph.only_consumer(node.output[0])
    if after is None or maker(graph, after.output[0], *LINEAR_OPERATORS) is None:
        return False
    linear = linear_of(graph, after)
    if linear is None or after.input[0] != node.output[0] or node.output[0] in context.pinned:
        return False
    for place in (1, 0) if node.op_type in ("Mul", "Add") else (1,):
        values, operand = float_values(graph, node.input[place]), node.input[1 - place]
        if values is None:
            continue
        vector = _for_inputs(graph, linear, operand, values)
        if vector is None or (node.op_type == "Div" and not vector.all()):
            return False
        if after.op_type in ("MatMul", "Gemm") and _may_be_last_step(graph, operand, vector):
            return False
        scale, shift = _scale_and_shift(node.op_type, 0, vector)
        scale = np.ones(1) if scale is None else scale
        problem = take_in_before(graph, context, linear, scale, shift, freed_bytes=bytes_with_constants(graph, node))
        if problem:
            context.skip(node, f"the {after.op_type} behind it can't take it in: {problem}")
            return False
        graph.set_input(after, 0, operand)
        graph.remove(node)
        return True
    return False


def _may_be_last_step(graph: Graph, operand: str, vector: Array) -> bool:
    """Whether runtimes may know the operand and what is done to it as one: a gate, or the scale of a normalization."""
    return maker(graph, operand, "Mul") is not None or (vector.size > 1 and maker(graph, operand, "Div") is not None)


def _for_inputs(graph: Graph, linear: Linear, operand: str, values: Array) -> Array | None:
    """The constant as one number for each input channel, or one for all; None where it varies along other axes."""
    rank = rank_of(graph, operand)
    if values.ndim and (rank is None or values.ndim > rank):
        return None
    count = input_channels(linear)
    if values.size != 1:
        from_back = len(linear.weight.shape) - 1 if linear.node.op_type in ("Conv", "ConvTranspose") else 1
        if values.size != count or values.ndim < from_back or values.shape[-from_back] != count:
            return None
        if from_back > 1 and rank != from_back + 1:
            return None
    return np.array(np.broadcast_to(values.reshape(-1), (count,)))
