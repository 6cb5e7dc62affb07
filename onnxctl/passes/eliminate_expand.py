"""Let operators broadcast by themselves: no Expand or ConstantOfShape before operators that stretch operands anyway.

op(Expand(x, s), y) = op(x, y), and op(ConstantOfShape(s), y) = op(c, y) with c the one number that it is full of,
where the result keeps its shape: where x (or a scalar) and the other operands already broadcast to it. So do tensors
that are cut, shaped or joined of such ones. Exact. Opsets 7 on, in which broadcasting is NumPy's; Min, Max, Sum, Mean
from 8 on. Left alone: sizes that are not known, even as symbols.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnx import NodeProto

from onnxctl.model.dimensions import Dimension
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, define_constant, freed_bytes, standard_nodes
from onnxctl.passes.uniform import uniform_value

_FIRST_OPSET = 8
_BROADCASTING = (
    "Add Sub Mul Div Pow And Or Xor Equal Greater Less GreaterOrEqual LessOrEqual Where Min Max Sum Mean Mod BitShift "
    "BitwiseAnd BitwiseOr BitwiseXor"
).split()
_CONSTANT_BYTES = 48

Shape = tuple[Dimension, ...]


def eliminate_expand(graph: Graph, context: Context) -> int:
    """Read what is expanded instead of the expansion; returns how many operands and nodes were replaced."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = 0
    for node in standard_nodes(graph, *_BROADCASTING):
        shapes = [context.fact(graph, name).shape for name in node.input]
        result = context.fact(graph, node.output[0]).shape
        if result is None:
            continue
        for index, name in enumerate(node.input):
            maker = graph.producer(name)
            if maker is None or is_standard(maker, "Constant"):
                continue
            others = [*shapes[:index], *shapes[index + 1 :]]
            if is_standard(maker, "Expand"):
                inner = context.fact(graph, maker.input[0]).shape
                if _broadcast([inner, *others]) == result:
                    graph.set_input(node, index, maker.input[0])
                    shapes[index] = inner
                    found += 1
                    continue
            if _broadcast([(), *others]) == result and _put_scalar(graph, context, node, index):
                shapes[index] = ()
                found += 1
    return found


def _broadcast(shapes: Sequence[Shape | None]) -> Shape | None:
    """The shape that all broadcast to, None where that depends on sizes that are not known."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes) or not known:
        return None
    rank = max(map(len, known))
    result: list[Dimension] = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in known if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            return None
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def _put_scalar(graph: Graph, context: Context, node: NodeProto, index: int) -> bool:
    name = node.input[index]
    value = uniform_value(graph, name)
    if value is None or not context.afford(_CONSTANT_BYTES, freed_bytes(graph, context, [name], node)):
        return False
    scalar = graph.fresh_name(f"{name}_value")
    define_constant(graph, scalar, context.model.new_tensor("", value), before=node)
    graph.set_input(node, index, scalar)
    return True
