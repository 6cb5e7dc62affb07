"""Add or multiply once where constants follow each other: (x + a) + b = x + (a + b), (x * a) * b = x * (a * b).

With division among floats too: (x * a) / b = x * (a / b), (x / a) * b = x * (b / a), (x / a) / b = x / (a * b). Exact
for integers, which wrap around, where no division is in it; for floats the two roundings become one, at most an ulp
of difference. Constants are worked out in double precision. Opsets 7 on. Left alone: constants of different shapes
other than single numbers, results that overflow or vanish, complex numbers, a first result that others read too, and
integer division.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from onnxctl.model.arrays import Array
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, define_constant, standard_nodes

_FIRST_OPSET = 7
_MOST_VALUES = 1 << 12


def merge_arithmetic(graph: Graph, context: Context) -> int:
    """Merge two constants in a row into one; returns how many nodes went."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = 0
    for node in standard_nodes(graph, "Add", "Mul", "Div"):
        operand = _constant_operand(graph, node)
        if operand is None:
            continue
        source, outer = operand
        first = graph.producer(source)
        if (
            first is None
            or not is_standard(first, "Add", "Mul", "Div")
            or (first.op_type == "Add") != (node.op_type == "Add")
        ):
            continue
        inner = _constant_operand(graph, first)
        if inner is None or graph.only_consumer(source) is not node:
            continue
        found += _merge(graph, context, first, node, inner, outer)
    return found


def _constant_operand(graph: Graph, node: NodeProto) -> tuple[str, Array] | None:
    """The operand that is computed and the constant one; the constant stands second in a Div."""
    for index in (1, 0) if node.op_type != "Div" else (1,):
        values = graph.constant_values(node.input[index], at_most=_MOST_VALUES)
        if values is not None and values.dtype.kind in "iuf" and graph.constant(node.input[1 - index]) is None:
            return node.input[1 - index], values
    return None


def _merge(
    graph: Graph, context: Context, first: NodeProto, node: NodeProto, inner: tuple[str, Array], outer: Array
) -> bool:
    source, values = inner
    if values.shape != outer.shape and min(values.size, outer.size) > 1:
        context.skip(node, "two constants of different shapes follow each other")
        return False
    operators = first.op_type + node.op_type
    if "Div" in operators and values.dtype.kind != "f":
        return False
    merged = _merged(operators, values, outer)
    if merged is None:
        context.skip(node, "the two constants in one would overflow or vanish")
        return False
    name = graph.fresh_name("constant")
    freed = first.ByteSize() + node.ByteSize()
    if merged.nbytes > values.nbytes + freed and not context.afford(merged.nbytes, freed):
        return False
    define_constant(graph, name, context.model.new_tensor("", merged), before=node)
    operator = "Div" if operators == "DivDiv" else "Add" if operators == "AddAdd" else "Mul"
    graph.add_node(operator, [source, name], [node.output[0]], before=node, name=node.name)
    graph.remove(node)
    graph.remove(first)
    return True


def _merged(operators: str, inner: Array, outer: Array) -> Array | None:
    if inner.dtype.kind != "f":
        with np.errstate(over="ignore"):
            return np.asarray(inner + outer if operators == "AddAdd" else inner * outer).astype(inner.dtype)
    first, second = inner.astype(np.float64), outer.astype(np.float64)
    with np.errstate(all="ignore"):
        if operators == "AddAdd":
            exact = first + second
        elif operators in ("MulMul", "DivDiv"):
            exact = first * second
        else:
            exact = first / second if operators == "MulDiv" else second / first
        result = np.asarray(exact).astype(inner.dtype)
    least = np.finfo(inner.dtype).tiny
    usable = np.isfinite(result) & ((np.abs(result) >= least) | (operators == "AddAdd"))
    return result if bool(usable.all()) else None
