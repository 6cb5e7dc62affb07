"""Compute in the order of axes that needs the fewest Transposes.

Operators that work element by element, and those that name their axes (Concat, Split, Softmax, reductions that keep
their axes), compute the same in any order of axes, with their axes renamed. A region of such nodes that Transposes
lead into or out of is computed in the order on the other side of these, where that saves nodes: Transposes on its
border that cancel outweigh those it needs where it meets other nodes. Small constants are transposed with it. Every
element is computed as before: exact. Opsets 7 on, in which broadcasting is NumPy's. Left alone: values whose rank is
not known, and regions that would save nothing.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from onnxctl.model.attributes import set_attribute
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import Context, define_constant, home_of_constant, standard_nodes
from onnxctl.passes.region import ELEMENTWISE, Region, grow_region
from onnxctl.passes.semantics import add_integers, composed, integers, inverse, normalized, permutation_of, rank_of

_FIRST_OPSET = 7
_MOST_CONSTANT_ELEMENTS = 1 << 16
_TRANSPOSE_BYTES = 30
"""A Transpose takes at least this, names included."""
_BYTES_OF_A_NEW_NAME = 3

_WITH_AXIS = {"Concat": 0, "Split": 0, "Softmax": -1, "LogSoftmax": -1}
_REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2")
_FIRST_OPSET_WHERE_SOFTMAX_HAS_ONE_AXIS = 13


Order = tuple[int, ...]
"""The permutation with which each value v of a region becomes v', so that v = Transpose(v', order)."""


def move_transposes(graph: Graph, context: Context) -> int:
    """Compute regions between Transposes in another order of axes; returns how many Transposes that saved."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    found = 0
    for node in standard_nodes(graph, "Transpose"):
        permutation = permutation_of(graph, node)
        if permutation is None or permutation == tuple(range(len(permutation))):
            continue
        for start, order in ((node.output[0], permutation), (node.input[0], inverse(permutation))):
            if not graph.contains(node):
                break
            region = _grown(graph, context, start, order)
            saved = _saved(graph, region, order) if region.nodes else 0
            if saved > 0 and not context.afford(_added_bytes(graph, region), saved * _TRANSPOSE_BYTES):
                context.skip(node, "the names that it takes would be larger than what goes")
            elif saved > 0:
                _rewrite(graph, region, order)
                found += saved
    return found


# ---------------------------------------------------------------- the region


def _grown(graph: Graph, context: Context, start: str, order: Order) -> Region:
    def moved_by(node: NodeProto) -> list[str] | None:
        names = _movable(graph, node, len(order))
        return names if context.pinned.isdisjoint(node.output) else None

    return grow_region(graph, start, lambda name: name not in context.pinned and graph.constant(name) is None, moved_by)


def _movable(graph: Graph, node: NodeProto, rank: int) -> list[str] | None:
    """The values that would be transposed with the node, None where it can't be computed in another order."""
    if any(each.ref_attr_name for each in node.attribute) or graph.subgraphs(node) or "" in node.output:
        return None
    if any(rank_of(graph, name) != rank for name in node.output):
        return None
    if is_standard(node, *_WITH_AXIS):
        return _movable_by_axis(graph, node, rank)
    if is_standard(node, *_REDUCTIONS) and rank_of(graph, node.input[0]) == rank:
        axes = _reduced_axes(graph, node, rank)
        return [node.input[0], *node.output] if axes is not None else None
    if not is_standard(node, *ELEMENTWISE):
        return None
    moved = []
    for name in filter(None, node.input):
        if graph.constant(name) is not None:
            if not _is_scalar(graph, name) and not _is_own_constant(graph, name):
                return None
        elif rank_of(graph, name) == rank:
            moved.append(name)
        elif not _is_scalar(graph, name):
            return None
    return [*moved, *node.output]


def _movable_by_axis(graph: Graph, node: NodeProto, rank: int) -> list[str] | None:
    if node.op_type in ("Softmax", "LogSoftmax") and graph.opset() < _FIRST_OPSET_WHERE_SOFTMAX_HAS_ONE_AXIS:
        return None
    moved = list(node.input) if node.op_type == "Concat" else [node.input[0]]
    if any(rank_of(graph, name) != rank or graph.constant(name) is not None for name in moved):
        return None
    axis = attribute(node, "axis", _WITH_AXIS[node.op_type])
    return [*moved, *node.output] if -rank <= axis < rank else None


def _reduced_axes(graph: Graph, node: NodeProto, rank: int) -> tuple[int, ...] | None:
    """The axes of a reduction that keeps them, stated one by one."""
    if not attribute(node, "keepdims", 1):
        return None
    stated = attribute(node, "axes")
    axes = list(stated) if stated else integers(graph, node.input[1]) if len(node.input) > 1 else None
    return normalized(axes, rank) if axes else None


def _is_scalar(graph: Graph, name: str) -> bool:
    shape = graph.shape_of(name)
    return shape is not None and all(size == 1 for size in shape) and len(shape) <= 1


def _is_own_constant(graph: Graph, name: str) -> bool:
    """Whether the constant is small and nobody else reads it, so that another order of it is no second copy."""
    constant = graph.constant(name)
    own = home_of_constant(graph, name) is not None
    return own and constant is not None and constant.element_count <= _MOST_CONSTANT_ELEMENTS


# ---------------------------------------------------------------- what it costs


def _saved(graph: Graph, region: Region, order: Order) -> int:
    saved = 0
    if any(_leads_back(graph, region, name) for name in region.values):
        return 0
    for name in region.values:
        made = region.makes(name)
        saved -= _exit_cost(graph, region, name, order) if made else _entry_cost(graph, region, name, order)
    return saved


def _added_bytes(graph: Graph, region: Region) -> int:
    """What longer names take, wherever they are written."""
    return _BYTES_OF_A_NEW_NAME * sum(1 + len(graph.consumers(name)) for name in region.values)


def _leads_back(graph: Graph, region: Region, name: str) -> bool:
    """Whether the value is made outside of the region by a Transpose of a value inside."""
    maker = graph.producer(name)
    return maker is not None and is_standard(maker, "Transpose") and maker.input[0] in region.values


def _entry_cost(graph: Graph, region: Region, name: str, order: Order) -> int:
    maker = graph.producer(name)
    own = None if maker is None else _order_of(graph, maker)
    if own is None:
        return 1
    return int(own != order) - region.is_private(name)


def _exit_cost(graph: Graph, region: Region, name: str, order: Order) -> int:
    cost, needs_back, is_named = 0, graph.is_output(name), False
    for reader in region.outside_readers(name):
        own = _order_of(graph, reader)
        if own is None:
            needs_back = True
        elif _cancels(order, own):
            names_output = graph.is_output(reader.output[0])
            cost -= not (names_output and is_named)  # a value can have the name of one output only
            is_named = is_named or names_output
    return cost + needs_back


def _order_of(graph: Graph, node: NodeProto) -> Order | None:
    return permutation_of(graph, node) if is_standard(node, "Transpose") else None


def _cancels(order: Order, other: Order) -> bool:
    return composed(order, other) == tuple(range(len(other)))


# ---------------------------------------------------------------- the rewrite


def _rewrite(graph: Graph, region: Region, order: Order) -> None:
    new = {name: graph.fresh_name(name) for name in sorted(region.values)}
    for name in sorted(region.values):
        if not region.makes(name):
            new[name] = _enter(graph, region, name, new[name], order)
    for node in region.nodes.values():
        for name in node.output:
            _leave(graph, region, name, new[name], order, node)
    for node in region.nodes.values():
        _rename_axes(graph, node, order)
        inputs = [new.get(name, name) for name in node.input]
        if node.op_type in ELEMENTWISE:
            inputs = [_turned_constant(graph, name, node, order) for name in inputs]
        graph.set_inputs(node, inputs)
        graph.set_outputs(node, [new[name] for name in node.output])


def _enter(graph: Graph, region: Region, name: str, new: str, order: Order) -> str:
    """Put the value in the new order; returns the name it has there."""
    maker = graph.producer(name)
    own = _order_of(graph, maker) if maker is not None else None
    if maker is not None and own == order:
        return str(maker.input[0])
    source, total = name, inverse(order)
    if maker is not None and own is not None:
        source, total = maker.input[0], composed(own, total)
    reader = next(each for each in graph.consumers(name) if id(each) in region.nodes)
    graph.add_node("Transpose", [source], [new], before=reader, attributes={"perm": total})
    return new


def _leave(graph: Graph, region: Region, name: str, new: str, order: Order, node: NodeProto) -> None:
    needs_back = graph.is_output(name)
    for reader in region.outside_readers(name):
        own = _order_of(graph, reader)
        if own is None:
            needs_back = True
            continue
        result = reader.output[0]
        if _cancels(order, own) and not graph.is_output(result):
            graph.replace_uses(result, new)
        else:
            total = composed(order, own)
            graph.add_node("Transpose", [new], [result], before=reader, name=reader.name, attributes={"perm": total})
        graph.remove(reader)
    if needs_back:
        graph.add_node("Transpose", [new], [name], before=node, attributes={"perm": order})


def _rename_axes(graph: Graph, node: NodeProto, order: Order) -> None:
    """Let the node name its axes as they are called in the new order: axis i of v is axis order[i] of v'."""
    rank = len(order)
    if node.op_type in _WITH_AXIS:
        axis = attribute(node, "axis", _WITH_AXIS[node.op_type])
        set_attribute(node, "axis", order[axis])
    elif node.op_type in _REDUCTIONS:
        axes = [order[axis] for axis in _reduced_axes(graph, node, rank) or ()]
        if attribute(node, "axes") is not None:
            set_attribute(node, "axes", axes)
        else:
            graph.set_input(node, 1, add_integers(graph, axes, near="axes", before=node))


def _turned_constant(graph: Graph, name: str, node: NodeProto, order: Order) -> str:
    """The constant in the new order; scalars and all else as they are."""
    values = graph.constant_values(name, at_most=_MOST_CONSTANT_ELEMENTS) if name else None
    if values is None or (values.size <= 1 and values.ndim <= 1):
        return name
    full = values.reshape((1,) * (len(order) - values.ndim) + values.shape)
    turned = np.ascontiguousarray(full.transpose(inverse(order)))
    while turned.ndim and turned.shape[0] == 1:
        turned = turned[0]
    if turned.shape == values.shape and np.array_equal(turned, values):
        return name
    new = graph.fresh_name(name)
    define_constant(graph, new, graph.model.new_tensor("", turned), before=node)
    return new
