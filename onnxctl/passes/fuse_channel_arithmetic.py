"""Take multiplication by, and addition of, a constant for each channel into the weights before (or after) it.

After a Conv, ConvTranspose, Gemm or MatMul with constant weights, for y its result and c constant along the channels:
y * c, y / c, y + c, y - c and c - y are y * s + t, which the node takes in (see `linear`). In front of a Conv, with c
one number for each input channel, L(x * c, W) = L(x, W * c), also where the Conv pads: 0 * c = 0. In front of a MatMul
or Gemm the same for one number c. Weights are rounded once more: about one unit in the last place of each.

Opsets 7 on. Left alone: additions after a MatMul (see `fuse_matmul_add`), additions in front (padding would make them
wrong), weights that others read, and products in front of a MatMul that may be the last step of a Gelu or SiLU, which
runtimes know as a whole.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.model.tensors import Array
from onnxctl.passes.base import Context, bypass, standard_nodes
from onnxctl.passes.linear import LINEAR_OPERATORS, Linear, channel_vector, linear_of, take_in
from onnxctl.passes.pattern import is_private, maker
from onnxctl.passes.semantics import rank_of
from onnxctl.passes.weights import bytes_with_constants, float_values, private_weight, put_weight, scaled

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
    return bypass(graph, context, node, before.output[0])


# ---------------------------------------------------------------- in front of the node with weights


def _fuse_before(graph: Graph, context: Context, node: NodeProto) -> bool:
    after = graph.only_consumer(node.output[0])
    if node.op_type not in ("Mul", "Div") or after is None or after.op_type not in LINEAR_OPERATORS:
        return False
    linear = linear_of(graph, after)
    if linear is None or after.input[0] != node.output[0] or node.output[0] in context.pinned:
        return False
    for place in (1, 0) if node.op_type == "Mul" else (1,):
        values, operand = float_values(graph, node.input[place]), node.input[1 - place]
        if values is None:
            continue
        factor = _along_inputs(graph, linear, operand, values)
        if factor is None or private_weight(graph, context, after.input[1], after) is None:
            return False
        if maker(graph, operand, "Mul") is not None and after.op_type in ("MatMul", "Gemm"):
            return False
        if node.op_type == "Div" and not factor.all():
            return False
        weight = scaled(linear.weight.numpy(), 1 / factor if node.op_type == "Div" else factor)
        if weight is None:
            context.skip(node, f"the weight of the {after.op_type} behind it would overflow")
            return False
        put_weight(graph, after.input[1], weight)
        graph.set_input(after, 0, operand)
        graph.remove(node)
        return True
    return False


def _along_inputs(graph: Graph, linear: Linear, operand: str, values: Array) -> Array | None:
    """The constant in a shape that broadcasts to the weight; None where it is not one number for each input channel."""
    rank = rank_of(graph, operand)
    if values.ndim and (rank is None or values.ndim > rank):
        return None
    if values.size == 1:
        return values.reshape(())
    shape = linear.weight.shape
    if linear.node.op_type != "Conv" or rank != len(shape) or values.ndim < rank - 1:
        return None
    groups = attribute(linear.node, "group", 1)
    if values.size != shape[1] * groups or values.shape[1 - rank] != values.size:
        return None
    rows = np.repeat(values.reshape(groups, shape[1]), shape[0] // groups, axis=0)
    return rows.reshape(shape[0], shape[1], *[1] * (len(shape) - 2))
