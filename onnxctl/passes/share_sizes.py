"""Compute each size once: integer tensors that hold the same sizes, however they were computed, are one.

Symbolic propagation tells what is in a small integer tensor: (batch, seq), (batch*12, seq, 64). The first value with
certain contents stands for every later one of its type and shape, whether it was Shape of another tensor, a Gather of
it, or a Concat of its parts. And a list that is the shape of a graph input, or a stretch of it (opset 15 on), is one
Shape of that input instead of the end of a chain. Exact. All opsets. Left alone: contents with an unknown element,
outputs of the graph.
"""

from __future__ import annotations

from collections.abc import Hashable

from onnx import NodeProto, TensorProto

from onnxctl.model.dimensions import Dimension
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, bypass, freed_bytes

_FIRST_OPSET_WITH_BOUNDS_ON_SHAPE = 15
_BYTES_OF_A_SHAPE = 48
"""What the node takes besides its names: operator, two attributes."""


def share_sizes(graph: Graph, context: Context) -> int:
    """Let one value stand for all with the same sizes in them; returns how many nodes were replaced."""
    found = 0
    first: dict[Hashable, str] = {}
    for node in graph.nodes:
        if not graph.contains(node) or len(node.output) != 1 or not any(node.input) or graph.subgraphs(node):
            continue
        name = node.output[0]
        sizes = context.integers(graph, name)
        if not sizes or all(isinstance(size, int) for size in sizes) or name in context.pinned:
            continue
        fact = context.fact(graph, name)
        key = (fact.dtype, fact.shape, tuple(sizes))
        other = first.get(key)
        if other is not None:
            if bypass(graph, context, node, other):
                first[key] = name if graph.is_output(name) else other  # the name of an output is what stays
                found += 1
            continue
        if fact.dtype == TensorProto.INT64 and fact.shape is not None and len(fact.shape) == 1:
            found += _from_input(graph, context, node, sizes)
        if not graph.is_output(name):
            first[key] = name
    return found


def _from_input(graph: Graph, context: Context, node: NodeProto, sizes: list[Dimension]) -> bool:
    """Replace the node, whose result has rank 1, by Shape of a graph input, if it is not that already."""
    if is_standard(node, "Shape") and graph.is_input(node.input[0]):
        return False
    bounded = graph.opset() >= _FIRST_OPSET_WITH_BOUNDS_ON_SHAPE
    for source in graph.inputs:
        shape = context.fact(graph, source).shape or ()
        for start in range(len(shape) - len(sizes) + 1 if bounded else min(len(shape) == len(sizes), 1)):
            end = start + len(sizes)
            if list(shape[start:end]) != sizes:
                continue
            bounds = {"start": start, "end": end} if end - start < len(shape) else {}
            added = _BYTES_OF_A_SHAPE + len(source) + len(node.output[0]) + len(node.name)
            freed = node.ByteSize() + freed_bytes(graph, context, node.input, node)
            if not context.afford(added, freed):
                context.skip(node, "Shape of a graph input would be larger")
                return False
            graph.add_node("Shape", [source], [node.output[0]], before=node, name=node.name, attributes=bounds)
            graph.remove(node)
            return True
    return False
