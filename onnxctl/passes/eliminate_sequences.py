"""Name the tensors of a sequence instead of packing and unpacking it.

SequenceAt(SplitToSequence(x, split), i) is output i of Split(x); SequenceAt(SequenceConstruct(a, b, ...), i) is one
of a, b, ...; ConcatFromSequence(SequenceConstruct(a, b, ...)) is Concat(a, b, ...) unless it makes a new axis. Exact.
Opsets 11 on. Left alone: positions that are computed or out of range, sizes that are not known, pieces without their
axis (keepdims = 0), sequences that anything else reads.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import Context, bypass, input_name, standard_nodes
from onnxctl.passes.semantics import add_integers, integers

_FIRST_OPSET_WITH_SIZES_AS_INPUT = 13


def eliminate_sequences(graph: Graph, context: Context) -> int:
    """Replace SequenceConstruct and SplitToSequence by what their readers take out; returns how many nodes were."""
    found = 0
    for node in standard_nodes(graph, "SequenceAt"):
        maker = graph.producer(node.input[0])
        if maker is not None and is_standard(maker, "SequenceConstruct"):
            position = _position(graph, node, len(maker.input))
            found += position is not None and bypass(graph, context, node, maker.input[position])
    for node in standard_nodes(graph, "ConcatFromSequence"):
        maker = graph.producer(node.input[0])
        if maker is not None and is_standard(maker, "SequenceConstruct") and not attribute(node, "new_axis", 0):
            _add(graph, node, "Concat", list(maker.input), list(node.output), axis=attribute(node, "axis"))
            graph.remove(node)
            found += 1
    for node in standard_nodes(graph, "SplitToSequence"):
        found += _split(graph, context, node)
    return found


def _split(graph: Graph, context: Context, node: NodeProto) -> bool:
    sizes = _piece_sizes(graph, node)
    readers = graph.consumers(node.output[0])
    if sizes is None or graph.is_output(node.output[0]) or not all(is_standard(each, "SequenceAt") for each in readers):
        context.skip(node, "its pieces are not known, or the sequence is read as a whole")
        return False
    positions = [_position(graph, reader, len(sizes)) for reader in readers]
    if None in positions:
        context.skip(node, "a position in the sequence is computed")
        return False
    named = [reader.output[0] for reader in readers]
    if (len(set(positions)) < len(positions) and any(map(graph.is_output, named))) or context.pinned & set(named):
        context.skip(node, "one piece has two names that must stay")
        return False
    outputs = [graph.fresh_name(f"{node.output[0]}_part") for _ in sizes]
    axis = attribute(node, "axis", 0)
    _add(graph, node, "Split", list(node.input[:1]), outputs, axis=axis, sizes=sizes)
    for position, reader in zip(positions, readers, strict=True):
        assert position is not None
        bypass(graph, context, reader, outputs[position])
    graph.remove(node)
    return True


def _add(
    graph: Graph,
    before: NodeProto,
    op_type: str,
    inputs: list[str],
    outputs: list[str],
    *,
    axis: int,
    sizes: list[int] | None = None,
) -> None:
    attributes: dict[str, int | list[int]] = {"axis": axis}
    if sizes is not None and graph.opset() < _FIRST_OPSET_WITH_SIZES_AS_INPUT:
        attributes["split"] = sizes
    elif sizes is not None:
        inputs = [*inputs, add_integers(graph, sizes, near="sizes", before=before)]
    graph.add_node(op_type, inputs, outputs, before=before, name=before.name, attributes=attributes)


def _position(graph: Graph, node: NodeProto, count: int) -> int | None:
    values = integers(graph, input_name(node, 1))
    if values is None or len(values) != 1 or not -count <= values[0] < count:
        return None
    return values[0] % count


def _piece_sizes(graph: Graph, node: NodeProto) -> list[int] | None:
    shape = graph.shape_of(node.input[0])
    name = input_name(node, 1)
    if not name or shape is None or not -len(shape) <= attribute(node, "axis", 0) < len(shape):
        return None
    given, whole = graph.constant_values(name, at_most=64), shape[attribute(node, "axis", 0)]
    if given is None or given.dtype.kind not in "iu":
        return None
    if given.ndim == 1:
        return [int(size) for size in given]
    size = int(given)
    if not isinstance(whole, int) or size < 1:
        return None
    return [size] * (whole // size) + [whole % size] * (whole % size > 0)
