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

from dataclasses import dataclass, field

from onnx import NodeProto

from onnxctl.model.dimensions import Dimension, product
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.semantics import add_integers, reshape_target

_FIRST_OPSET_WITH_SHAPE_AS_INPUT = 5

_ELEMENTWISE = frozenset(
    "Abs Cast Ceil Clip Cos Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity LeakyRelu Log Mish Neg Not "
    "Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt Tanh Add Sub Mul Div Pow Where Equal Greater "
    "Less And Or GreaterOrEqual LessOrEqual Max Min Sum IsNaN IsInf".split()
)
_ALONG_THE_LAST_AXIS = {"LayerNormalization": -1, "RMSNormalization": -1, "Softmax": -1, "LogSoftmax": -1}

Shape = tuple[Dimension, ...]


@dataclass(slots=True)
class _Region:
    """Nodes that can work on rows; values that they make or read, all of the same leading sizes."""

    leading: Shape
    nodes: dict[int, NodeProto] = field(default_factory=dict)
    values: dict[str, Dimension] = field(default_factory=dict)
    """Name of each value of the leading sizes, with the size of its last axis."""

    def rows(self, name: str) -> Shape:
        return product(self.leading), self.values[name]


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
            region = _grown(graph, context, outer, full[:-1])
            seen.update(region.values)
            saved = _saved(graph, context, region)
            if saved > 0:
                _rewrite(graph, context, region)
                found += saved
    return found


# ---------------------------------------------------------------- the region


def _grown(graph: Graph, context: Context, start: str, leading: Shape) -> _Region:
    region = _Region(leading)
    waiting = [start]
    while waiting:
        name = waiting.pop()
        shape = context.fact(graph, name).shape
        if name in region.values or shape is None or shape[:-1] != leading or name in context.pinned:
            continue
        region.values[name] = shape[-1]
        maker = graph.producer(name)
        for node in [*graph.consumers(name), *([maker] if maker is not None else [])]:
            if id(node) in region.nodes:
                continue
            inputs = _row_inputs(graph, context, node, leading)
            if inputs is not None:
                region.nodes[id(node)] = node
                waiting += [*inputs, node.output[0]]
    region.values = {
        name: size
        for name, size in region.values.items()
        if id(graph.producer(name)) in region.nodes
        or any(id(reader) in region.nodes for reader in graph.consumers(name))
    }
    return region


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
    if not is_standard(node, *_ELEMENTWISE):
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


def _saved(graph: Graph, context: Context, region: _Region) -> int:
    """How many nodes the rewrite saves; 0 where it can't be written."""
    saved = 0
    for name in region.values:
        maker = graph.producer(name)
        rows = region.rows(name)
        if maker is None or id(maker) not in region.nodes:
            cost = _entry_cost(graph, context, region, name)
        else:
            cost = _exit_cost(graph, context, region, name, rows)
        if cost is None:
            return 0
        saved -= cost
    return saved + sum(_becomes_gemm(graph, context, region, node) for node in region.nodes.values())


def _entry_cost(graph: Graph, context: Context, region: _Region, name: str) -> int | None:
    """What it takes to have the value as rows: a Reshape, unless it is made of rows by one that then goes."""
    maker = graph.producer(name)
    shape, rows = (*region.leading, region.values[name]), region.rows(name)
    if maker is not None and is_standard(maker, "Reshape"):
        source = context.fact(graph, maker.input[0]).shape
        private = all(id(each) in region.nodes for each in graph.consumers(name)) and not graph.is_output(name)
        if source == rows:
            return -1 if private else 0
        if source is not None and private and reshape_target(source, rows) is not None:
            return 0
    if reshape_target(shape, rows) is None:
        return None
    constant = graph.constant(name)
    return 0 if constant is not None and graph.only_consumer(name) is not None else 1


def _exit_cost(graph: Graph, context: Context, region: _Region, name: str, rows: Shape) -> int | None:
    """What it takes to give the value back: nothing to Reshapes, one Reshape for all other readers together."""
    cost, needs_back = 0, graph.is_output(name)
    for reader in graph.consumers(name):
        if id(reader) in region.nodes:
            continue
        target = context.fact(graph, reader.output[0]).shape if is_standard(reader, "Reshape") else None
        if target is None or name in list(reader.input)[1:]:
            needs_back = True
        elif target == rows:
            cost -= 0 if graph.is_output(reader.output[0]) else 1
        elif reshape_target(rows, target) is None:
            return None
    if needs_back and reshape_target(rows, (*region.leading, region.values[name])) is None:
        return None
    return cost + needs_back


def _becomes_gemm(graph: Graph, context: Context, region: _Region, node: NodeProto) -> bool:
    if not is_standard(node, "MatMul"):
        return False
    add = graph.only_consumer(node.output[0])
    if add is None or not is_standard(add, "Add") or id(add) not in region.nodes:
        return False
    bias = next((name for name in add.input if name != node.output[0]), "")
    return graph.constant(bias) is not None and len(context.fact(graph, bias).shape or ()) == 1


# ---------------------------------------------------------------- the rewrite


def _rewrite(graph: Graph, context: Context, region: _Region) -> None:
    new = {name: graph.fresh_name(f"{name}_rows") for name in region.values}
    for name in region.values:
        maker = graph.producer(name)
        if maker is None or id(maker) not in region.nodes:
            new[name] = _enter(graph, context, region, name, new[name])
    for node in region.nodes.values():
        _leave(graph, context, region, node.output[0], new[node.output[0]], node)
    for node in region.nodes.values():
        graph.set_inputs(node, [new.get(name, name) for name in node.input])
        graph.set_outputs(node, [new[node.output[0]]])
        for each in node.attribute:
            if each.name == "axis" and node.op_type in _ALONG_THE_LAST_AXIS:
                each.i = -1


def _enter(graph: Graph, context: Context, region: _Region, name: str, new: str) -> str:
    """Make the value rows; returns the name that they have."""
    maker = graph.producer(name)
    source, shape = name, (*region.leading, region.values[name])
    if maker is not None and is_standard(maker, "Reshape"):
        before = context.fact(graph, maker.input[0]).shape
        if before == region.rows(name):
            return maker.input[0]
        if before is not None and reshape_target(before, region.rows(name)) is not None:
            source, shape = maker.input[0], before
    reader = next(each for each in graph.consumers(name) if id(each) in region.nodes)
    _add_reshape(graph, source, new, shape, region.rows(name), before=reader)
    return new


def _leave(graph: Graph, context: Context, region: _Region, name: str, new: str, node: NodeProto) -> None:
    """Give readers outside of the region the value from its rows."""
    rows = region.rows(name)
    needs_back = graph.is_output(name)
    for reader in graph.consumers(name):
        if id(reader) in region.nodes:
            continue
        target = context.fact(graph, reader.output[0]).shape if is_standard(reader, "Reshape") else None
        if target is None or name in list(reader.input)[1:]:
            needs_back = True
            continue
        result = reader.output[0]
        if target == rows and not graph.is_output(result):
            graph.replace_uses(result, new)
        else:
            _add_reshape(graph, new, result, rows, target, before=reader)
        graph.remove(reader)
    if needs_back:
        _add_reshape(graph, new, name, rows, (*region.leading, region.values[name]), before=node)


def _add_reshape(graph: Graph, source: str, result: str, shape: Shape, target: Shape, *, before: NodeProto) -> None:
    wanted = reshape_target(shape, target)
    assert wanted is not None
    name = add_integers(graph, wanted, near="shape", before=before)
    graph.add_node("Reshape", [source, name], [result], before=before)
