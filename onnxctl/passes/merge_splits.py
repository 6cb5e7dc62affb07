"""Split once what is split again: a part of a Split that nobody but another Split reads, along the same axis.

Split(x, [a, b + c]) = p, q and Split(q, [b, c]) = r, s is Split(x, [a, b, c]) = p, r, s. Exact. Opset 2 on, in which
the sizes can be stated. Left alone: sizes that are computed, axes that can't be compared, a part that others read
too, and sizes that would be larger than what they replace.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.attributes import set_attribute
from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, freed_bytes, standard_nodes, written_bytes
from onnxctl.passes.pattern import maker
from onnxctl.passes.semantics import add_integers, axis_of, integers_bytes, rank_of, split_sizes

_FIRST_OPSET = 2
_FIRST_OPSET_WITH_SIZES_AS_INPUT = 13


def merge_splits(graph: Graph, context: Context) -> int:
    """Let Splits make the parts of their parts; returns how many Splits went."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_merge(graph, context, node) for node in standard_nodes(graph, "Split"))


def _merge(graph: Graph, context: Context, second: NodeProto) -> bool:
    first, rank = maker(graph, second.input[0], "Split"), rank_of(graph, second.input[0])
    if first is None or rank is None or not all(first.output):
        return False
    axis = axis_of(first, rank)
    if axis is None or axis != axis_of(second, rank):
        return False
    sizes, inner = split_sizes(graph, first), split_sizes(graph, second)
    if sizes is None or inner is None or len(sizes) != len(first.output) or len(inner) != len(second.output):
        context.skip(second, "its sizes, or those of the Split before it, are computed")
        return False
    place = list(first.output).index(second.input[0])
    if sum(inner) != sizes[place] or not all(second.output):
        return False
    if not _is_read_by(graph, context, second.input[0], second):
        context.skip(second, "others read what it splits")
        return False
    sizes[place : place + 1] = inner
    outputs = list(first.output)
    outputs[place : place + 1] = second.output
    merged = NodeProto(op_type="Split", input=first.input[:1], output=outputs, name=first.name or None)
    set_attribute(merged, "axis", axis)
    if graph.opset() < _FIRST_OPSET_WITH_SIZES_AS_INPUT:
        set_attribute(merged, "split", sizes)
    else:
        freed = freed_bytes(graph, context, [*first.input[1:], *second.input[1:]], first, second)
        added = written_bytes(merged) + integers_bytes(graph, len(sizes), near="sizes")
        if not context.afford(added, freed + written_bytes(first, second)):
            context.skip(second, "the sizes of all parts would be larger than what they replace")
            return False
        merged.input.append(add_integers(graph, sizes, near="sizes", before=first))
    graph.insert(merged, before=first)
    graph.remove(first)
    graph.remove(second)
    return True


def _is_read_by(graph: Graph, context: Context, name: str, reader: NodeProto) -> bool:
    return graph.only_consumer(name) is reader and not graph.is_output(name) and name not in context.pinned
