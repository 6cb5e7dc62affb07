"""Make one RMSNormalization of its parts (RMSNormalization, opset 23).

x / sqrt(mean(x^2) + epsilon) * scale, the mean over the last axes (ONNX operator documentation; stash_type = 1 computes
in float32). The square may be Pow or Mul; a missing scale becomes a constant of ones where there is room for it. Equal
but for the rounding of the steps; float16 becomes more precise. Left alone: float64, which the operator would compute
in float32, other axes, and parts that others read.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.normalization import NORMALIZED_TYPES, affine_behind, normalization_of, scale_of_ones
from onnxctl.passes.pattern import fuse, is_private

_FIRST_OPSET = 23


def fuse_rms_normalization(graph: Graph, context: Context) -> int:
    """Fuse root mean square normalizations; returns how many."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Div"))


def _fuse(graph: Graph, context: Context, division: NodeProto) -> bool:
    found = normalization_of(graph, division)
    element_type = graph.element_type(division.output[0])
    if found is None or element_type not in NORMALIZED_TYPES:
        return False
    affine = affine_behind(graph, division, found.shape, with_shift=False)
    nodes = [*affine.nodes, *found.nodes]
    if not is_private(graph, context, nodes):
        context.skip(division, "a value inside the pattern of RMSNormalization is read elsewhere")
        return False
    scale = affine.scale or scale_of_ones(graph, context, found, element_type)
    if not scale:
        context.skip(division, "a scale of ones would make the model larger")
        return False
    attributes = {"axis": found.axis, "epsilon": found.epsilon}
    return fuse(graph, context, nodes, "RMSNormalization", [found.value, scale], attributes)
