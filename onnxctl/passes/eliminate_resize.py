"""Remove Resize and Upsample to the size a tensor has.

Where the result has x's shape (sizes or symbols) every point of the result is a point of x, in all modes of
interpolation: Resize(x) = x. Opsets 7 on (Upsample to 9). Left alone: coordinate_transformation_mode
tf_crop_and_resize, which cuts out a region, and mode "nearest" where coordinates are shifted by half a pixel the
other way (tf_half_pixel_for_nn); scales that are given and are not 1, which round to the same size.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, bypass, input_name, standard_nodes

_SHIFTING = (b"tf_crop_and_resize", b"tf_half_pixel_for_nn")
_FIRST_OPSET_WITH_SIZES = 11


def eliminate_resize(graph: Graph, context: Context) -> int:
    """Let readers of the result read the input; returns how many nodes went."""
    found = 0
    for node in standard_nodes(graph, "Resize", "Upsample"):
        source, result = context.fact(graph, node.input[0]), context.fact(graph, node.output[0])
        if source.shape is None or source.shape != result.shape:
            continue
        if attribute(node, "coordinate_transformation_mode", b"half_pixel") in _SHIFTING:
            context.skip(node, "its coordinates are shifted, or cut out a region")
        elif not _has_scales_of_one(graph, node):
            context.skip(node, "its scales are not known to be 1")
        else:
            found += bypass(graph, context, node, node.input[0])
    return found


def _has_scales_of_one(graph: Graph, node: NodeProto) -> bool:
    """Whether it resizes by sizes, or by scales that are all 1."""
    index = 2 if node.op_type == "Resize" and graph.opset() >= _FIRST_OPSET_WITH_SIZES else 1
    given = attribute(node, "scales")
    if given is None and not input_name(node, index):
        return True
    scales = graph.constant_values(input_name(node, index), at_most=64) if given is None else None
    if given is None and scales is not None and not scales.size:
        return True
    values = given if given is not None else [] if scales is None else scales.tolist()
    return bool(values) and all(scale == 1 for scale in values)
