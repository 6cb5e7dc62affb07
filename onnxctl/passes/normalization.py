"""What LayerNormalization and RMSNormalization have in common: v / sqrt(mean(v^2) + epsilon), a scale and a shift.

The mean is over the last axes, which stay with size 1. The square is Pow(v, 2) or Mul(v, v).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from onnx import NodeProto, TensorProto

from onnxctl.model.arrays import numpy_dtype
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context
from onnxctl.passes.pattern import is_scalar, keeps_rank, maker
from onnxctl.passes.semantics import normalized, scalar, stated_axes
from onnxctl.passes.weights import add_weight


class Normalization(NamedTuple):
    """v / sqrt(mean(v^2) + epsilon) over the axes from `axis` on; shape is the sizes of those."""

    value: str
    axis: int
    shape: tuple[int, ...]
    epsilon: float
    nodes: tuple[NodeProto, ...]


class Affine(NamedTuple):
    """What is done to a normalized value: the last node, its scale and its shift ("" for none)."""

    last: NodeProto
    scale: str
    shift: str
    nodes: tuple[NodeProto, ...]


def normalization_of(graph: Graph, division: NodeProto) -> Normalization | None:
    """The normalization that ends in this Div; None where it is another division."""
    root = maker(graph, division.input[1], "Sqrt")
    total = None if root is None else maker(graph, root.input[0], "Add")
    if root is None or total is None:
        return None
    for place in (1, 0):
        epsilon = scalar(graph, total.input[place])
        mean = maker(graph, total.input[1 - place], "ReduceMean")
        if epsilon is None or mean is None or epsilon < 0:
            continue
        if not keeps_rank(graph, total.input[1 - place], total.input[place]):
            continue
        square = maker(graph, mean.input[0], "Pow", "Mul")
        extent = mean_extent(graph, mean)
        if square is None or extent is None or square.input[0] != division.input[0]:
            continue
        if square.op_type == "Mul" and square.input[1] != square.input[0]:
            continue
        if square.op_type == "Pow" and not is_scalar(graph, square.input[1], 2.0):
            continue
        return Normalization(division.input[0], *extent, epsilon, (division, root, total, mean, square))
    return None


def mean_extent(graph: Graph, mean: NodeProto) -> tuple[int, tuple[int, ...]] | None:
    """The first of the last axes that a ReduceMean is over, and their sizes; None where it is over others."""
    shape, axes = graph.shape_of(mean.input[0]), stated_axes(graph, mean)
    if shape is None or not axes or not attribute(mean, "keepdims", 1):
        return None
    found = normalized(axes, len(shape))
    if found is None or sorted(found) != list(range(min(found), len(shape))):
        return None
    sizes = tuple(size for size in shape[min(found) :] if isinstance(size, int) and size > 0)
    return (min(found), sizes) if len(sizes) == len(found) else None


def affine_behind(graph: Graph, division: NodeProto, shape: tuple[int, ...], *, with_shift: bool) -> Affine:
    """The scale and the shift of exactly this shape that the normalized value, and nobody else, is given to."""
    last, scale, shift, nodes = division, "", "", list[NodeProto]()
    for op_type in ("Mul", "Add") if with_shift else ("Mul",):
        reader = graph.only_consumer(last.output[0])
        if reader is None or reader.op_type != op_type or maker(graph, reader.output[0], op_type) is None:
            continue
        other = reader.input[1] if reader.input[0] == last.output[0] else reader.input[0]
        if graph.static_shape(other) != shape or graph.element_type(other) != graph.element_type(last.output[0]):
            continue
        scale, shift = (other, shift) if op_type == "Mul" else (scale, other)
        nodes.append(reader)
        last = reader
    return Affine(last, scale, shift, tuple(reversed(nodes)))


def scale_of_ones(graph: Graph, context: Context, found: Normalization, element_type: int) -> str:
    """A new constant of ones for a normalization that has no scale; "" where the model would grow by it."""
    dtype = numpy_dtype(element_type)
    freed = sum(node.ByteSize() for node in found.nodes)
    return add_weight(graph, context, "ones", np.ones(found.shape, dtype), freed_bytes=freed)


NORMALIZED_TYPES = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})
"""Both operators compute in float32 (stash_type = 1): a model in float64 would lose precision."""
