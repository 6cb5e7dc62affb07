"""Make one HardSigmoid of an addition, a clamp and a scaling: clip(x + b, 0, h) / h.

HardSigmoid(x) = max(0, min(1, alpha x + beta)) (ONNX operator documentation, opset 6) with alpha = 1 / h and
beta = b / h: hard sigmoids and the hard swish of mobile networks with h = 6 and b = 3. Where another factor stands
between, as in x * clip(x + 3, 0, 6) / 6, it is multiplied behind. Equal but for the rounding of the steps. Opsets 7 on.
Left alone: element types other than float32 and float16, for which onnxruntime has no kernel, and clamps whose scaling
does not bring them to 1.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, input_name, standard_nodes
from onnxctl.passes.pattern import FLOAT_AND_HALF, fuse, is_close, is_private, keeps_rank, maker, product_of
from onnxctl.passes.semantics import scalar

_FIRST_OPSET = 7
_FIRST_OPSET_WITH_BOUNDS_AS_INPUTS = 11


def fuse_hard_sigmoid(graph: Graph, context: Context) -> int:
    """Fuse hard sigmoids; returns how many."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Clip"))


def _fuse(graph: Graph, context: Context, clip: NodeProto) -> bool:
    low, high = _bounds(graph, clip)
    shifted = maker(graph, clip.input[0], "Add")
    if low != 0 or not high or high < 0 or shifted is None or graph.element_type(clip.output[0]) not in FLOAT_AND_HALF:
        return False
    for place in (1, 0):
        shift, value = scalar(graph, shifted.input[place]), shifted.input[1 - place]
        if shift is None or not keeps_rank(graph, value, shifted.input[place]):
            continue
        attributes = {"alpha": 1 / high, "beta": shift / high}
        name = clip.output[0]
        while (last := graph.only_consumer(name)) is not None and last.op_type in ("Mul", "Div"):
            name = last.output[0]
            product = product_of(graph, name, (clip.output[0], value))
            if not is_close(graph, clip.output[0], product.number * high, 1.0) or clip.output[0] not in product.factors:
                continue
            nodes = [*product.nodes, clip, shifted]
            if len(product.factors) == 1:
                return fuse(graph, context, nodes, "HardSigmoid", [value], attributes)
            if len(product.factors) == 2 and product.factors.count(clip.output[0]) == 1:
                other = next(each for each in product.factors if each != clip.output[0])
                return _fuse_beside(graph, context, nodes, value, other, attributes)
    return False


def _fuse_beside(
    graph: Graph, context: Context, nodes: list[NodeProto], value: str, other: str, attributes: dict[str, float]
) -> bool:
    """A HardSigmoid of the value, multiplied by the other factor, where that saves nodes."""
    last = nodes[0]
    if len(nodes) < 4 or not is_private(graph, context, nodes):
        return False
    gate = graph.fresh_name(nodes[-2].output[0])
    graph.add_node("HardSigmoid", [value], [gate], before=last, attributes=attributes)
    if (kind := graph.tensor_type(nodes[-2].output[0])) is not None:
        graph.inferred[gate] = kind
    return fuse(graph, context, nodes, "Mul", [other, gate])


def _bounds(graph: Graph, clip: NodeProto) -> tuple[float | None, float | None]:
    """The lower and the upper bound of a Clip, None for one that is missing or computed."""
    if graph.opset() < _FIRST_OPSET_WITH_BOUNDS_AS_INPUTS:
        return attribute(clip, "min"), attribute(clip, "max")
    return scalar(graph, input_name(clip, 1)), scalar(graph, input_name(clip, 2))
