"""What the operators of ai.onnx.ml have learned: trees, coefficients, tables, which are attributes and no tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from onnx import AttributeProto, NodeProto

from onnxctl.analysis.scopes import Scope
from onnxctl.model.names import as_text
from onnxctl.reports import LearnedNode

_DOMAIN = "ai.onnx.ml"
_NUMBERS = {AttributeProto.FLOATS: "floats", AttributeProto.INTS: "ints"}


def learned_nodes(scopes: Sequence[Scope]) -> Iterator[LearnedNode]:
    """Each node of ai.onnx.ml that holds lists of numbers or strings; ZipMap aside, which only names the classes."""
    for scope in scopes:
        for node in scope.body.node:
            if node.domain != _DOMAIN or node.op_type == "ZipMap":
                continue
            found = _learned(scope.path, node)
            if found.number_count or found.string_count:
                yield found


def _learned(scope: str, node: NodeProto) -> LearnedNode:
    numbers = strings = 0
    for each in node.attribute:
        if each.name == "nodes_modes":  # how each node of a tree compares
            continue
        if each.type in _NUMBERS:
            numbers += len(getattr(each, _NUMBERS[each.type]))
        elif each.type == AttributeProto.STRINGS:
            strings += len(each.strings)
        elif each.type == AttributeProto.TENSOR:
            count = math.prod(each.t.dims)
            numbers, strings = (numbers, strings + count) if each.t.string_data else (numbers + count, strings)
    trees, inner, leaves = _trees({each.name: each for each in node.attribute})
    return LearnedNode(
        scope=scope,
        name=as_text(node.name) or next((as_text(name) for name in node.output if name), ""),
        op_type=as_text(node.op_type),
        number_count=numbers,
        string_count=strings,
        tree_count=trees,
        inner_node_count=inner,
        leaf_count=leaves,
    )


def _trees(attributes: dict[str, AttributeProto]) -> tuple[int, int, int]:
    """Trees, nodes that decide, and leaves, in the form of ai.onnx.ml 5 (TreeEnsemble) or the older one; else zeros."""
    if "tree_roots" in attributes:
        leaves = attributes.get("leaf_targetids", AttributeProto()).ints
        return (
            len(attributes["tree_roots"].ints),
            len(attributes.get("nodes_featureids", AttributeProto()).ints),
            len(leaves),
        )
    if "nodes_treeids" in attributes:
        modes = attributes.get("nodes_modes", AttributeProto()).strings
        leaves_count = sum(mode == b"LEAF" for mode in modes)
        return len(set(attributes["nodes_treeids"].ints)), len(modes) - leaves_count, leaves_count
    return 0, 0, 0
