"""Remove float x + 0.0 = x, and sums and means of one float, which onnxruntime begins with 0.0.

Not exact to the bit: -0.0 + 0.0 is 0.0, and without the addition -0.0 stays, which equals it. Shapes and opsets as in
`eliminate_arithmetic` and `eliminate_reductions`.
"""

from __future__ import annotations

from onnxctl.model.arrays import Array
from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, bypass, standard_nodes
from onnxctl.passes.eliminate_arithmetic import neutral_operand
from onnxctl.passes.eliminate_reductions import eliminate_sums_of_one_float


def eliminate_add_zero(graph: Graph, context: Context) -> int:
    """Let readers of the sum read the operand that is not zero, or the only one; returns how many nodes went."""
    found = eliminate_sums_of_one_float(graph, context)
    if graph.opset() < 7:
        return found
    for node in standard_nodes(graph, "Add"):
        operand = neutral_operand(graph, node, _is_zero)
        if operand:
            found += bypass(graph, context, node, operand)
    return found


def _is_zero(op_type: str, values: Array) -> bool:
    return values.dtype != object and bool((values == 0).all())
