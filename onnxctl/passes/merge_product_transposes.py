"""Swap the operands of a product whose result is transposed: (A^T B^T)^T = B A.

Transpose(MatMul(Transpose(a), Transpose(b))) = MatMul(b, a), where each Transpose swaps the last two axes of a tensor
of rank 2 or more: MatMul broadcasts the axes before them alike in either order. In the place of one of the inner
Transposes there can be a weight that only this product reads: it is transposed once and for all (see `fold_layouts`).
Equal but for the order in which a kernel sums. All opsets. Left alone: products that others read too, and other
permutations.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.fold_layouts import MAXIMUM_TRANSPOSED_BYTES
from onnxctl.passes.pattern import is_private, maker
from onnxctl.passes.semantics import permutation_of
from onnxctl.passes.weights import private_weight


def merge_product_transposes(graph: Graph, context: Context) -> int:
    """Swap the operands of products; returns how many Transposes that saved."""
    return sum(_swap(graph, context, node) for node in standard_nodes(graph, "Transpose"))


def _swap(graph: Graph, context: Context, outer: NodeProto) -> int:
    product = maker(graph, outer.input[0], "MatMul")
    if product is None or not _swaps_last_two(graph, outer):
        return 0
    inner = [maker(graph, name, "Transpose") for name in product.input]
    turned = [each for each in inner if each is not None and _swaps_last_two(graph, each)]
    weights = [name for name in product.input if _is_small_weight(graph, context, name, product)]
    if len(turned) + len(weights) < 2 or not turned:
        return 0
    if not is_private(graph, context, [outer, product]):
        context.skip(outer, "others read the product as it is")
        return 0
    going = [each for each in turned if is_private(graph, context, [product, each])]
    if weights and not going:
        return 0
    inputs = []
    for name, each in zip(product.input, inner, strict=True):
        if name in weights:
            fresh = graph.fresh_name(name)
            graph.add_node("Transpose", [name], [fresh], before=product, attributes={"perm": [1, 0]})
            inputs.append(fresh)
        elif each is not None:
            inputs.append(each.input[0])
    graph.add_node("MatMul", inputs[::-1], list(outer.output), before=outer, name=product.name)
    graph.remove(outer)
    graph.remove(product)
    for each in going:
        if graph.contains(each):
            graph.remove(each)
    return 1 + len(going) - len(weights)


def _swaps_last_two(graph: Graph, node: NodeProto) -> bool:
    order = permutation_of(graph, node)
    if order is None or len(order) < 2:
        return False
    rank = len(order)
    return order == (*range(rank - 2), rank - 1, rank - 2)


def _is_small_weight(graph: Graph, context: Context, name: str, reader: NodeProto) -> bool:
    weight = private_weight(graph, context, name, reader)
    if weight is None or graph.is_input(name):
        return False
    return len(weight.shape) == 2 and weight.byte_count <= MAXIMUM_TRANSPOSED_BYTES
