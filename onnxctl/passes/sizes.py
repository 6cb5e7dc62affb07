"""How large a node's result would be, told from its operands before anything is computed.

All arithmetic is on Python ints: a Tile of 10^18 elements has to be refused and not computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from onnx import NodeProto, TensorProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.model.tensors import DTYPES

_WIDEST_BITS = 128


class Extent(NamedTuple):
    """The shape of a value where it is known, and how many elements it has at most."""

    element_count: int
    shape: tuple[int, ...] | None


Values = Callable[[str], Sequence[float] | None]
"""The elements of a small constant, flat, or None for any other value."""


def of_shape(shape: Sequence[int]) -> Extent:
    """The extent of a value of this shape."""
    return Extent(math.prod(shape), tuple(shape))


def result_extent(graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values) -> Extent | None:
    """The extent of each result of the node, or None where it can't be told yet.

    operands are the extents of the inputs, None for one that is left out. What operators make of values (Expand,
    Tile, Range, ...) is computed from those; for the rest shape inference is asked, and operators that never have
    more elements than an operand are bounded by it.
    """
    rule = _FROM_VALUES.get(node.op_type)
    if rule is not None:
        return rule(graph, node, operands, values)
    if node.op_type in _BROADCASTING:
        return _broadcast([each.shape if each is not None else () for each in operands])
    inferred = [graph.static_shape(name) for name in node.output if name]
    shapes = [shape for shape in inferred if shape is not None]
    if len(shapes) == len(inferred) and shapes:
        largest = max(shapes, key=math.prod)
        return Extent(math.prod(largest), largest if len(shapes) == 1 else None)
    if node.op_type in _NEVER_LARGER:
        return Extent(max((each.element_count for each in operands if each is not None), default=0), None)
    return None


def byte_bound(extent: Extent, element_type: int | None) -> int:
    """Bytes that a value of this extent takes at most."""
    dtype = DTYPES.get(element_type or TensorProto.UNDEFINED)
    return (extent.element_count * (dtype.bits if dtype and dtype.bits else _WIDEST_BITS) + 7) // 8


def _broadcast(shapes: Sequence[tuple[int, ...] | None]) -> Extent | None:
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes) or not known:
        return None
    rank = max(map(len, known))
    columns = ([1] * (rank - len(shape)) + list(shape) for shape in known)
    return of_shape([0 if 0 in sizes else max(sizes) for sizes in zip(*columns, strict=True)])


# ---------------------------------------------------------------- results whose size is made of values

_Rule = Callable[[Graph, NodeProto, Sequence[Extent | None], Values], Extent | None]


def _input_values(node: NodeProto, index: int, values: Values) -> list[int] | None:
    found = values(node.input[index]) if index < len(node.input) and node.input[index] else None
    return None if found is None else [int(each) for each in found]


def _constant_of_shape(
    graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values
) -> Extent | None:
    sizes = _input_values(node, 0, values)
    return None if sizes is None or min(sizes, default=0) < 0 else of_shape(sizes)


def _expand(graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values) -> Extent | None:
    sizes, source = _input_values(node, 1, values), operands[0]
    if sizes is None or source is None:
        return None
    return _broadcast([source.shape, tuple(sizes)])


def _tile(graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values) -> Extent | None:
    repeats, source = _input_values(node, 1, values), operands[0]
    if repeats is None or source is None or source.shape is None or len(repeats) != len(source.shape):
        return None
    return of_shape([size * max(count, 0) for size, count in zip(source.shape, repeats, strict=True)])


def _range(graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values) -> Extent | None:
    bounds = [values(name) for name in node.input]
    if len(bounds) != 3 or any(bound is None or len(bound) != 1 for bound in bounds):
        return None
    start, limit, delta = (bound[0] for bound in bounds if bound is not None)
    if not delta or not all(math.isfinite(each) for each in (start, limit, delta)):
        return None
    return of_shape([max(math.ceil((limit - start) / delta), 0)])


def _one_hot(graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values) -> Extent | None:
    depth, indices = _input_values(node, 1, values), operands[0]
    if depth is None or len(depth) != 1 or indices is None:
        return None
    return Extent(indices.element_count * max(depth[0], 0), None)


def _pad(graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values) -> Extent | None:
    source = operands[0]
    pads = attribute(node, "pads") if graph.opset() < 11 else _input_values(node, 1, values)
    if source is None or source.shape is None or pads is None or len(pads) != 2 * len(source.shape):
        return None  # pads of some axes only (opset 18): shape inference is not asked, it could not say more
    rank = len(source.shape)
    return of_shape([max(size + pads[i] + pads[i + rank], 0) for i, size in enumerate(source.shape)])


def _reshape(graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values) -> Extent | None:
    source, sizes = operands[0], _input_values(node, 1, values)
    if source is None:
        return None
    shape = graph.static_shape(node.output[0])
    if sizes is not None and all(size > 0 for size in sizes):
        shape = tuple(sizes)
    return Extent(source.element_count, shape)


def _gather(graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values) -> Extent | None:
    source, indices = operands[0], operands[1]
    if source is None or source.shape is None or indices is None or indices.shape is None:
        return None
    axis = attribute(node, "axis", 0)
    if not -len(source.shape) <= axis < len(source.shape):
        return None
    axis %= len(source.shape)
    return of_shape([*source.shape[:axis], *indices.shape, *source.shape[axis + 1 :]])


def _concat(graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values) -> Extent | None:
    shapes = [each.shape for each in operands if each is not None and each.shape is not None]
    axis = attribute(node, "axis", 1)
    if len(shapes) < len(operands) or not shapes or not -len(shapes[0]) <= axis < len(shapes[0]):
        return Extent(sum(each.element_count for each in operands if each is not None), None)
    if any(len(shape) != len(shapes[0]) for shape in shapes):
        return None
    axis %= len(shapes[0])
    return of_shape([*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :]])


def _unsqueeze(graph: Graph, node: NodeProto, operands: Sequence[Extent | None], values: Values) -> Extent | None:
    source = operands[0]
    if source is None:
        return None
    axes = attribute(node, "axes") if graph.opset() < 13 else _input_values(node, 1, values)
    if source.shape is None or axes is None:
        return Extent(source.element_count, graph.static_shape(node.output[0]))
    rank = len(source.shape) + len(axes)
    places = {axis % rank for axis in axes}
    rest = iter(source.shape)
    return of_shape([1 if axis in places else next(rest, 1) for axis in range(rank)])


_FROM_VALUES: Mapping[str, _Rule] = {
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Reshape": _reshape,
    "Gather": _gather,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
}

_BROADCASTING = frozenset(
    "Add Sub Mul Div Pow Mod And Or Xor Not Equal Less LessOrEqual Greater GreaterOrEqual Where Min Max Sum Mean Cast "
    "Identity Neg Abs Sqrt Exp Log Reciprocal Floor Ceil Round Sign Sin Cos Tan Tanh Sigmoid Relu Erf IsNaN IsInf "
    "BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitShift".split()
)
"""Element by element: the result has the shape that the operands broadcast to."""

_NEVER_LARGER = frozenset(
    "Slice Squeeze Transpose Flatten Split ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 "
    "ArgMax ArgMin CumSum Trilu Clip Softmax Unique TopK Compress Shape Size".split()
)
"""No result has more elements than the largest operand (Shape has as many as there are dimensions)."""
