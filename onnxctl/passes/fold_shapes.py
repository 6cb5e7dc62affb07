"""Fold Shape(x), Size(x), and Gather or Slice of Shape(x), where the sizes they ask for are known.

No value is computed for it, and the sizes that nobody asks for may be dynamic: Shape(x) of x[batch, 3, 224, 224] is
left alone, Gather(Shape(x), 1) is 3. A symbol is not a size. Opsets 1 on (Shape's start and end from 15 on).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto

from onnxctl.model.arrays import Array
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import Context, constant_bytes, input_name, replace_by_constant, standard_nodes

Dims = Sequence[int | str | None]


def fold_shapes(graph: Graph, context: Context) -> int:
    """Replace nodes that ask for known sizes by constants; returns how many."""
    found = 0
    for node in standard_nodes(graph, "Shape", "Size", "Gather", "Slice"):
        if not context.pinned.isdisjoint(node.output):
            continue
        value = _value(graph, node)
        if value is None:
            continue
        if context.afford(constant_bytes(graph, node.output[0], value.nbytes, value.ndim), _freed_bytes(graph, node)):
            replace_by_constant(graph, node, context.model.new_tensor("", value))
            found += 1
        else:
            context.skip(node, "a constant would take more bytes than the node: the file may not grow")
    return found


def _freed_bytes(graph: Graph, node: NodeProto) -> int:
    """The bytes of the node, and of the Shape node before it if nobody else reads that."""
    maker = graph.producer(node.input[0])
    alone = maker is not None and is_standard(maker, "Shape") and graph.only_consumer(node.input[0]) is node
    return node.ByteSize() + (maker.ByteSize() if maker is not None and alone else 0)


def _value(graph: Graph, node: NodeProto) -> Array | None:
    if node.op_type == "Size":
        shape = graph.static_shape(node.input[0])
        return None if shape is None else np.array(int(np.prod(shape, dtype=object)), np.int64)
    if node.op_type == "Shape":
        dims = shape_dims(graph, node)
    else:
        maker = graph.producer(node.input[0])
        if maker is None or not is_standard(maker, "Shape"):
            return None
        dims = shape_dims(graph, maker)
        if dims is not None:
            return _gathered(graph, node, dims) if node.op_type == "Gather" else _sliced(graph, node, dims)
    return None if dims is None else _known(dims)


def shape_dims(graph: Graph, node: NodeProto) -> Dims | None:
    """The sizes a Shape node gives, symbols and unknown ones included, or None where the rank is unknown."""
    shape = graph.shape_of(node.input[0])
    if shape is None or any(each.ref_attr_name for each in node.attribute):
        return None
    return shape[attribute(node, "start", 0) : attribute(node, "end", len(shape))]


def _gathered(graph: Graph, node: NodeProto, dims: Dims) -> Array | None:
    indices = graph.constant_values(node.input[1], at_most=64)
    if indices is None or not all(-len(dims) <= int(index) < len(dims) for index in indices.reshape(-1)):
        return None
    values = _known([dims[int(index)] for index in indices.reshape(-1)])
    return None if values is None else values.reshape(indices.shape)


def _sliced(graph: Graph, node: NodeProto, dims: Dims) -> Array | None:
    if graph.opset() < 10:
        starts, ends = attribute(node, "starts"), attribute(node, "ends")
        return _known(dims[starts[0] : ends[0]])
    bounds = [graph.constant_values(node.input[index], at_most=1) for index in (1, 2)]
    step = graph.constant_values(node.input[4], at_most=1) if input_name(node, 4) else np.ones(1, np.int64)
    if step is None or any(bound is None or bound.size != 1 for bound in (*bounds, step)):
        return None
    start, end, stride = (int(each.reshape(-1)[0]) for each in (*bounds, step) if each is not None)
    return _known(dims[start:end]) if stride == 1 else None


def _known(dims: Dims) -> Array | None:
    sizes = [dim for dim in dims if isinstance(dim, int)]
    return np.array(sizes, np.int64) if len(sizes) == len(dims) else None
