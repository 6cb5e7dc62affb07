"""Rearrange where pixels are picked apart: Concat of every phase of strided Slices is Reshape, Transpose, Reshape.

Space to depth, as patch merging is exported: x[:, i::2, j::2, :] for all i and j, concatenated along the last axis.
With steps s and t, x[b, h, w, c] is reshaped to [b, h/s, s, w/t, t, c], the phases are moved before c in the order of
the Slices, and joined with c. Exact. Opset 10 on (Slices with steps). Left alone: phases that are missing or in no
regular order, sizes that the steps don't divide or that are not known, an axis of Concat other than the last, Slices
that others read.
"""

from __future__ import annotations

from itertools import permutations, product

from onnx import NodeProto

from onnxctl.model.dimensions import Dimension
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.semantics import add_integers, axis_of, cuts_of, reshape_target

_FIRST_OPSET_WITH_STEPS = 10
_NODES_AFTER = 3


def merge_strided_slices(graph: Graph, context: Context) -> int:
    """Replace Concat of all phases; returns how many nodes were saved."""
    if graph.opset() < _FIRST_OPSET_WITH_STEPS:
        return 0
    found = 0
    for node in standard_nodes(graph, "Concat"):
        slices = [graph.producer(name) for name in node.input]
        if len(node.input) < _NODES_AFTER or not all(
            each is not None and is_standard(each, "Slice") for each in slices
        ):
            continue
        sources = {each.input[0] for each in slices if each is not None}
        if len(sources) != 1:
            continue
        if any(graph.only_consumer(name) is not node for name in node.input):
            context.skip(node, "others read the strided Slices that it joins")
            continue
        (source,) = sources
        found += _replace(graph, context, node, [each for each in slices if each is not None], source)
    return found


def _replace(graph: Graph, context: Context, node: NodeProto, slices: list[NodeProto], source: str) -> int:
    shape = context.fact(graph, source).shape
    steps = _steps(graph, slices, shape) if shape is not None else None
    if shape is None or steps is None or axis_of(node, len(shape)) != len(shape) - 1:
        return 0
    order = _order(graph, slices, steps, shape)
    if order is None:
        context.skip(node, "the strided Slices that it joins are not all phases in a regular order")
        return 0
    cut: list[Dimension] = []
    places: dict[int, int] = {}
    kept: list[int] = []
    for axis, size in enumerate(shape):
        kept.append(len(cut))
        if axis in steps:
            assert isinstance(size, int)
            places[axis] = len(cut) + 1
            cut += [size // steps[axis], steps[axis]]
        else:
            cut.append(size)
    permutation = [*kept[:-1], *(places[axis] for axis in order), kept[-1]]
    moved = [cut[axis] for axis in permutation]
    result = context.fact(graph, node.output[0]).shape
    first = reshape_target(shape, tuple(cut))
    last = reshape_target(tuple(moved), result) if result is not None else None
    if first is None or last is None:
        return 0
    apart, turned = graph.fresh_name(f"{node.output[0]}_apart"), graph.fresh_name(f"{node.output[0]}_turned")
    for operator, name, output, values in (
        ("Reshape", source, apart, first),
        ("Reshape", turned, node.output[0], last),
    ):
        target = add_integers(graph, values, near="shape", before=node)
        graph.add_node(operator, [name, target], [output], before=node)
    graph.add_node("Transpose", [apart], [turned], before=node, attributes={"perm": permutation})
    graph.remove(node)
    for each in slices:
        graph.remove(each)
    return len(slices) + 1 - _NODES_AFTER


def _steps(graph: Graph, slices: list[NodeProto], shape: tuple[Dimension, ...]) -> dict[int, int] | None:
    """The step along each axis, the same in all Slices, that divides the axis and leaves every phase once."""
    cuts = cuts_of(graph, slices[0])
    if cuts is None or len(shape) - 1 in cuts:
        return None
    steps = {axis: cut.step for axis, cut in cuts.items()}
    for axis, step in steps.items():
        size = shape[axis]
        if step < 2 or not isinstance(size, int) or size % step or size == 0:
            return None
    return steps


def _order(
    graph: Graph, slices: list[NodeProto], steps: dict[int, int], shape: tuple[Dimension, ...]
) -> tuple[int, ...] | None:
    """The axes whose phases change slowest to fastest from Slice to Slice."""
    sizes = {axis: size for axis in steps if isinstance(size := shape[axis], int)}
    phases: list[dict[int, int]] = []
    for each in slices:
        cuts = cuts_of(graph, each)
        if cuts is None or cuts.keys() != steps.keys():
            return None
        if any(cut.step != steps[axis] or not 0 <= cut.start < cut.step for axis, cut in cuts.items()):
            return None
        if any(len(cut.positions(sizes[axis])) * cut.step != sizes[axis] for axis, cut in cuts.items()):
            return None
        phases.append({axis: cut.start for axis, cut in cuts.items()})
    for order in permutations(steps):
        expected = [
            dict(zip(order, values, strict=True)) for values in product(*(range(steps[axis]) for axis in order))
        ]
        if expected == phases:
            return order
    return None
