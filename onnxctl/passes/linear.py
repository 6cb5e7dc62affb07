"""Operators with a constant weight along output channels, and how they take in a scale and a shift of each channel.

y = L(x, W) + b with W constant gives y * s + t = L(x, W * s) + (b * s + t), with one s and one t for each channel: s
multiplies W along the axis its output channels lie on. With exact numbers that is an identity; in floats every weight
is rounded once more. The operators (ONNX operator documentation, all opsets):
- Conv: W [channels, inputs / group, kernel...], b [channels].
- ConvTranspose: W [inputs, channels / group, kernel...], b [channels]; channel number c = g * (channels / group) + j is
  made by the g-th part of the inputs.
- Gemm: y = alpha * A' B' + beta * C; B [K, channels], or [channels, K] with transB = 1; C broadcasts to [M, channels].
- MatMul: B [K, channels], no bias: to take in a shift it has to become a Gemm, which takes inputs of rank 2 only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.model.tensors import Array, Tensor
from onnxctl.passes.base import Context, input_name
from onnxctl.passes.semantics import rank_of
from onnxctl.passes.weights import FLOAT_TYPES, add_weight, float_values, private_weight, put_weight, scaled

LINEAR_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, slots=True)
class Linear:
    """One such node: its weight, how many output channels it has and on which axis of the output they lie.

    rank is that of the output, None for a MatMul whose input's rank is unknown; axis is counted from the back then.
    """

    node: NodeProto
    weight: Tensor
    channels: int
    axis: int
    rank: int | None


def linear_of(graph: Graph, node: NodeProto) -> Linear | None:
    """The node with its weight, where that is a float constant of a fitting rank; None otherwise."""
    if not is_standard(node, *LINEAR_OPERATORS) or len(node.input) < 2:
        return None
    weight = graph.constant(node.input[1])
    if weight is None or weight.proto.data_type not in FLOAT_TYPES:
        return None
    shape = weight.shape
    if node.op_type == "Conv" and len(shape) > 2:
        return Linear(node, weight, shape[0], 1, len(shape))
    if node.op_type == "ConvTranspose" and len(shape) > 2:
        return Linear(node, weight, shape[1] * attribute(node, "group", 1), 1, len(shape))
    if node.op_type == "Gemm" and len(shape) == 2:
        return Linear(node, weight, shape[0 if attribute(node, "transB", 0) else 1], 1, 2)
    if node.op_type == "MatMul" and len(shape) == 2:
        rank = rank_of(graph, node.input[0])
        return Linear(node, weight, shape[1], -1 if rank is None else rank - 1, rank)
    return None


def channel_vector(graph: Graph, linear: Linear, constant: str) -> Array | None:
    """The constant beside the node's output as one float64 for each channel; None where it varies along other axes."""
    tensor = graph.constant(constant)
    if tensor is None or tensor.element_count not in (1, linear.channels):
        return None
    rank = 1 if linear.rank is None else linear.rank
    from_back = 1 if linear.rank is None else linear.rank - linear.axis
    if len(tensor.shape) > rank:
        return None
    if any(size != 1 and from_back != place for place, size in enumerate(reversed(tensor.shape), 1)):
        return None
    values = float_values(graph, constant)
    return None if values is None else np.array(np.broadcast_to(values.reshape(-1), (linear.channels,)))


def take_in(
    graph: Graph, context: Context, linear: Linear, scale: Array | None, shift: Array | None, *, freed_bytes: int = 0
) -> str:
    """Let the node compute y * scale + shift; returns why that can't be, or "" when done.

    freed_bytes is what becomes superfluous by it and can be spent on a bias.
    """
    node = linear.node
    if private_weight(graph, context, node.input[1], node) is None:
        return "its weight is read elsewhere, or by the caller"
    if node.op_type == "MatMul" and shift is not None and shift.any() and linear.rank != 2:
        return "a MatMul has no bias, and its input is not known to be of rank 2, as that of a Gemm is"
    bias = _bias(graph, linear)
    if bias is None:
        return "its bias is not constant, or not one number for each channel"
    wanted = bias if scale is None else bias * scale
    if shift is not None:
        beta = attribute(node, "beta", 1.0) if node.op_type == "Gemm" else 1.0
        if beta == 0:
            return "its bias is multiplied by 0"
        wanted = wanted + shift / beta
    new_weight = None
    if scale is not None and not bool((scale == 1).all()):
        new_weight = scaled(linear.weight.numpy(), _along_weight(linear, scale))
        if new_weight is None:
            return "its weight would overflow"
    if not np.array_equal(wanted, bias):
        problem = _put_bias(graph, context, linear, wanted, freed_bytes)
        if problem:
            return problem
        if node.op_type == "MatMul":
            graph.set_operator(node, "Gemm")
    if new_weight is not None:
        put_weight(graph, node.input[1], new_weight)
    return ""


def _along_weight(linear: Linear, scale: Array) -> Array:
    """The scale of each output channel in a shape that broadcasts to the weight."""
    shape, node = linear.weight.shape, linear.node
    if node.op_type == "Conv":
        return scale.reshape(-1, *[1] * (len(shape) - 1))
    if node.op_type == "ConvTranspose":
        groups = attribute(node, "group", 1)
        rows = np.repeat(scale.reshape(groups, shape[1]), shape[0] // groups, axis=0)
        return rows.reshape(shape[0], shape[1], *[1] * (len(shape) - 2))
    transposed = node.op_type == "Gemm" and attribute(node, "transB", 0)
    return scale.reshape(-1, 1) if transposed else scale.reshape(1, -1)


def _bias(graph: Graph, linear: Linear) -> Array | None:
    """The bias as float64 for each channel (zeros where there is none); None where it is something else."""
    name = input_name(linear.node, 2)
    if not name:
        return np.zeros(linear.channels)
    values = float_values(graph, name)
    if values is None or not (values.size == 1 or values.shape[-1] == values.size == linear.channels):
        return None
    return np.array(np.broadcast_to(values.reshape(-1), (linear.channels,)))


def _put_bias(graph: Graph, context: Context, linear: Linear, wanted: Array, freed_bytes: int) -> str:
    """Give the node this bias, in its old one's place where nobody else reads that; "" when done, else why not."""
    node, name = linear.node, input_name(linear.node, 2)
    with np.errstate(over="ignore"):
        values = wanted.astype(onnx.helper.tensor_dtype_to_np_dtype(linear.weight.proto.data_type))
    if not np.isfinite(values.astype(np.float64)).all():
        return "its bias would overflow"
    old = private_weight(graph, context, name, node) if name else None
    if old is not None and old.element_count == linear.channels:
        put_weight(graph, name, values.reshape(old.shape))
        return ""
    added = add_weight(graph, context, f"{node.input[1]}_bias", values, freed_bytes=freed_bytes)
    if not added:
        return "the model would grow by a bias of its own, or there can be no new initializer here"
    graph.set_inputs(node, [node.input[0], node.input[1], added])
    return ""
