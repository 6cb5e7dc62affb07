"""Multiply once where one tensor is multiplied by several constant matrices: query, key and value at a time.

x A, x B, x C = Split(x [A B C]) along the last axis: the columns of a product don't depend on one another. Each product
may be followed by the addition of a constant bias, one number for each column; the biases are joined likewise, zeros
standing for one that is missing. MatMul and Gemm, opset 11 on (an axis of Split may count from behind). The weights are
joined, not copied: the model does not grow. Equal but for the order in which a kernel sums.

Done where it saves nodes: three products, or two with biases, or two whose results are then reshaped or transposed
alike (see `move_splits`). Left alone: weights that others read, products of different element types.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from onnx import NodeProto, TensorProto

from onnxctl.model.arrays import Array, numpy_dtype
from onnxctl.model.attributes import set_attribute
from onnxctl.model.derivation import join
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.model.tensors import Tensor
from onnxctl.model.types import TensorType
from onnxctl.passes.base import Context, input_name, standard_nodes, takes_initializers
from onnxctl.passes.pattern import FLOATS
from onnxctl.passes.semantics import rank_of
from onnxctl.passes.weights import TENSOR_HEADER_BYTES, float_values, private_weight, put_weight

_FIRST_OPSET = 11
_FIRST_OPSET_WITH_SIZES_AS_INPUT = 13
_NODE_HEADER_BYTES = 4


class _Branch(NamedTuple):
    """One product: its node, its weight, and the name and node of the bias added to it ("" and None for none)."""

    node: NodeProto
    weight: Tensor
    columns: int
    bias: str
    add: NodeProto | None

    @property
    def result(self) -> str:
        return str((self.add or self.node).output[0])


def merge_parallel_matmuls(graph: Graph, context: Context) -> int:
    """Merge products of one tensor with several weights; returns how many nodes that saved."""
    if graph.opset() < _FIRST_OPSET or not takes_initializers(graph):
        return 0
    found = 0
    for first in standard_nodes(graph, "MatMul", "Gemm"):
        alike = [node for node in graph.consumers(first.input[0]) if _is_alike(first, node)]
        if len(alike) < 2 or alike[0] is not first:
            continue
        branches = [branch for node in alike if (branch := _branch(graph, context, node)) is not None]
        branches = [each for each in branches if each.weight.proto.data_type == branches[0].weight.proto.data_type]
        if len(branches) > 1 and _pays(graph, branches):
            found += _merge(graph, context, branches)
    return found


def _is_alike(first: NodeProto, node: NodeProto) -> bool:
    keys = ("alpha", "beta", "transA", "transB")
    return (
        node.op_type == first.op_type
        and node.domain == first.domain
        and list(node.input[:1]) == list(first.input[:1])
        and node.input[1] != node.input[0]
        and all(attribute(node, key) == attribute(first, key) for key in keys)
    )


def _branch(graph: Graph, context: Context, node: NodeProto) -> _Branch | None:
    weight = private_weight(graph, context, node.input[1], node)
    if weight is None or len(weight.shape) != 2 or weight.proto.data_type not in FLOATS:
        if graph.constant(node.input[1]) is not None:
            context.skip(node, "its weight is read elsewhere, or is no matrix of floats")
        return None
    columns = weight.shape[0 if attribute(node, "transB", 0) else 1]
    if graph.is_output(node.output[0]) or node.output[0] in context.pinned:
        return None
    if node.op_type == "Gemm":
        bias = input_name(node, 2)
        if bias and (graph.constant(bias) is None or graph.shape_of(bias) != (columns,)):
            return None
        return _Branch(node, weight, columns, bias, None)
    add = graph.only_consumer(node.output[0])
    if add is None or add.op_type != "Add" or add.domain not in ("", "ai.onnx"):
        return _Branch(node, weight, columns, "", None)
    bias = add.input[1] if add.input[0] == node.output[0] else add.input[0]
    values = float_values(graph, bias)
    if (
        values is None
        or values.shape != (columns,)
        or graph.is_output(add.output[0])
        or add.output[0] in context.pinned
    ):
        return _Branch(node, weight, columns, "", None)
    return _Branch(node, weight, columns, bias, add)


def _pays(graph: Graph, branches: list[_Branch]) -> bool:
    adds = sum(branch.add is not None for branch in branches)
    if len(branches) + adds > 2 + (adds > 0):
        return True
    readers = [graph.only_consumer(branch.result) for branch in branches]
    first = readers[0]
    return (
        first is not None
        and first.op_type in ("Reshape", "Transpose")
        and all(reader is not None and reader.op_type == first.op_type for reader in readers)
        and rank_of(graph, branches[0].result) is not None
    )


def _merge(graph: Graph, context: Context, branches: list[_Branch]) -> int:
    """Put one product, one addition where there are biases, and one Split in the place of the branches."""
    first = branches[0].node
    bias = _join_biases(graph, branches)
    old_nodes = [node for branch in branches for node in (branch.add, branch.node) if node is not None]
    old_constants = _only_read_by(graph, context, old_nodes)
    weight, product = graph.fresh_name(first.input[1]), graph.fresh_name(first.output[0])
    sizes = graph.fresh_name("split_sizes") if graph.opset() >= _FIRST_OPSET_WITH_SIZES_AS_INPUT else ""
    bias_name = graph.fresh_name(f"{weight}_bias") if bias is not None else ""
    nodes = [
        NodeProto(op_type=first.op_type, input=[first.input[0], weight], output=[product], name=first.name or None)
    ]
    nodes[0].attribute.extend(first.attribute)
    if bias is not None and first.op_type == "Gemm":
        nodes[0].input.append(bias_name)
    elif bias is not None:
        nodes.append(NodeProto(op_type="Add", input=[product, bias_name], output=[graph.fresh_name(product)]))
    results = [branch.result for branch in branches]
    columns = [branch.columns for branch in branches]
    nodes.append(NodeProto(op_type="Split", input=[nodes[-1].output[0]], output=results))
    set_attribute(nodes[-1], "axis", -1)
    if sizes:
        nodes[-1].input.append(sizes)
    else:
        set_attribute(nodes[-1], "split", columns)
    added = sum(node.ByteSize() + _NODE_HEADER_BYTES for node in nodes) + 8 * len(branches)
    added += sum(len(name) + TENSOR_HEADER_BYTES for name in (weight, bias_name, sizes) if name)
    added += 0 if bias is None else bias.nbytes
    freed = sum(node.ByteSize() + _NODE_HEADER_BYTES for node in old_nodes)
    freed += sum(len(name) + TENSOR_HEADER_BYTES // 2 for name in old_constants)
    biases = [graph.constant(name) for name in {branch.bias for branch in branches}.intersection(old_constants)]
    freed += sum(tensor.byte_count for tensor in biases if tensor is not None)
    if not context.afford(added, freed):
        context.skip(first, "joined weights would make the model larger")
        return 0
    graph.set_initializer(_join_weights(graph, weight, branches))
    if bias is not None:
        put_weight(graph, graph.model.new_tensor(bias_name, bias))
    if sizes:
        put_weight(graph, graph.model.new_tensor(sizes, np.array(columns, np.int64)))
    _note_types(graph, branches, [node.output[0] for node in nodes[:-1]])
    for node in nodes:
        graph.insert(node, before=first)
    for node in old_nodes:
        graph.remove(node)
    for name in old_constants:
        graph.remove_initializer(name)
    return len(old_nodes) - len(nodes)


def _note_types(graph: Graph, branches: list[_Branch], names: list[str]) -> None:
    """The type of the joined results, where that of the single ones is known."""
    shape = graph.shape_of(branches[0].result)
    if shape is not None:
        joined = (*shape[:-1], sum(branch.columns for branch in branches))
        kind = TensorType(branches[0].weight.proto.data_type, joined)
        graph.inferred.update(dict.fromkeys(names, kind))


def _only_read_by(graph: Graph, context: Context, nodes: list[NodeProto]) -> list[str]:
    """The initializers of this scope that these nodes read and nobody else."""
    inside = {id(node) for node in nodes}
    names = dict.fromkeys(name for node in nodes for name in node.input if name in graph.initializers)
    return [
        name
        for name in names
        if not (graph.is_input(name) or graph.is_output(name) or name in context.pinned)
        and all(id(reader) in inside for reader in graph.consumers(name))
    ]


def _join_weights(graph: Graph, name: str, branches: list[_Branch]) -> TensorProto:
    """An initializer with the columns of all weights side by side."""
    axis = 0 if attribute(branches[0].node, "transB", 0) else 1
    return graph.model.derived_tensor(name, join([branch.weight for branch in branches], axis))


def _join_biases(graph: Graph, branches: list[_Branch]) -> Array | None:
    """The biases one after the other, zeros where one is missing; None where all are."""
    if not any(branch.bias for branch in branches):
        return None
    dtype = numpy_dtype(branches[0].weight.proto.data_type)
    parts = [graph.constant_values(branch.bias, at_most=branch.columns) if branch.bias else None for branch in branches]
    filled = [
        np.zeros(branch.columns, dtype) if part is None else part for branch, part in zip(branches, parts, strict=True)
    ]
    return np.concatenate(filled)
