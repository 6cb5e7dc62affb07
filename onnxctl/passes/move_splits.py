"""Reshape and transpose once and split then, where the parts of a Split are all reshaped and transposed alike.

- Where every part of the last axis is reshaped from [..., h_i * d] to [..., h_i, d] with the same d, the whole is
  reshaped to [..., h, d] with h the sum of the h_i, and split along h.
- Where at least two parts are transposed by one permutation p, the whole is, and split along the place the axis moved
  to. A part that is transposed otherwise, by q, is transposed from p to q behind: `[0, 2, 3, 1]`, the transposed key of
  an attention, is `[0, 2, 1, 3]` with its last two axes swapped, which MatMul kernels take in.
- Where every part is given to one operator that works element by element, with the same attributes and the same
  scalars beside, the whole is.

Every element goes where it went before: exact. Opset 11 on (an axis of Split may count from behind). Left alone: parts
that anybody else reads, shapes that are not known, targets that can't be stated by a constant, and what would make the
model larger: the new sizes are new constants.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from onnx import NodeProto

from onnxctl.model.attributes import AttributeValue, attribute_value
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.model.types import TensorType
from onnxctl.passes.base import Context, input_name, standard_nodes
from onnxctl.passes.pattern import keeps_rank
from onnxctl.passes.semantics import add_integers, composed, integers, inverse, permutation_of, reshape_target

Shape = tuple[int | str | None, ...]

_FIRST_OPSET = 11
_FIRST_OPSET_WITH_SIZES_AS_INPUT = 13

_SPLIT_BYTES = 100
"""A Split and its sizes beside names and numbers: headers, attributes, and the names that are made up here."""

_ELEMENTWISE = frozenset(
    "Abs Cast Ceil Cos Elu Erf Exp Floor Gelu HardSigmoid HardSwish LeakyRelu Log Mish Neg Not Reciprocal Relu Round "
    "Selu Sigmoid Sign Sin Softplus Softsign Sqrt Tanh Add Sub Mul Div Pow Clip".split()
)


def move_splits(graph: Graph, context: Context) -> int:
    """Move Splits behind what is done to all their parts; returns how many nodes that saved."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = 0
    for node in standard_nodes(graph, "Split"):
        moved: NodeProto | None = node
        while moved is not None:
            moved, saved = _move(graph, context, moved)
            found += saved
    return found


def _move(graph: Graph, context: Context, split: NodeProto) -> tuple[NodeProto | None, int]:
    """The Split in its new place, and how many nodes that saved; None where it stays."""
    whole = graph.shape_of(split.input[0])
    readers = [graph.only_consumer(name) for name in split.output if name]
    if whole is None or len(readers) < 2 or len(readers) != len(split.output):
        return None, 0
    parts = [graph.shape_of(name) for name in split.output]
    axis = attribute(split, "axis", 0) % len(whole)
    nodes = [reader for reader in readers if reader is not None]
    if len(nodes) < len(readers) or any(part is None or len(part) != len(whole) for part in parts):
        return None, 0
    if any(name in context.pinned for name in split.output):
        return None, 0
    sizes = [part[axis] for part in parts if part is not None]
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) < len(sizes) or any(node.input[0] != name for node, name in zip(nodes, split.output, strict=True)):
        return None, 0
    kinds = {node.op_type for node in nodes}
    if len(kinds) != 1 or any(node.domain not in ("", "ai.onnx") or len(node.output) != 1 for node in nodes):
        return None, 0
    added = _SPLIT_BYTES + sum(map(len, split.output)) + 8 * (len(nodes) + len(whole) + 1)
    if not context.has_room(added, sum(node.ByteSize() for node in [split, *nodes])):
        context.skip(split, "the constants that its new place needs would make the model larger")
        return None, 0
    if kinds == {"Reshape"} and axis == len(whole) - 1:
        return _behind_reshapes(graph, context, split, nodes, whole, known)
    if kinds == {"Transpose"}:
        return _behind_transposes(graph, split, nodes, axis, known)
    if kinds <= _ELEMENTWISE:
        return _behind_elementwise(graph, split, nodes, axis, known)
    return None, 0


def _behind_reshapes(
    graph: Graph, context: Context, split: NodeProto, nodes: Sequence[NodeProto], whole: Shape, sizes: Sequence[int]
) -> tuple[NodeProto | None, int]:
    results = [graph.shape_of(node.output[0]) for node in nodes]
    prefix = whole[:-1]
    heads: list[int] = []
    for result, size in zip(results, sizes, strict=True):
        if result is None or len(result) != len(whole) + 1 or None in prefix or result[:-2] != prefix:
            return None, 0
        if not isinstance(result[-2], int) or not isinstance(result[-1], int) or result[-2] * result[-1] != size:
            return None, 0
        heads.append(result[-2])
    width = (results[0] or (0,))[-1]
    if any(result is None or result[-1] != width for result in results):
        return None, 0
    target = _target(graph, nodes, prefix, sum(heads), int(width or 0))
    if target is None:
        context.skip(split, "the shape its parts are reshaped to can't be stated by a constant")
        return None, 0
    axis = len(whole) - 1
    target_name = add_integers(graph, target, near="heads_shape", before=split)
    joined = _joined(graph, split, "Reshape", [split.input[0], target_name], nodes[0], (*prefix, sum(heads), width))
    return _split(graph, split, nodes, joined, axis, heads), len(nodes) - 1


def _target(graph: Graph, nodes: Sequence[NodeProto], prefix: Shape, heads: int, width: int) -> list[int] | None:
    """The constant shape for the whole: that of the first part with its own number of heads, or one from the shapes."""
    stated = integers(graph, input_name(nodes[0], 1))
    if stated is not None and len(stated) == len(prefix) + 2 and not attribute(nodes[0], "allowzero", 0):
        return [*stated[:-2], heads, width]
    return reshape_target((*prefix, heads * width), (*prefix, heads, width))


def _behind_transposes(
    graph: Graph, split: NodeProto, nodes: Sequence[NodeProto], axis: int, sizes: Sequence[int]
) -> tuple[NodeProto | None, int]:
    found = [permutation_of(graph, node) for node in nodes]
    permutations = [each for each in found if each is not None]
    if len(permutations) < len(nodes):
        return None, 0
    common, count = Counter(permutations).most_common(1)[0]
    whole = graph.shape_of(split.input[0])
    if count < 2 or whole is None:
        return None, 0
    for node, own in zip(nodes, permutations, strict=True):
        if own != common:
            turned = graph.fresh_name(node.output[0])
            back = composed(inverse(common), own)
            graph.add_node(
                "Transpose", [turned], [node.output[0]], before=node, name=node.name, attributes={"perm": back}
            )
            _note_type(graph, turned, node.output[0], inverse(back))
            graph.set_outputs(node, [turned])
    shape = tuple(whole[place] for place in common)
    joined = _joined(graph, split, "Transpose", [split.input[0]], nodes[0], shape, {"perm": common})
    return _split(graph, split, nodes, joined, common.index(axis), sizes), count - 1


def _behind_elementwise(
    graph: Graph, split: NodeProto, nodes: Sequence[NodeProto], axis: int, sizes: Sequence[int]
) -> tuple[NodeProto | None, int]:
    first = nodes[0]
    for node in nodes:
        if list(node.input[1:]) != list(first.input[1:]) or list(node.attribute) != list(first.attribute):
            return None, 0
        for constant in filter(None, node.input[1:]):
            tensor = graph.constant(constant)
            if tensor is None or tensor.element_count != 1 or not keeps_rank(graph, split.input[0], constant):
                return None, 0
    attributes = {each.name: attribute_value(each) for each in first.attribute}
    whole = graph.shape_of(split.input[0]) or ()
    inputs = [split.input[0], *first.input[1:]]
    joined = _joined(graph, split, first.op_type, inputs, first, whole, attributes)
    return _split(graph, split, nodes, joined, axis, sizes), len(nodes) - 1


def _joined(
    graph: Graph,
    split: NodeProto,
    op_type: str,
    inputs: Sequence[str],
    like: NodeProto,
    shape: Shape,
    attributes: dict[str, AttributeValue] | None = None,
) -> str:
    """The new value that the operator makes of the whole."""
    name = graph.fresh_name(like.output[0])
    element_type = graph.element_type(like.output[0])
    if element_type is not None:
        graph.inferred[name] = TensorType(element_type, shape)
    graph.add_node(op_type, list(inputs), [name], before=split, name=like.name, attributes=attributes)
    return name


def _split(
    graph: Graph, split: NodeProto, nodes: Sequence[NodeProto], joined: str, axis: int, sizes: Sequence[int]
) -> NodeProto:
    """A Split of the joined value into what the nodes made; the old Split and the nodes go."""
    results = [node.output[0] for node in nodes]
    inputs, attributes = [joined], dict[str, AttributeValue](axis=axis)
    if graph.opset() >= _FIRST_OPSET_WITH_SIZES_AS_INPUT:
        inputs.append(add_integers(graph, sizes, near="split_sizes", before=split))
    else:
        attributes["split"] = list(sizes)
    moved = graph.add_node("Split", inputs, results, before=split, name=split.name, attributes=attributes)
    for node in nodes:
        graph.remove(node)
    graph.remove(split)
    return moved


def _note_type(graph: Graph, name: str, like: str, permutation: Sequence[int]) -> None:
    """The type of a value that, transposed by the inverse permutation, has the type of another."""
    element_type, shape = graph.element_type(like), graph.shape_of(like)
    if element_type is not None and shape is not None:
        graph.inferred[name] = TensorType(element_type, tuple(shape[place] for place in permutation))
