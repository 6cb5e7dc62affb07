"""Remove arithmetic that changes nothing: x * 1, x / 1, x - 0, x ^ 1 and integer x + 0 = x, in floats also x + (-0.0).

The constant may not make x larger by broadcasting: it has as many dimensions as x or fewer, each 1 or the size of x
there. Mul and Add take it on either side. Opsets 7 on, in which broadcasting is NumPy's. Left alone: float x + 0.0,
which is not x for x = -0.0 (see `eliminate_add_zero`), and 0 * x, which is NaN for an infinite x.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import NodeProto

from onnxctl.model.arrays import Array
from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, bypass, standard_nodes

NeutralTest = Callable[[str, Array], bool]
"""Whether a constant with these values is neutral for an operator."""

_NEUTRAL = {"Mul": 1, "Div": 1, "Pow": 1, "Add": 0, "Sub": 0}
_BOTH_SIDES = ("Mul", "Add")
_MOST_VALUES = 1 << 16


def eliminate_arithmetic(graph: Graph, context: Context) -> int:
    """Let readers of the result read the operand that is not the constant; returns how many nodes went."""
    if graph.opset() < 7:
        return 0
    found = 0
    for node in standard_nodes(graph, *_NEUTRAL):
        operand = neutral_operand(graph, node, _is_neutral)
        if operand:
            found += bypass(graph, context, node, operand)
    return found


def neutral_operand(graph: Graph, node: NodeProto, is_neutral: NeutralTest) -> str:
    """The operand that the node hands on, the other one being a neutral constant that does not broadcast it, or ""."""
    for place in (1, 0) if node.op_type in _BOTH_SIDES else (1,):
        operand, other = node.input[1 - place], node.input[place]
        values = graph.constant_values(other, at_most=_MOST_VALUES)
        if values is not None and values.size and is_neutral(node.op_type, values) and _fits(graph, operand, values):
            return operand
    return ""


def _is_neutral(op_type: str, values: Array) -> bool:
    if values.dtype == np.dtype(object) or not bool((values == _NEUTRAL[op_type]).all()):
        return False
    exact = op_type != "Add" or values.dtype.kind in "iu"
    return exact or bool(np.signbit(values.astype(np.float64)).all())


def _fits(graph: Graph, operand: str, values: Array) -> bool:
    """Whether broadcasting with the constant leaves the operand's shape as it is."""
    if values.ndim == 0:
        return True
    shape = graph.shape_of(operand)
    if shape is None or values.ndim > len(shape):
        return False
    return all(size in (1, dim) for size, dim in zip(reversed(values.shape), reversed(shape), strict=False))
