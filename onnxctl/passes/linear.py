"""Operators with a constant weight along channels, and how they take in a scale and a shift of each channel.

y = L(x, W) + b with W constant gives y * s + t = L(x, W * s) + (b * s + t), with one s and one t for each channel: s
multiplies W along the axis its output channels lie on. With exact numbers that is an identity; in floats every weight
is rounded once more. The operators (ONNX operator documentation, all opsets):
- Conv: W [channels, inputs / group, kernel...], b [channels].
- ConvTranspose: W [inputs, channels / group, kernel...], b [channels]; channel number c = g * (channels / group) + j is
  made by the g-th part of the inputs.
- Gemm: y = alpha * A' B' + beta * C; B [K, channels], or [channels, K] with transB = 1; C broadcasts to [M, channels].
- MatMul: B [K, channels], no bias: to take in a shift it has to become a Gemm, which takes inputs of rank 2 only.

In front of the operator, with s and t for each of its input channels, L(x * s + t, W) = L(x, W * s) + W t summed over
its inputs: s multiplies W along the axis of these, and what t adds is the same everywhere as long as nothing is padded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from onnx import NodeProto

from onnxctl.model.arrays import Array, numpy_dtype
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.model.tensors import Tensor
from onnxctl.passes.base import Context, input_name
from onnxctl.passes.semantics import rank_of
from onnxctl.passes.weights import FLOAT_TYPES, add_weight, float_values, private_weight, put_weight, scaled_weight

LINEAR_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Linear(NamedTuple):
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
        new_weight = scaled_weight(graph.model, linear.weight, _along_weight(linear, scale))
        if new_weight is None:
            return "its weight would overflow"
    if not np.array_equal(wanted, bias):
        problem = _put_bias(graph, context, linear, wanted, freed_bytes)
        if problem:
            return problem
        if node.op_type == "MatMul":
            graph.set_operator(node, "Gemm")
    if new_weight is not None:
        put_weight(graph, new_weight)
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


def take_in_before(
    graph: Graph, context: Context, linear: Linear, scale: Array, shift: Array | None, *, freed_bytes: int = 0
) -> str:
    """Let the node compute of x what it computed of x * scale + shift; returns why that can't be, or "" when done.

    scale and shift have one element for each input channel, or one. freed_bytes as in `take_in`.
    """
    if private_weight(graph, context, linear.node.input[1], linear.node) is None:
        return "its weight is read elsewhere, or by the caller"
    if attribute(linear.node, "transA", 0):
        return "it reads its input transposed"
    weight = scaled_weight(graph.model, linear.weight, _along_inputs(linear, scale))
    if weight is None:
        return "its weight would overflow"
    if shift is not None and shift.any():
        added = _added_by(linear, shift)
        if added is None:
            return "what it adds in front differs at the borders, which are padded"
        problem = take_in(graph, context, linear, None, added, freed_bytes=freed_bytes)
        if problem:
            return problem
    put_weight(graph, weight)
    return ""


def input_channels(linear: Linear) -> int:
    """How many input channels the node has."""
    shape = linear.weight.shape
    if linear.node.op_type == "Conv":
        return int(shape[1] * attribute(linear.node, "group", 1))
    return shape[1] if linear.node.op_type == "Gemm" and attribute(linear.node, "transB", 0) else shape[0]


def _along_inputs(linear: Linear, values: Array) -> Array:
    """What there is for each input channel, in a shape that broadcasts to the weight."""
    shape, node = linear.weight.shape, linear.node
    if values.size == 1:
        return values.reshape(())
    if node.op_type == "Conv":
        groups = attribute(node, "group", 1)
        rows = np.repeat(values.reshape(groups, shape[1]), shape[0] // groups, axis=0)
        return rows.reshape(shape[0], shape[1], *[1] * (len(shape) - 2))
    transposed = node.op_type == "Gemm" and attribute(node, "transB", 0)
    return values.reshape(1, -1) if transposed else values.reshape(-1, *[1] * (len(shape) - 1))


def _added_by(linear: Linear, shift: Array) -> Array | None:
    """What a shift of the input channels adds to each output channel; None where the borders get another sum."""
    node, weight = linear.node, linear.weight.numpy()
    if node.op_type == "ConvTranspose":
        return None
    if node.op_type == "Conv":
        if any(attribute(node, "pads") or []) or attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            return None
        axes = tuple(range(1, weight.ndim))
        return np.array(np.sum(weight * _along_inputs(linear, shift), axis=axes, dtype=np.float64))
    transposed = node.op_type == "Gemm" and attribute(node, "transB", 0)
    total = np.sum(weight * _along_inputs(linear, shift), axis=1 if transposed else 0, dtype=np.float64)
    return np.array(total * (attribute(node, "alpha", 1.0) if node.op_type == "Gemm" else 1.0))


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
        values = wanted.astype(numpy_dtype(linear.weight.proto.data_type))
    if not np.isfinite(values.astype(np.float64)).all():
        return "its bias would overflow"
    old = private_weight(graph, context, name, node) if name else None
    if old is not None and old.element_count == linear.channels:
        put_weight(graph, graph.model.new_tensor(name, values.reshape(old.shape)))
        return ""
    added = add_weight(graph, context, f"{node.input[1]}_bias", values, freed_bytes=freed_bytes)
    if not added:
        return "the model would grow by a bias of its own, or there can be no new initializer here"
    graph.set_inputs(node, [node.input[0], node.input[1], added])
    return ""
