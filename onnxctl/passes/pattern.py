"""What fusions recognise their patterns by, and the one way they replace them.

A fusion walks from the last node of its pattern upward with `maker` and `operands`, compares constants with
`is_scalar`, and hands the nodes it met to `fuse`. `fuse` is what makes it safe: no value inside of the pattern may be
seen from outside.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onnx import NodeProto, TensorProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, in_function
from onnxctl.passes.semantics import rank_of, scalar

FLOAT_AND_HALF = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})
FLOATS = FLOAT_AND_HALF | {TensorProto.DOUBLE}
"""The element types that onnxruntime's CPU provider has kernels for: all three for most operators, two for some."""

_RELATIVE_TOLERANCE: dict[int, float] = {TensorProto.FLOAT16: 1e-3, TensorProto.BFLOAT16: 1e-2}
"""How far a constant such as sqrt(2) may be from its value by rounding alone; 1e-6 for the wider types."""


def maker(graph: Graph, name: str, *op_types: str) -> NodeProto | None:
    """The node of this scope that makes the value, where it is one of these standard operators.

    None too where the node's attributes come from a function's caller: nothing is known about them.
    """
    node = graph.producer(name) if name else None
    if node is None or not is_standard(node, *op_types):
        return None
    if in_function(graph) and any(each.ref_attr_name for each in node.attribute):
        return None
    return node


def operands(graph: Graph, node: NodeProto, *op_types: str) -> Iterator[tuple[NodeProto, str]]:
    """For each of the node's two inputs that one of these operators makes: its maker, and the other input."""
    for place in (0, 1):
        made = maker(graph, node.input[place], *op_types)
        if made is not None:
            yield made, node.input[1 - place]


def is_scalar(graph: Graph, name: str, wanted: float) -> bool:
    """Whether the value is a constant with one element that is this number, but for its rounding."""
    value = scalar(graph, name)
    if value is None or value == wanted:
        return value is not None
    tolerance = _RELATIVE_TOLERANCE.get(graph.element_type(name) or TensorProto.FLOAT, 1e-6)
    return math.isclose(value, wanted, rel_tol=tolerance)


def beside(graph: Graph, node: NodeProto, wanted: float) -> str:
    """The other operand of a node of two inputs that commute, where one of them is this scalar; "" where none is."""
    for place in (1, 0):
        if is_scalar(graph, node.input[place], wanted) and keeps_rank(graph, node.input[1 - place], node.input[place]):
            return str(node.input[1 - place])
    return ""


def keeps_rank(graph: Graph, value: str, constant: str) -> bool:
    """Whether a constant of one element leaves the value's shape as it is: it has no more dimensions."""
    rank = rank_of(graph, constant)
    if rank is None or rank == 0:
        return rank == 0
    own = rank_of(graph, value)
    return own is not None and own >= rank


def is_private(graph: Graph, context: Context, nodes: Sequence[NodeProto]) -> bool:
    """Whether nobody but these nodes sees what they make, the first one's outputs apart."""
    inside = {id(node) for node in nodes}
    for node in nodes[1:]:
        for name in filter(None, node.output):
            if graph.is_output(name) or name in context.pinned:
                return False
            if any(id(reader) not in inside for reader in graph.consumers(name)):
                return False
    return True


def fuse(
    graph: Graph,
    context: Context,
    nodes: Sequence[NodeProto],
    op_type: str,
    inputs: Iterable[str],
    attributes: Mapping[str, Any] | None = None,
) -> bool:
    """Let one node of this operator make what the first of the nodes made, and take all of them out.

    False, with the reason noted, where somebody else sees a value between them.
    """
    last, *others = nodes
    if not is_private(graph, context, nodes):
        context.skip(last, f"a value inside the pattern of {op_type} is read elsewhere")
        return False
    wanted = {key: value for key, value in (attributes or {}).items() if value is not None}
    graph.add_node(op_type, list(inputs), list(last.output), before=last, name=last.name, attributes=wanted)
    graph.remove(last)
    for node in others:
        if graph.contains(node):
            graph.remove(node)
    return True


class Product(NamedTuple):
    """A value as the product of a number and other values, and the nodes that multiply them, the last one first."""

    number: float
    factors: tuple[str, ...]
    nodes: tuple[NodeProto, ...]


_DEEPEST_PRODUCT = 6


def product_of(graph: Graph, name: str, known: Collection[str] = (), *, depth: int = 0) -> Product:
    """The value taken apart into factors by its Mul, Div by a scalar, Pow by 2 or 3; `known` ones stay whole."""
    node = None if name in known or depth > _DEEPEST_PRODUCT else maker(graph, name, "Mul", "Div", "Pow")
    if node is None:
        return Product(1.0, (name,), ())
    first, second = node.input
    if node.op_type == "Mul":
        for value, constant in ((first, second), (second, first)):
            number = scalar(graph, constant)
            if number is not None and keeps_rank(graph, value, constant):
                inner = product_of(graph, value, known, depth=depth + 1)
                return Product(number * inner.number, inner.factors, (node, *inner.nodes))
        left, right = (product_of(graph, each, known, depth=depth + 1) for each in (first, second))
        nodes = (node, *left.nodes, *right.nodes)
        return Product(left.number * right.number, left.factors + right.factors, nodes)
    number = scalar(graph, second)
    if not number or not keeps_rank(graph, first, second) or (node.op_type == "Pow" and number not in (2, 3)):
        return Product(1.0, (name,), ())
    inner = product_of(graph, first, known, depth=depth + 1)
    if node.op_type == "Div":
        return Product(inner.number / number, inner.factors, (node, *inner.nodes))
    return Product(inner.number ** int(number), inner.factors * int(number), (node, *inner.nodes))


def is_close(graph: Graph, value: str, found: float, wanted: float) -> bool:
    """Whether a number computed from constants of the value's element type is this one, but for their rounding."""
    tolerance = _RELATIVE_TOLERANCE.get(graph.element_type(value) or TensorProto.FLOAT, 1e-6)
    return math.isclose(found, wanted, rel_tol=2 * tolerance)
