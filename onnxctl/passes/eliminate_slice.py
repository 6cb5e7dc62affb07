"""Remove Slice and Split that take everything: Slice(x, starts, ends, axes, steps) = x, and Split(x) in one piece = x.

A Slice does where every start is 0, every step 1 and every end at or past the size of its axis (or past 2^31 - 2, which
means "to the end" where the size is unknown). Opsets 1 on: the bounds are attributes before 10 and constant inputs
since.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, bypass, input_name, standard_nodes

TO_THE_END = 2**31 - 1
"""What exporters write for an end that is meant to be the end, whatever the size; some write 2^63 - 1."""


def eliminate_slice(graph: Graph, context: Context) -> int:
    """Let readers of the result read the input; returns how many nodes went."""
    found = 0
    for node in standard_nodes(graph, "Slice", "Split"):
        if len(node.output) == 1 if node.op_type == "Split" else _takes_everything(graph, node):
            found += bypass(graph, context, node, node.input[0])
    return found


def _takes_everything(graph: Graph, node: NodeProto) -> bool:
    starts, ends = _numbers(graph, node, 1, "starts"), _numbers(graph, node, 2, "ends")
    if starts is None or ends is None:
        return False
    if (len(node.input) > 3 and node.input[3]) or attribute(node, "axes") is not None:
        axes = _numbers(graph, node, 3, "axes")
    else:
        axes = list(range(len(starts)))
    steps = _numbers(graph, node, 4, "steps") if input_name(node, 4) else [1] * len(starts)
    if axes is None or steps is None or any(starts) or any(step != 1 for step in steps):
        return False
    shape = graph.shape_of(node.input[0])
    for axis, end in zip(axes, ends, strict=False):
        size = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
        if not (end >= size if isinstance(size, int) else end >= TO_THE_END):
            return False
    return True


def _numbers(graph: Graph, node: NodeProto, index: int, name: str) -> list[int] | None:
    if graph.opset() < 10:
        value = attribute(node, name)
        return None if value is None else list(value)
    array = graph.constant_values(input_name(node, index), at_most=64)
    return None if array is None else [int(each) for each in array.reshape(-1)]
