"""Make one Gemm of a MatMul of two matrices and the addition of a bias; take Transpose into Gemm.

- MatMul(A, B) + C = Gemm(A, B, C) for A and B of rank 2 and a C that broadcasts to the result without enlarging it
  (opset 7 on; before 11 a Gemm must have a C, and this one has). Computed alike: no tolerance but the order of sums.
- Gemm(Transpose(A), B) = Gemm(A, B, transA = 1 - transA), and likewise for B.

Left alone: ranks that are not known to be 2 (a MatMul of rank 3 is not a Gemm), element types that Gemm does not have
or onnxruntime has no kernel for, a Transpose that others read too.
"""

from __future__ import annotations

from onnx import AttributeProto, NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.pattern import FLOATS, fuse, is_private, maker, operands
from onnxctl.passes.semantics import permutation_of

_FIRST_OPSET = 7


def fuse_matmul_add(graph: Graph, context: Context) -> int:
    """Fuse into Gemm; returns how many nodes went."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = sum(_add_bias(graph, context, node) for node in standard_nodes(graph, "Add"))
    return found + sum(_take_transposes(graph, context, node) for node in standard_nodes(graph, "Gemm"))


def _add_bias(graph: Graph, context: Context, node: NodeProto) -> bool:
    for product, bias in operands(graph, node, "MatMul"):
        shapes = [graph.shape_of(name) for name in product.input]
        if (
            any(shape is None or len(shape) != 2 for shape in shapes)
            or graph.element_type(node.output[0]) not in FLOATS
        ):
            continue
        rows, columns = (shapes[0] or (None,))[0], (shapes[1] or (None,))[-1]
        if not _broadcasts(graph.shape_of(bias), rows, columns):
            context.skip(node, "its bias is not known to broadcast to the result of the MatMul")
            continue
        return fuse(graph, context, [node, product], "Gemm", [*product.input, bias])
    return False


def _broadcasts(shape: tuple[int | str | None, ...] | None, rows: int | str | None, columns: int | str | None) -> bool:
    """Whether a value of this shape can be the C of a Gemm with so many rows and columns."""
    if shape is None or len(shape) > 2 or None in shape:
        return False
    wanted = (rows, columns)[2 - len(shape) :]
    return all(size in (1, limit) for size, limit in zip(shape, wanted, strict=True))


def _take_transposes(graph: Graph, context: Context, node: NodeProto) -> int:
    found = 0
    for place, key in enumerate(("transA", "transB")):
        turned = maker(graph, node.input[place], "Transpose")
        if turned is None or permutation_of(graph, turned) != (1, 0):
            continue
        if graph.only_consumer(turned.output[0]) is not node or not is_private(graph, context, [node, turned]):
            context.skip(turned, "others read it beside the Gemm")
            continue
        flag = 1 - attribute(node, key, 0)
        graph.set_input(node, place, turned.input[0])
        graph.remove(turned)
        kept = [each for each in node.attribute if each.name != key]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.attribute.add(name=key, i=flag, type=AttributeProto.INT)
        found += 1
    return found
