"""Values that are one number everywhere: ConstantOfShape, what is cut or shaped of it, and masks of such ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from onnxctl.model.arrays import Array
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import input_name

_KEEPING = ("Expand", "Tile", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Identity", "Gather")
_MASKS: Mapping[str, Callable[..., Array]] = {
    "Not": np.logical_not,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
    "Equal": np.equal,
    "Less": np.less,
    "Greater": np.greater,
}
_DEEPEST = 16
_LARGEST_READ = 4096


def uniform_value(graph: Graph, name: str, *, depth: int = 0) -> Array | None:
    """The number that every element of the value is, as an array of rank 0; None where none is known."""
    if not name or depth > _DEEPEST:
        return None
    values = graph.constant_values(name, at_most=_LARGEST_READ)
    if values is not None:
        return _common(values)
    node = graph.producer(name)
    if node is None:
        return None
    if is_standard(node, "ConstantOfShape"):
        if any(each.ref_attr_name for each in node.attribute):
            return None
        tensor = attribute(node, "value")
        return np.zeros((), np.float32) if tensor is None else _common(graph.model.tensor(tensor).numpy())
    if is_standard(node, *_KEEPING):
        return uniform_value(graph, node.input[0], depth=depth + 1)
    mask = _MASKS.get(node.op_type) if is_standard(node, *_MASKS) else None
    if mask is not None:
        operands = [uniform_value(graph, each, depth=depth + 1) for each in node.input]
        known = [each for each in operands if each is not None]
        return np.asarray(mask(*known)) if len(known) == len(operands) else None
    if is_standard(node, "Concat"):
        parts = [uniform_value(graph, each, depth=depth + 1) for each in node.input]
        if any(part is None for part in parts):
            return None
        return _common(np.array(parts))
    if is_standard(node, "Split") and input_name(node, 0):
        return uniform_value(graph, node.input[0], depth=depth + 1)
    return None


def _common(values: Array) -> Array | None:
    """The first element where all are equal to the last bit of their meaning: zeros of two signs are not."""
    if not values.size or values.dtype.kind not in "biuf":
        return None
    first: Array = values.reshape(-1)[:1].copy()
    same = (values.reshape(-1).view(f"V{values.itemsize}") == first.view(f"V{values.itemsize}")).all()
    return first.reshape(()) if same else None
