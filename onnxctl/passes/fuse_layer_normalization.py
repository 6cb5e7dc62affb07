"""Make one LayerNormalization of its parts (LayerNormalization, opset 17).

(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * scale + bias, the means over the last axes (ONNX operator
documentation; stash_type = 1 computes in float32). The square may be Pow or Mul; scale and bias may be missing, or be
taken in where they have the shape of those axes; a missing scale becomes a constant of ones where there is room for it.
Equal but for the rounding of the steps; float16 becomes more precise. Left alone: float64, which the operator would
compute in float32, other axes, and parts that others read.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.normalization import (
    NORMALIZED_TYPES,
    affine_behind,
    mean_extent,
    normalization_of,
    scale_of_ones,
)
from onnxctl.passes.pattern import fuse, is_private, maker

_FIRST_OPSET = 17


def fuse_layer_normalization(graph: Graph, context: Context) -> int:
    """Fuse layer normalizations; returns how many."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Div"))


def _fuse(graph: Graph, context: Context, division: NodeProto) -> bool:
    found = normalization_of(graph, division)
    centred = None if found is None else maker(graph, found.value, "Sub")
    if found is None or centred is None:
        return False
    mean = maker(graph, centred.input[1], "ReduceMean")
    element_type = graph.element_type(division.output[0])
    if mean is None or mean.input[0] != centred.input[0] or element_type not in NORMALIZED_TYPES:
        return False
    if mean_extent(graph, mean) != (found.axis, found.shape):
        context.skip(division, "mean and variance are over different axes")
        return False
    affine = affine_behind(graph, division, found.shape, with_shift=True)
    nodes = [*affine.nodes, *found.nodes, centred, mean]
    if not is_private(graph, context, nodes):
        context.skip(division, "a value inside the pattern of LayerNormalization is read elsewhere")
        return False
    scale = affine.scale or scale_of_ones(graph, context, found, element_type)
    if not scale:
        context.skip(division, "a scale of ones would make the model larger")
        return False
    inputs = [mean.input[0], scale, affine.shift] if affine.shift else [mean.input[0], scale]
    attributes = {"axis": found.axis, "epsilon": found.epsilon}
    return fuse(graph, context, nodes, "LayerNormalization", inputs, attributes)
