"""Make one Clip of Min and Max with numbers: Min(Max(x, lo), hi) = Max(Min(x, hi), lo) = Clip(x, lo, hi) for lo <= hi.

(ONNX operator documentation; Clip with bounds as inputs, opset 11.) Equal but for the sign of a zero. Left alone:
element types other than float32 and (from 12 on) float64, for which onnxruntime has no kernel everywhere, bounds that
are computed, a value between that others read.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, define_constant, standard_nodes
from onnxctl.passes.pattern import is_private, keeps_rank, maker
from onnxctl.passes.semantics import scalar

_FIRST_OPSET = 11
_FIRST_OPSET_WITH_DOUBLES = 12


def fuse_clip(graph: Graph, context: Context) -> int:
    """Fuse clamps between two numbers; returns how many."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Min", "Max"))


def _fuse(graph: Graph, context: Context, outer: NodeProto) -> bool:
    element_type = graph.element_type(outer.output[0])
    doubles = element_type == TensorProto.DOUBLE and graph.opset() >= _FIRST_OPSET_WITH_DOUBLES
    if element_type != TensorProto.FLOAT and not doubles:
        return False
    between, second = _operands(graph, outer)
    inner = maker(graph, between, "Max" if outer.op_type == "Min" else "Min") if between else None
    value, first = ("", "") if inner is None else _operands(graph, inner)
    if inner is None or not value:
        return False
    low, high = (first, second) if outer.op_type == "Min" else (second, first)
    numbers = [scalar(graph, name) for name in (low, high)]
    if numbers[0] is None or numbers[1] is None or not numbers[0] <= numbers[1]:
        return False
    if not is_private(graph, context, [outer, inner]):
        context.skip(outer, "a value inside the pattern of Clip is read elsewhere")
        return False
    bounds = [_as_number(graph, name, before=outer) for name in (low, high)]
    graph.add_node("Clip", [value, *bounds], list(outer.output), before=outer, name=outer.name)
    graph.remove(outer)
    graph.remove(inner)
    return True


def _operands(graph: Graph, node: NodeProto) -> tuple[str, str]:
    """The value and the number that the node takes the smaller or larger one of; "" where it does something else."""
    if len(node.input) == 2:
        for value, number in (tuple(node.input), tuple(reversed(node.input))):
            if scalar(graph, number) is not None and keeps_rank(graph, value, number):
                return value, number
    return "", ""


def _as_number(graph: Graph, name: str, *, before: NodeProto) -> str:
    """The constant as one of rank 0, as Clip wants it."""
    values = graph.constant_values(name, at_most=1)
    assert values is not None
    if values.ndim == 0:
        return name
    fresh = graph.fresh_name(name)
    define_constant(graph, fresh, graph.model.new_tensor("", np.array(values.reshape(()))), before=before)
    return fresh
