"""Write down what a computed shape comes to: constants in place of chains of Shape, Gather and Concat.

Symbolic propagation knows sizes such as (batch, seq, 12, 64) before anybody says what batch and seq are. With them
- an integer or bool tensor all of whose elements are known numbers is a constant;
- Reshape(x, s) with a computed s has a constant s, where each size of the result is a number, is the size of x at the
  same place (0), or is the only one that is neither (-1);
- Slice(x) with steps of 1 is x, and Expand(x, s) is x, where the result has x's shape.
What computed the shapes is then unused, and goes. Exact, but that a tensor without elements can't be reshaped by -1.
Equalities that the model itself depends on (operands that must broadcast) are taken for granted. Opsets 5 on. Left
alone: results with two sizes that x does not have at their place.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto, TensorProto

from onnxctl.model.arrays import numpy_dtype
from onnxctl.model.dimensions import is_known
from onnxctl.model.graph import Graph
from onnxctl.model.propagation import Fact
from onnxctl.passes.base import (
    Context,
    bypass,
    freed_bytes,
    input_name,
    remove_unread,
    replace_by_constant,
    standard_nodes,
    takes_initializers,
)
from onnxctl.passes.semantics import add_integers, integers, reshape_target

_FIRST_OPSET_WITH_SHAPE_AS_INPUT = 5
_KNOWN_TYPES = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
_MOST_ELEMENTS = 64
_CONSTANT_BYTES = 32
"""What an initializer takes besides its elements: name, type, dims."""
_BYTES_PER_SIZE = 8
_CONSTANT_NODE_BYTES = 32
_NEVER = ("Constant", "If", "Loop", "Scan")


def simplify_shape_arithmetic(graph: Graph, context: Context) -> int:
    """Replace computed shapes by constants; returns how many nodes were changed or replaced."""
    if graph.opset() < _FIRST_OPSET_WITH_SHAPE_AS_INPUT:
        return 0
    found = 0
    for name, fact in reversed(context.facts_with_contents(graph)):  # what computes a constant is then unused
        node = graph.producer(name)
        if node is None or len(node.output) > 1 or node.op_type in _NEVER:
            continue
        found += _fold(graph, context, node, fact) if graph.is_used(name) else remove_unread(graph, context, [name])
    for node in standard_nodes(graph, "Reshape", "Slice", "Expand"):
        if node.op_type == "Reshape":
            found += _settle(graph, context, node)
        elif _keeps_everything(graph, context, node):
            found += bypass(graph, context, node, node.input[0])
    return found


def _fold(graph: Graph, context: Context, node: NodeProto, fact: Fact) -> bool:
    name, values = node.output[0], fact.values
    if values is None or fact.dtype not in _KNOWN_TYPES or fact.shape is None or name in context.pinned:
        return False
    if not all(isinstance(value, int) for value in values) or len(values) > _MOST_ELEMENTS:
        return False
    if not any(node.input) or graph.subgraphs(node):
        return False
    shape = [dim for dim in fact.shape if isinstance(dim, int)]
    if len(shape) != len(fact.shape) or math.prod(shape) != len(values):
        return False
    dtype = numpy_dtype(fact.dtype)
    constant = context.model.new_tensor(name, np.array(values, dtype).reshape(shape))
    freed = freed_bytes(graph, context, node.input, node)
    stays_a_node = graph.is_output(name) or not takes_initializers(graph)
    if stays_a_node and not freed:
        return False
    added = constant.ByteSize() + (_CONSTANT_NODE_BYTES + len(name) if stays_a_node else 0)
    if not context.afford(added, freed + node.ByteSize()):
        context.skip(node, "a constant would be larger than what computes it")
        return False
    replace_by_constant(graph, node, constant)
    remove_unread(graph, context, node.input)
    return True


def _settle(graph: Graph, context: Context, node: NodeProto) -> bool:
    """Give a Reshape a constant shape."""
    if integers(graph, input_name(node, 1)) is not None:
        return False
    source, target = context.fact(graph, node.input[0]).shape, context.fact(graph, node.output[0]).shape
    sizes = context.integers(graph, node.input[1])
    if sizes is None or source is None or target is None or not all(map(is_known, sizes)):
        return False
    wanted = reshape_target(source, target)
    if wanted is None:
        context.skip(node, "its shape is computed, and more than one size of the result is not known")
        return False
    freed = freed_bytes(graph, context, [node.input[1]], node)
    if not context.afford(_CONSTANT_BYTES + _BYTES_PER_SIZE * len(wanted), freed):
        context.skip(node, "a constant would be larger than what computes its shape")
        return False
    shape = add_integers(graph, wanted, near="shape", before=node)
    graph.add_node("Reshape", [node.input[0], shape], [node.output[0]], before=node, name=node.name)
    graph.remove(node)
    remove_unread(graph, context, node.input[1:])
    return True


def _keeps_everything(graph: Graph, context: Context, node: NodeProto) -> bool:
    source, result = context.fact(graph, node.input[0]), context.fact(graph, node.output[0])
    if source.shape is None or source.shape != result.shape or source.dtype is None:
        return False
    if node.op_type == "Expand" or not input_name(node, 4):
        return True
    steps = integers(graph, node.input[4])
    return steps is not None and all(step == 1 for step in steps)
