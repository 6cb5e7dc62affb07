"""The models of classical machine learning: linear ones, support vectors and tree ensembles (ai.onnx.ml)."""

from __future__ import annotations

from collections import Counter

from onnxctl.analysis.cost.work import Formula, Operation, UnknownShapeError, Work
from onnxctl.model.dimensions import Dimension


def _rows_and_columns(operation: Operation) -> tuple[Dimension, Dimension]:
    """The input as a table: one row of features stands for a batch of one."""
    shape = operation.input_shape(0)
    if len(shape) == 1:
        return 1, shape[0]
    if len(shape) != 2:
        raise UnknownShapeError
    return shape[0], shape[1]


def _linear(operation: Operation) -> Work:
    """LinearRegressor and LinearClassifier: features times coefficients, one target or class after another."""
    rows, columns = _rows_and_columns(operation)
    coefficients = len(operation.reals("coefficients") or ())
    if isinstance(columns, int) and columns and coefficients % columns:
        raise UnknownShapeError
    targets = coefficients // columns if isinstance(columns, int) and columns else None
    if targets is None:
        raise UnknownShapeError
    return Work(macs=rows * columns * targets, others=rows * targets)


def _support_vectors(operation: Operation) -> Work:
    """SVMRegressor and SVMClassifier: the kernel of each row with each support vector, and their weighted sum."""
    rows, columns = _rows_and_columns(operation)
    values = len(operation.reals("support_vectors") or ())
    coefficients = len(operation.reals("coefficients") or ())
    return Work(macs=rows * (values + coefficients) if values else rows * columns * coefficients)


def _trees(operation: Operation) -> Work:
    """Tree ensembles: for each row one comparison a level of each tree, down to its deepest leaf, and a sum over trees.

    An upper bound: rows that end in a shallow leaf do less.
    """
    rows, _ = _rows_and_columns(operation)
    depths = _depths(
        operation.integers("nodes_treeids") or [],
        operation.integers("nodes_nodeids") or [],
        operation.integers("nodes_truenodeids") or [],
        operation.integers("nodes_falsenodeids") or [],
        operation.texts("nodes_modes"),
    )
    return Work(others=rows * (sum(depths.values()) + len(depths)))


def _joint_trees(operation: Operation) -> Work:
    """TreeEnsemble (ai.onnx.ml 5): the same, with inner nodes and leaves apart and all trees in one list."""
    rows, _ = _rows_and_columns(operation)
    true_nodes = operation.integers("nodes_truenodeids") or []
    false_nodes = operation.integers("nodes_falsenodeids") or []
    true_leaves, false_leaves = (
        operation.integers("nodes_trueleafs") or [],
        operation.integers("nodes_falseleafs") or [],
    )
    roots = operation.integers("tree_roots") or []
    if not len(true_nodes) == len(false_nodes) == len(true_leaves) == len(false_leaves):
        raise UnknownShapeError
    comparisons = 0
    seen: set[int] = set()
    for root in roots:
        level = {root}
        while level := {node for node in level if 0 <= node < len(true_nodes) and node not in seen}:
            seen |= level
            comparisons += 1
            level = {true_nodes[node] for node in level if not true_leaves[node]} | {
                false_nodes[node] for node in level if not false_leaves[node]
            }
    return Work(others=rows * (comparisons + len(roots)))


def _depths(
    trees: list[int], nodes: list[int], true_nodes: list[int], false_nodes: list[int], modes: list[str]
) -> Counter[int]:
    """The number of levels of each tree; each node is visited once, so that cycles in broken trees end."""
    if not len(trees) == len(nodes) == len(true_nodes) == len(false_nodes) == len(modes):
        raise UnknownShapeError
    children = {
        (tree, node): () if mode == "LEAF" else ((tree, one), (tree, other))
        for tree, node, one, other, mode in zip(trees, nodes, true_nodes, false_nodes, modes, strict=True)
    }
    below = {child for pair in children.values() for child in pair}
    depths: Counter[int] = Counter()
    seen = set()
    level = [(tree, node) for tree, node in children if (tree, node) not in below]
    while level:
        level = [each for each in level if each in children and each not in seen]
        seen.update(level)
        for tree in {tree for (tree, node) in level if children[tree, node]}:
            depths[tree] += 1
        level = [child for each in level for child in children[each]]
    return depths


CLASSICAL: dict[str, Formula] = {
    "LinearRegressor": _linear,
    "LinearClassifier": _linear,
    "SVMRegressor": _support_vectors,
    "SVMClassifier": _support_vectors,
    "TreeEnsembleRegressor": _trees,
    "TreeEnsembleClassifier": _trees,
    "TreeEnsemble": _joint_trees,
}
