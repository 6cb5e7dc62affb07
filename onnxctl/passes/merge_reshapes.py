"""Reshape once where a tensor is reshaped several times in a row, and not at all where it ends as it began.

Reshape, Flatten, Squeeze, Unsqueeze, and a Transpose that moves only axes of size 1, keep the elements in their order:
the last of a chain decides the shape. Two neighbours become
- nothing, where the result has the shape of the first one's input (sizes or symbols, none unknown);
- one Unsqueeze or Squeeze of all their axes, where both are one;
- one Reshape to a constant shape, where sizes and symbols are known well enough (see `semantics.reshape_target`);
- one Reshape by the second one's own shape input, where that has no 0 (which would copy a size of the tensor between).
A Reshape that needs a size of -1 can't be given a tensor without elements; exporters write such ones everywhere, and
no size is taken for 0 here. Opsets 5 on. Left alone: a first node that others read too, unless both vanish;
shapes that would be larger than what they replace.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, bypass, freed_bytes, same_type, standard_nodes, written_bytes
from onnxctl.passes.semantics import (
    add_integers,
    integers,
    integers_bytes,
    permutation_of,
    reshape_target,
    squeezed_axes,
    unsqueezed_axes,
)

_RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
_FIRST_OPSET_WITH_SHAPE_AS_INPUT = 5
_FIRST_OPSET_WITH_AXES_AS_INPUT = 13


def merge_reshapes(graph: Graph, context: Context) -> int:
    """Merge neighbours that only change the shape; returns how many nodes went."""
    if graph.opset() < _FIRST_OPSET_WITH_SHAPE_AS_INPUT:
        return 0
    found = 0
    for node in standard_nodes(graph, *_RESHAPING):
        first = graph.producer(node.input[0])
        if first is not None and is_standard(first, *_RESHAPING) and _keeps_order(graph, node):
            found += _keeps_order(graph, first) and _merge(graph, context, first, node)
    return found


def _merge(graph: Graph, context: Context, first: NodeProto, second: NodeProto) -> bool:
    source, result = first.input[0], second.output[0]
    if same_type(graph, source, result):
        return bypass(graph, context, second, source)
    if graph.only_consumer(first.output[0]) is not second:
        context.skip(second, "others read what the first of the two gives")
        return False
    reason = _replace(graph, context, first, second)
    if reason:
        context.skip(second, reason)
        return False
    graph.remove(second)
    graph.remove(first)
    return True


def _replace(graph: Graph, context: Context, first: NodeProto, second: NodeProto) -> str:
    """Put one node that makes the second one's result of the first one's input before it; returns why not, or ""."""
    axes = _joint_axes(graph, first, second)
    wanted = _target(graph, first, second) if axes is None else axes
    if wanted is None:
        return "the sizes between are not known well enough"
    op_type, near = ("Reshape", "shape") if axes is None else (second.op_type, "axes")
    inputs, attributes = [first.input[0]], {}
    if isinstance(wanted, str):
        inputs.append(wanted)
    elif axes is not None and graph.opset() < _FIRST_OPSET_WITH_AXES_AS_INPUT:
        attributes["axes"] = axes
    else:
        node = NodeProto(op_type=op_type, input=inputs, output=second.output, name=second.name or None)
        freed = freed_bytes(graph, context, [*first.input[1:], *second.input[1:]], first, second)
        added = written_bytes(node) + integers_bytes(graph, len(wanted), near=near)
        if not context.afford(added, freed + written_bytes(first, second)):
            return "a shape to write down would be larger than what it replaces"
        inputs.append(add_integers(graph, wanted, near=near, before=second))
    graph.add_node(op_type, inputs, list(second.output), before=second, name=second.name, attributes=attributes)
    return ""


def _joint_axes(graph: Graph, first: NodeProto, second: NodeProto) -> list[int] | None:
    if first.op_type == second.op_type == "Unsqueeze":
        inner, outer = unsqueezed_axes(graph, first), unsqueezed_axes(graph, second)
        if inner is None or outer is None:
            return None
        axes = set(outer)
        for axis in inner:  # ascending: each outer axis at or before it moves it back by one
            place = -1
            for _ in range(axis + 1):
                place += 1
                while place in outer:
                    place += 1
            axes.add(place)
        return sorted(axes)
    if first.op_type == second.op_type == "Squeeze":
        inner, outer = squeezed_axes(graph, first), squeezed_axes(graph, second)
        shape = graph.shape_of(first.input[0])
        if inner is None or outer is None or shape is None:
            return None
        left = [axis for axis in range(len(shape)) if axis not in inner]
        return sorted([*inner, *(left[axis] for axis in outer)])
    return None


def _target(graph: Graph, first: NodeProto, second: NodeProto) -> str | list[int] | None:
    """The shape of the one Reshape: the second one's own input, or numbers."""
    source, target = graph.shape_of(first.input[0]), graph.shape_of(second.output[0])
    wanted = reshape_target(source, target) if source is not None and target is not None else None
    if second.op_type == "Reshape":
        given = integers(graph, second.input[1])
        if given is not None and 0 not in given and (wanted is None or wanted == given):
            return str(second.input[1])
    return wanted


def _keeps_order(graph: Graph, node: NodeProto) -> bool:
    if node.op_type != "Transpose":
        return True
    shape, permutation = graph.shape_of(node.input[0]), permutation_of(graph, node)
    if shape is None or permutation is None or len(permutation) != len(shape):
        return False
    moved = [axis for axis in permutation if shape[axis] != 1]
    return moved == sorted(moved)
