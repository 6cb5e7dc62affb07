"""An independent count of what a model holds: everything loaded, by plain recursion over the messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, TensorProto, numpy_helper

ALIASES = {"": "ai.onnx"}


@dataclass
class Count:
    """Figures of one model; parameters counts the elements of each data_type."""

    nodes: int = 0
    subgraphs: int = 0
    initializers: int = 0
    operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    elements: Counter[int] = field(default_factory=Counter)
    tensors: Counter[int] = field(default_factory=Counter)


def count_by_hand(path: Path) -> Count:
    """Load the whole model, weights and all, and count."""
    model = onnx.load(path)
    count = Count()
    _count_body(model.graph, count)
    for function in model.functions:
        _count_body(function, count)
    return count


def _count_body(body: GraphProto | FunctionProto, count: Count) -> None:
    for tensor in _stored(body):
        count.tensors[tensor.data_type] += 1
        count.elements[tensor.data_type] += numpy_helper.to_array(tensor).size
    if isinstance(body, GraphProto):
        count.initializers += len(body.initializer) + len(body.sparse_initializer)
    for node in body.node:
        count.nodes += 1
        count.operators[ALIASES.get(node.domain, node.domain), node.op_type] += 1
        for attribute in node.attribute:
            for graph in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                count.subgraphs += 1
                _count_body(graph, count)


def _stored(body: GraphProto | FunctionProto) -> Iterator[TensorProto]:
    if isinstance(body, GraphProto):
        yield from body.initializer
        yield from (sparse.values for sparse in body.sparse_initializer)
    for node in body.node:
        if node.op_type == "Constant" and node.domain == "":
            yield from (_constant(each) for each in node.attribute if not each.ref_attr_name)


def _constant(attribute: AttributeProto) -> TensorProto:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return value
    if isinstance(value, onnx.SparseTensorProto):
        return value.values
    kinds = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "s": TensorProto.STRING}
    kind = kinds[attribute.name.removeprefix("value_")[0]]
    many = attribute.name.endswith("s")
    return onnx.helper.make_tensor("", kind, [len(value)] if many else [], value if many else [value])
