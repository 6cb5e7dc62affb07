"""Make one Gelu of its parts, in the erf and the tanh form (Gelu, opset 20).

- approximate = "none": 0.5 x (1 + erf(x / sqrt(2)))
- approximate = "tanh": 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), also with x (1 + 0.044715 x^2) inside
(ONNX operator documentation.) The factors may stand in any order, and products be written as Mul, Div by a number, or
Pow. Equal but for the rounding of the steps. Left alone: element types other than float32 and float16, for which
onnxruntime has no kernel, and other constants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.pattern import FLOAT_AND_HALF, Product, beside, fuse, is_close, maker, operands, product_of

_FIRST_OPSET = 20
_CUBIC = 0.044715


def fuse_gelu(graph: Graph, context: Context) -> int:
    """Fuse erf and tanh forms of Gelu; returns how many."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = 0
    for add in standard_nodes(graph, "Add"):
        for curve, one in operands(graph, add, "Erf", "Tanh"):
            if beside(graph, add, 1.0) == curve.output[0] and one != curve.output[0]:
                found += _fuse(graph, context, add, curve)
                break
    return found


def _fuse(graph: Graph, context: Context, add: NodeProto, curve: NodeProto) -> bool:
    """Find x inside of the curve, and then 0.5 x (1 + curve) around it."""
    if graph.element_type(curve.output[0]) not in FLOAT_AND_HALF:
        return False
    arguments = _erf_arguments if curve.op_type == "Erf" else _tanh_arguments
    for value, inside in arguments(graph, curve.input[0]):
        for last in _products_above(graph, add.output[0]):
            product = product_of(graph, last.output[0], (value, add.output[0]))
            if sorted(product.factors) != sorted((value, add.output[0])) or not is_close(
                graph, value, product.number, 0.5
            ):
                continue
            nodes = [*product.nodes, add, curve, *inside]
            approximate = "none" if curve.op_type == "Erf" else "tanh"
            return fuse(graph, context, nodes, "Gelu", [value], {"approximate": approximate})
    return False


def _products_above(graph: Graph, name: str) -> Iterator[NodeProto]:
    """The Mul and Div that read the value, and those that read these, as long as there is only one."""
    while (reader := graph.only_consumer(name)) is not None and reader.op_type in ("Mul", "Div"):
        yield reader
        name = reader.output[0]


def _erf_arguments(graph: Graph, name: str) -> Iterator[tuple[str, list[NodeProto]]]:
    """x where the value is x / sqrt(2), with the nodes between."""
    made = maker(graph, name, "Mul", "Div")
    for value in made.input if made is not None else ():
        product = product_of(graph, name, (value,))
        if product.factors == (value,) and is_close(graph, name, product.number, math.sqrt(0.5)):
            yield value, list(product.nodes)


def _tanh_arguments(graph: Graph, name: str) -> Iterator[tuple[str, list[NodeProto]]]:
    """x where the value is sqrt(2 / pi) (x + 0.044715 x^3), with the nodes between."""
    outer = product_of(graph, name)
    for factor in outer.factors:
        total = maker(graph, factor, "Add")
        if total is None:
            continue
        for value, cubic in ((total.input[0], total.input[1]), (total.input[1], total.input[0])):
            if beside(graph, total, 1.0) == cubic:
                for candidate in set(outer.factors) - {factor}:
                    yield from _polynomial(graph, name, candidate, total, cubic, 2)
            else:
                yield from _polynomial(graph, name, value, total, cubic, 3)


def _polynomial(
    graph: Graph, name: str, value: str, total: NodeProto, power: str, degree: int
) -> Iterator[tuple[str, list[NodeProto]]]:
    known = (value, total.output[0])
    outer, inner = product_of(graph, name, known), product_of(graph, power, known)
    wanted = (total.output[0],) if degree == 3 else tuple(sorted((value, total.output[0])))
    if _is(graph, outer, wanted, math.sqrt(2 / math.pi)) and _is(graph, inner, (value,) * degree, _CUBIC):
        yield value, [*outer.nodes, total, *inner.nodes]


def _is(graph: Graph, product: Product, factors: tuple[str, ...], number: float) -> bool:
    return tuple(sorted(product.factors)) == factors and is_close(graph, factors[0], product.number, number)
