"""Make one Attention of the products and the Softmax it consists of (Attention, opset 23).

Softmax(Q K^T * scale + mask) V, all of rank 4 (batch, heads, length, size), as the ONNX operator documentation has it;
onnxruntime computes both forms alike. The scale may be a Mul or Div by a number behind the first product, or missing;
K^T is what a Transpose makes, of which a Transpose of the other axes is left where it moves those too. Left alone:
element types other than float32, values of other ranks, batch or head counts that are not known to be equal (a MatMul
would broadcast), and masks that are not known to cover every query and key (Attention reads shorter ones otherwise).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from onnx import NodeProto, TensorProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.pattern import fuse, is_private, keeps_rank, maker, operands
from onnxctl.passes.semantics import Shape, permutation_of, scalar

_FIRST_OPSET = 23
_RANK = 4


def fuse_attention(graph: Graph, context: Context) -> int:
    """Fuse attentions; returns how many."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "MatMul"))


class _Scores(NamedTuple):
    """What Softmax is taken of: the product of queries and keys, its scale, a mask (or ""), and the nodes behind."""

    product: NodeProto
    scale: float
    mask: str
    nodes: tuple[NodeProto, ...]


def _fuse(graph: Graph, context: Context, last: NodeProto) -> bool:
    softmax = maker(graph, last.input[0], "Softmax")
    if softmax is None or attribute(softmax, "axis", -1) not in (-1, _RANK - 1):
        return False
    scores = next((each for each in _scores(graph, softmax.input[0]) if each is not None), None)
    turned = None if scores is None else maker(graph, scores.product.input[1], "Transpose")
    if scores is None or turned is None or graph.element_type(last.output[0]) != TensorProto.FLOAT:
        return False
    query, value = scores.product.input[0], last.input[1]
    shapes = [graph.shape_of(name) for name in (query, scores.product.input[1], value)]
    if not _are_heads(shapes):
        context.skip(last, "ranks, batches or heads of its attention are not known to fit")
        return False
    if scores.mask and not _covers(graph.shape_of(scores.mask), shapes[0] or (), shapes[1] or ()):
        context.skip(last, "the mask of its attention is not known to cover every query and key")
        return False
    order = permutation_of(graph, turned)
    nodes = [last, softmax, *scores.nodes, scores.product, turned]
    if order is None or not is_private(graph, context, nodes):
        context.skip(last, "a value inside the pattern of Attention is read elsewhere")
        return False
    key, moved = turned.input[0], [order[0], order[1], order[3], order[2]]
    if moved != list(range(_RANK)):
        key = graph.fresh_name(turned.output[0])
        graph.add_node("Transpose", [turned.input[0]], [key], before=last, name=turned.name, attributes={"perm": moved})
    inputs = [query, key, value, *([scores.mask] if scores.mask else [])]
    return fuse(graph, context, nodes, "Attention", inputs, {"scale": scores.scale})


def _scores(graph: Graph, name: str) -> list[_Scores | None]:
    """The ways to read the value as scaled scores, with a mask or without."""
    found = [_scaled(graph, name, "", ())]
    total = maker(graph, name, "Add")
    for product, mask in operands(graph, total, "MatMul", "Mul", "Div") if total is not None else ():
        found.append(_scaled(graph, product.output[0], mask, (total,) if total is not None else ()))
    return found


def _scaled(graph: Graph, name: str, mask: str, nodes: tuple[NodeProto, ...]) -> _Scores | None:
    product = maker(graph, name, "MatMul")
    if product is not None:
        return _Scores(product, 1.0, mask, nodes)
    step = maker(graph, name, "Mul", "Div")
    for place in (1, 0) if step is not None and step.op_type == "Mul" else (1,):
        number = None if step is None else scalar(graph, step.input[place])
        product = None if step is None else maker(graph, step.input[1 - place], "MatMul")
        if step is None or product is None or number is None or not number > 0:
            continue
        if keeps_rank(graph, step.input[1 - place], step.input[place]):
            return _Scores(product, 1 / number if step.op_type == "Div" else number, mask, (*nodes, step))
    return None


def _are_heads(shapes: Sequence[Shape | None]) -> bool:
    """Whether all have rank 4, and the same batch and heads."""
    known = [shape for shape in shapes if shape is not None and len(shape) == _RANK]
    if len(known) < len(shapes) or None in known[0][:2]:
        return False
    return all(shape[:2] == known[0][:2] for shape in known)


def _covers(mask: Shape | None, query: Shape, turned_key: Shape) -> bool:
    """Whether the mask has an entry for every query and key, and broadcasts along batch and heads."""
    if mask is None or len(mask) not in (2, _RANK) or None in (query[2], turned_key[3]):
        return False
    if mask[-2:] != (query[2], turned_key[3]):
        return False
    return all(size in (1, whole) for size, whole in zip(mask[:-2], query[:2], strict=False))
