"""Let constant weights do a multiplication by a scalar far behind them, such as the 1 / sqrt(d) of an attention.

For y = f(x) * c with f linear in a set of weights W, that is f(c W) = c f(W), the weights are multiplied instead. f is
found by walking upward from y through operators that are linear in what they read: Reshape, Transpose, Split, Slice,
Squeeze, Unsqueeze, Flatten, Expand, Gather, Neg, Identity, Concat, Add and Sub (in both operands), Mul, Div and MatMul
(in one operand), down to constants: the weight of a MatMul or Gemm with its bias, a table, or another operand.
Behind a Split of such a product only the columns of that part are scaled. Weights are rounded once more, and not at all
where c is a power of two: about one unit in the last place of each.

Everything on the way must be read by nobody outside, every weight by its one node, and nothing is copied; values on the
way get new names, because they are other values. Opsets 7 on.
Left alone: multiplications that are the last step of a product of two values (a Gelu, a SiLU), for which runtimes have
kernels of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from onnx import NodeProto, TensorProto

from onnxctl.model.derivation import Stretch
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import DEFAULT_DOMAINS, attribute
from onnxctl.passes.base import Context, input_name, rename, standard_nodes, take_over
from onnxctl.passes.pattern import keeps_rank
from onnxctl.passes.semantics import Shape, permutation_of, scalar
from onnxctl.passes.weights import (
    FLOAT_TYPES,
    bytes_with_constants,
    float_values,
    private_weight,
    put_weight,
    scaled_weight,
)

_FIRST_OPSET = 7
_MOST_NODES = 64
_BYTES_OF_A_NEW_NAME = 3

_LARGEST_WEIGHT_BYTES = 1 << 26
"""A larger weight (a table of embeddings, most likely) is not rewritten to save one multiplication."""

_HAND_ON = frozenset(
    {"Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Gather", "Neg", "Identity"}
)
"""Linear in their first input, the only one that holds values: the others are shapes, axes and indices."""


class _Columns(NamedTuple):
    """A stretch of an initializer along one axis that is to be scaled; axis None means all of it."""

    name: str
    axis: int | None = None
    start: int = 0
    stop: int = 0


@dataclass(slots=True)
class _Cone:
    """What was met on the way up: the values scaled, the inputs through which each node is, and the constants.

    constants_first says which operand of a Mul is tried first: a constant of its own, or the other one.
    """

    constants_first: bool
    values: set[str] = field(default_factory=set)
    through: dict[int, set[str]] = field(default_factory=dict)
    nodes: dict[int, NodeProto] = field(default_factory=dict)
    weights: list[_Columns] = field(default_factory=list)

    def copy(self) -> _Cone:
        """A copy that can be thrown away when a way up leads nowhere."""
        through = {key: set(names) for key, names in self.through.items()}
        return _Cone(self.constants_first, set(self.values), through, dict(self.nodes), list(self.weights))


def fold_scalars_into_weights(graph: Graph, context: Context) -> int:
    """Scale weights where their result was scaled; returns how many multiplications went."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = 0
    for node in standard_nodes(graph, "Mul", "Div"):
        for place in (1, 0) if node.op_type == "Mul" else (1,):
            factor, value = scalar(graph, node.input[place]), node.input[1 - place]
            if factor and np.isfinite(factor) and graph.element_type(value) in FLOAT_TYPES:
                found += _fold(graph, context, node, value, node.input[place], factor)
                break
    return found


def _fold(graph: Graph, context: Context, node: NodeProto, value: str, constant: str, factor: float) -> bool:
    if graph.producer(value) is None or not keeps_rank(graph, value, constant):
        return False
    ways = (_grow(graph, context, _Cone(first, through={id(node): {value}}), value) for first in (True, False))
    cone = next((each for each in ways if each is not None and each.weights and _is_closed(graph, each)), None)
    if cone is None:
        context.skip(node, "what it multiplies is not linear in weights of its own")
        return False
    factor = 1 / factor if node.op_type == "Div" else factor
    weights = _scaled_weights(graph, cone.weights, factor)
    if weights is None:
        context.skip(node, "a weight would overflow")
        return False
    between = [name for name in cone.values if name != value]
    names_bytes = sum(_BYTES_OF_A_NEW_NAME * (1 + len(graph.consumers(name))) for name in between)
    if not context.afford(names_bytes, bytes_with_constants(graph, node)):
        context.skip(node, "names for what it scales would make the model larger")
        return False
    take_over(graph, node, value)
    for name in sorted(between):
        rename(graph, name)
    for weight in weights:
        put_weight(graph, weight)
    return True


def _scaled_weights(graph: Graph, weights: list[_Columns], factor: float) -> list[TensorProto] | None:
    """The new initializers; None where an element would overflow, which only large factors make possible."""
    new: dict[str, TensorProto] = {}
    for each in weights:
        tensor = graph.model.tensor(new[each.name]) if each.name in new else graph.constant(each.name)
        assert tensor is not None
        stretch = None if each.axis is None else Stretch(each.axis, each.start, each.stop)
        weight = scaled_weight(graph.model, tensor, np.array(factor), stretch)
        if weight is None:
            return None
        new[each.name] = weight
    return list(new.values())


def _is_closed(graph: Graph, cone: _Cone) -> bool:
    """Whether nobody reads a scaled value but nodes that are scaled by it."""
    return all(
        id(reader) in cone.through and name in cone.through[id(reader)]
        for name in cone.values
        for reader in graph.consumers(name)
    )


def _grow(graph: Graph, context: Context, cone: _Cone, value: str) -> _Cone | None:
    """The cone with all that has to be scaled so that the value is; None where that can't be."""
    if value in cone.values:
        return cone
    node = graph.producer(value)
    if node is None or node.op_type == "Constant":
        return _with_constant(graph, context, cone, value)
    if (
        graph.is_output(value)
        or value in context.pinned
        or len(cone.nodes) > _MOST_NODES
        or node.domain not in DEFAULT_DOMAINS
    ):
        return None
    if node.op_type == "Split" and (columns := _columns_behind(graph, context, node, value)) is not None:
        cone.values.add(value)
        cone.weights += columns
        return cone
    cone.nodes[id(node)] = node
    cone.values.update(name for name in node.output if name)
    if node.op_type in _HAND_ON or node.op_type == "Split":
        return _through(graph, context, cone, node, [node.input[0]])
    if node.op_type in ("Add", "Sub", "Concat"):
        return _through(graph, context, cone, node, list(node.input))
    if node.op_type in ("Mul", "MatMul"):
        return _through_one_of(graph, context, cone, node)
    if node.op_type == "Div":
        return _through(graph, context, cone, node, [node.input[0]])
    if node.op_type == "Gemm":
        return _through(graph, context, cone, node, [name for name in node.input[1:] if name])
    return None


def _through(graph: Graph, context: Context, cone: _Cone, node: NodeProto, names: list[str]) -> _Cone | None:
    """Go on through all of these inputs of the node."""
    cone.through[id(node)] = set(names)
    if len(set(node.input)) < len(node.input):
        return None  # x * x is not linear in x, and x + x is met in so few models that it needs no case of its own
    grown: _Cone | None = cone
    for name in names:
        grown = None if grown is None else _grow(graph, context, grown, name)
    return grown


def _through_one_of(graph: Graph, context: Context, cone: _Cone, node: NodeProto) -> _Cone | None:
    """Go on through one operand of a product; of a MatMul, through its weight if it has one."""
    constants_first = cone.constants_first or node.op_type == "MatMul"
    for name in sorted(node.input, key=lambda name: (graph.constant(name) is None) is constants_first):
        grown = _through(graph, context, cone.copy(), node, [name])
        if grown is not None and (node.op_type == "Mul" or grown.weights):
            return grown
    return None


def _with_constant(graph: Graph, context: Context, cone: _Cone, name: str) -> _Cone | None:
    values = float_values(graph, name, at_most=1 << 16)
    if values is not None and not values.any():
        return cone
    readers = graph.consumers(name)
    weight = private_weight(graph, context, name, readers[0]) if len(readers) == 1 else None
    if weight is None or weight.byte_count > _LARGEST_WEIGHT_BYTES:
        return None
    cone.weights.append(_Columns(name))
    return cone


class _Stretch(NamedTuple):
    """Where one part of a Split lies in the whole: the axis, from and to where on it, and how long the axis is."""

    axis: int
    start: int
    stop: int
    total: int


def _columns_behind(graph: Graph, context: Context, split: NodeProto, value: str) -> list[_Columns] | None:
    """The weight and bias columns that one part of a Split of a MatMul or Gemm is made of; None where it is no such."""
    stretch = _stretch_of(graph, split, value)
    reader, name, found = split, split.input[0], list[_Columns]()
    while stretch is not None:
        node, shape = graph.producer(name), graph.shape_of(name)
        if node is None or shape is None or graph.only_consumer(name) is not reader or name in context.pinned:
            return None
        if node.domain not in DEFAULT_DOMAINS:
            return None
        is_last = stretch.axis == len(shape) - 1
        if node.op_type == "Transpose":
            permutation = permutation_of(graph, node)
            stretch = None if permutation is None else stretch._replace(axis=permutation[stretch.axis])
            reader, name = node, node.input[0]
        elif node.op_type == "Reshape":
            stretch = _before_reshape(graph.shape_of(node.input[0]), shape, stretch)
            reader, name = node, node.input[0]
        elif node.op_type == "Add" and is_last:
            bias = next((each for each in node.input if graph.constant(each) is not None), "")
            columns = _bias_columns(graph, context, node, bias, stretch)
            stretch = None if columns is None else stretch
            found += columns or []
            reader, name = node, node.input[0] if node.input[1] == bias else node.input[1]
        elif node.op_type in ("MatMul", "Gemm") and is_last:
            bias = input_name(node, 2)
            columns = _bias_columns(graph, context, node, bias, stretch) if bias else []
            weight = private_weight(graph, context, node.input[1], node)
            axis = 0 if attribute(node, "transB", 0) else 1
            if weight is None or columns is None or len(weight.shape) != 2 or weight.shape[axis] != stretch.total:
                return None
            return [*found, *columns, _Columns(node.input[1], axis, stretch.start, stretch.stop)]
        else:
            return None
    return None


def _stretch_of(graph: Graph, split: NodeProto, value: str) -> _Stretch | None:
    """Where the value, an output of the Split, lies in its input."""
    shapes = [graph.shape_of(name) for name in split.output]
    rank = len(shapes[0] or ())
    if not rank or any(shape is None or len(shape) != rank for shape in shapes):
        return None
    axis, index = attribute(split, "axis", 0) % rank, list(split.output).index(value)
    sizes = [size for shape in shapes if shape is not None and isinstance(size := shape[axis], int)]
    if len(sizes) < len(shapes):
        return None
    return _Stretch(axis, sum(sizes[:index]), sum(sizes[: index + 1]), sum(sizes))


def _before_reshape(source: Shape | None, target: Shape, stretch: _Stretch) -> _Stretch | None:
    """Where a stretch of the reshaped value lies in the value before: on an axis with as much in front of it."""
    for axis, size in enumerate(source or ()):
        if source is None or not isinstance(size, int) or _amount(source[:axis]) != _amount(target[: stretch.axis]):
            continue
        for stop in range(stretch.axis + 1, len(target) + 1):
            if _amount(target[stretch.axis : stop]) == (size, ()):
                width = size // max(stretch.total, 1)
                return _Stretch(axis, stretch.start * width, stretch.stop * width, size)
    return None


def _amount(dims: Shape) -> tuple[int, tuple[str, ...]] | None:
    """The product of these sizes: a number, and symbols; None where one is unknown."""
    if None in dims:
        return None
    return math.prod(dim for dim in dims if isinstance(dim, int)), tuple(
        sorted(dim for dim in dims if isinstance(dim, str))
    )


def _bias_columns(
    graph: Graph, context: Context, node: NodeProto, bias: str, stretch: _Stretch
) -> list[_Columns] | None:
    """The columns of a constant bias, [] where they are zeros; None where others read it, or it is of another shape."""
    values = float_values(graph, bias)
    if values is None or values.shape != (stretch.total,):
        return None
    if not values[stretch.start : stretch.stop].any():
        return []
    if private_weight(graph, context, bias, node) is None:
        return None
    return [_Columns(bias, 0, stretch.start, stretch.stop)]
