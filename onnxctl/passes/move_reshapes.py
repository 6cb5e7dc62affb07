"""Keep tensors two-dimensional between Reshapes, as rows, where every row is treated alike.

Exporters reshape to two dimensions before a Gemm and back behind it, again and again. Everything that works element
by element or along the last axis (LayerNormalization, MatMul by a matrix, activations, sums of equal shapes) gives
the same for [batch * seq, width]. A region of such nodes is computed on rows where that saves nodes: Reshapes on its
border that became the identity, and MatMul + Add pairs that can be one Gemm there, outweigh the Reshapes it needs
where it meets other nodes. Values and their order in memory are the same: exact. Opsets 5 on, symbolic sizes too.
Left alone: regions whose border can't be written with constant shapes (more than one unknown size), and those that
would save nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from onnx import NodeProto

from onnxctl.model.dimensions import Dimension, product
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.region import ELEMENTWISE, Region, grow_region
from onnxctl.passes.semantics import add_integers, reshape_target

_FIRST_OPSET_WITH_SHAPE_AS_INPUT = 5

_ALONG_THE_LAST_AXIS = {"LayerNormalization": -1, "RMSNormalization": -1, "Softmax": -1, "LogSoftmax": -1}

Shape = tuple[Dimension, ...]


class _Rows(NamedTuple):
    """A region whose values have the same leading sizes, and what they are as rows."""

    region: Region
    context: Context
    leading: Shape

    def full(self, name: str) -> Shape:
        """The value's shape as it is."""
        return (*self.leading, self._width(name))

    def flat(self, name: str) -> Shape:
        """The value's shape as rows."""
        return product(self.leading), self._width(name)

    def _width(self, name: str) -> Dimension:
        shape = self.context.fact(self.region.graph, name).shape
        assert shape is not None
        return shape[-1]


def move_reshapes(graph: Graph, context: Context) -> int:
    """Compute regions between Reshapes on rows where that saves nodes; returns how many Reshapes that saved."""
    if graph.opset() < _FIRST_OPSET_WITH_SHAPE_AS_INPUT:
        return 0
    found = 0
    seen = set[str]()
    for node in standard_nodes(graph, "Reshape"):
        for inner, outer in ((node.input[0], node.output[0]), (node.output[0], node.input[0])):
            rows, full = context.fact(graph, inner).shape, context.fact(graph, outer).shape
            if rows is None or full is None or len(rows) != 2 or len(full) < 3 or rows[-1] != full[-1]:
                continue
            if outer in seen or 0 in full or not graph.contains(node):
                continue
            rows_of = _grown(graph, context, outer, full[:-1])
            seen.update(rows_of.region.values)
            saved = _saved(graph, context, rows_of)
            if saved > 0:
                _rewrite(graph, context, rows_of)
                found += saved
    return found


# ---------------------------------------------------------------- the region


def _grown(graph: Graph, context: Context, start: str, leading: Shape) -> _Rows:
    def fits(name: str) -> bool:
        shape = context.fact(graph, name).shape
        return shape is not None and shape[:-1] == leading and name not in context.pinned

    def moved_by(node: NodeProto) -> list[str] | None:
        inputs = _row_inputs(graph, context, node, leading)
        return None if inputs is None else [*inputs, node.output[0]]

    return _Rows(grow_region(graph, start, fits, moved_by), context, leading)


def _row_inputs(graph: Graph, context: Context, node: NodeProto, leading: Shape) -> list[str] | None:
    """The inputs of the leading sizes of a node that works on rows alike, None where it does not."""
    if len([name for name in node.output if name]) != 1 or graph.subgraphs(node):
        return None
    result = context.fact(graph, node.output[0]).shape
    if result is None or result[:-1] != leading or any(each.ref_attr_name for each in node.attribute):
        return None
    if is_standard(node, *_ALONG_THE_LAST_AXIS):
        axis = attribute(node, "axis", -1)
        return [node.input[0]] if axis in (-1, len(leading)) else None
    shapes = {name: context.fact(graph, name).shape for name in node.input if name}
    if is_standard(node, "MatMul"):
        left, right = (shapes[name] for name in node.input)
        fits = left is not None and left[:-1] == leading and right is not None and len(right) == 2
        return [node.input[0]] if fits else None
    if not is_standard(node, *ELEMENTWISE):
        return None
    rows = []
    for name, shape in shapes.items():
        if shape is None:
            return None
        if shape[:-1] == leading and len(shape) == len(leading) + 1:
            rows.append(name)
        elif len(shape) > 2 or (len(shape) == 2 and shape[0] != 1):
            return None
    return rows or None


# ---------------------------------------------------------------- what it costs


def _saved(graph: Graph, context: Context, rows: _Rows) -> int:
    """How many nodes the rewrite saves; 0 where it can't be written."""
    saved = 0
    for name in rows.region.values:
        made = rows.region.makes(name)
        cost = _exit_cost(graph, context, rows, name) if made else _entry_cost(graph, context, rows, name)
        if cost is None:
            return 0
        saved -= cost
    return saved + sum(_becomes_gemm(graph, context, rows.region, node) for node in rows.region.nodes.values())


def _entry_cost(graph: Graph, context: Context, rows: _Rows, name: str) -> int | None:
    """What it takes to have the value as rows: a Reshape, unless it is made of rows by one that then goes."""
    maker = graph.producer(name)
    if maker is not None and is_standard(maker, "Reshape"):
        source, private = context.fact(graph, maker.input[0]).shape, rows.region.is_private(name)
        if source == rows.flat(name):
            return -1 if private else 0
        if source is not None and private and reshape_target(source, rows.flat(name)) is not None:
            return 0
    if reshape_target(rows.full(name), rows.flat(name)) is None:
        return None
    constant = graph.constant(name)
    return 0 if constant is not None and graph.only_consumer(name) is not None else 1


def _exit_cost(graph: Graph, context: Context, rows: _Rows, name: str) -> int | None:
    """What it takes to give the value back: nothing to Reshapes, one Reshape for all other readers together."""
    cost, needs_back = 0, graph.is_output(name)
    for reader in rows.region.outside_readers(name):
        target = _reshaped(graph, context, reader, name)
        if target is None:
            needs_back = True
        elif target == rows.flat(name):
            cost -= 0 if graph.is_output(reader.output[0]) else 1
        elif reshape_target(rows.flat(name), target) is None:
            return None
    if needs_back and reshape_target(rows.flat(name), rows.full(name)) is None:
        return None
    return cost + needs_back


def _reshaped(graph: Graph, context: Context, reader: NodeProto, name: str) -> Shape | None:
    """The shape that the reader gives the value, where all it does is to reshape it."""
    if not is_standard(reader, "Reshape") or name in list(reader.input)[1:]:
        return None
    return context.fact(graph, reader.output[0]).shape


def _becomes_gemm(graph: Graph, context: Context, region: Region, node: NodeProto) -> bool:
    if not is_standard(node, "MatMul"):
        return False
    add = graph.only_consumer(node.output[0])
    if add is None or not is_standard(add, "Add") or id(add) not in region.nodes:
        return False
    bias = next((name for name in add.input if name != node.output[0]), "")
    return graph.constant(bias) is not None and len(context.fact(graph, bias).shape or ()) == 1


# ---------------------------------------------------------------- the rewrite


def _rewrite(graph: Graph, context: Context, rows: _Rows) -> None:
    region = rows.region
    new = {name: graph.fresh_name(f"{name}_rows") for name in region.values}
    for name in region.values:
        if not region.makes(name):
            new[name] = _enter(graph, context, rows, name, new[name])
    for node in region.nodes.values():
        _leave(graph, context, rows, node.output[0], new[node.output[0]], node)
    for node in region.nodes.values():
        graph.set_inputs(node, [new.get(name, name) for name in node.input])
        graph.set_outputs(node, [new[node.output[0]]])
        for each in node.attribute:
            if each.name == "axis" and node.op_type in _ALONG_THE_LAST_AXIS:
                each.i = -1


def _enter(graph: Graph, context: Context, rows: _Rows, name: str, new: str) -> str:
    """Make the value rows; returns the name that they have."""
    maker = graph.producer(name)
    source, shape = name, rows.full(name)
    if maker is not None and is_standard(maker, "Reshape"):
        before = context.fact(graph, maker.input[0]).shape
        if before == rows.flat(name):
            return str(maker.input[0])
        if before is not None and reshape_target(before, rows.flat(name)) is not None:
            source, shape = maker.input[0], before
    reader = next(each for each in graph.consumers(name) if id(each) in rows.region.nodes)
    _add_reshape(graph, source, new, shape, rows.flat(name), before=reader)
    return new


def _leave(graph: Graph, context: Context, rows: _Rows, name: str, new: str, node: NodeProto) -> None:
    """Give readers outside of the region the value from its rows."""
    needs_back = graph.is_output(name)
    for reader in rows.region.outside_readers(name):
        target = _reshaped(graph, context, reader, name)
        if target is None:
            needs_back = True
            continue
        result = reader.output[0]
        if target == rows.flat(name) and not graph.is_output(result):
            graph.replace_uses(result, new)
        else:
            _add_reshape(graph, new, result, rows.flat(name), target, before=reader)
        graph.remove(reader)
    if needs_back:
        _add_reshape(graph, new, name, rows.flat(name), rows.full(name), before=node)


def _add_reshape(graph: Graph, source: str, result: str, shape: Shape, target: Shape, *, before: NodeProto) -> None:
    wanted = reshape_target(shape, target)
    assert wanted is not None
    name = add_integers(graph, wanted, near="shape", before=before)
    graph.add_node("Reshape", [source, name], [result], before=before)
