"""Compute at once what is computed from constants only: op(constants) becomes a constant.

Every run of nodes that depend on constants alone is evaluated as one small model by the evaluator handed in
(onnxruntime's own kernels), and only the values that other nodes need are kept. All standard operators are folded but
these:

- random ones, and Dropout, which may be in training mode;
- Loop, Scan, If and whatever holds subgraphs: nobody knows how long a loop runs;
- QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: folding them would undo the quantization of weights;
- sequences, optionals and maps, which can't be initializers;
- operators of other domains and model-local functions.

Sizes are told beforehand (`sizes`): nothing above MAXIMUM_RESULT_BYTES is computed, no operand above
MAXIMUM_OPERAND_BYTES is read, and a result may not take more bytes than go with the nodes and weights that it
replaces, together with what the model has lost already: the file never grows. A large weight that other nodes read as
well is never folded into a second copy of itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from onnx import ModelProto, NodeProto, TensorProto

from onnxctl.model.arrays import inline_array, new_inline_tensor
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import DEFAULT_DOMAINS
from onnxctl.model.tensors import Tensor
from onnxctl.passes import sizes
from onnxctl.passes.base import Context, constant_bytes, define_constant, in_function, takes_initializers
from onnxctl.passes.effects import is_random
from onnxctl.passes.sizes import Extent

MAXIMUM_RESULT_BYTES = 16 << 20
"""No constant larger than this is made, not even in between."""

MAXIMUM_OPERAND_BYTES = 64 << 20
"""No constant larger than this is read to compute another."""

BATCH_BYTES = 16 << 20
"""What is computed at once reads and makes no more, unless by one node: this bounds the memory that folding takes."""

LARGE_WEIGHT_BYTES = 4096
"""A weight from this size on is not turned into a second copy of itself."""

MAXIMUM_EVALUATIONS = 64
"""How often one run of the pass calls the evaluator in one scope; the next round goes on."""

_NEVER = frozenset(("Constant", "Dropout", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"))
_NO_TENSORS = ("Sequence", "Optional", "SplitToSequence", "ConcatFromSequence")
_SMALL = 64


@dataclass(slots=True)
class _Region:
    """Nodes of one scope that depend on constants only, in topological order, and the extents of their values."""

    nodes: dict[int, NodeProto] = field(default_factory=dict)
    extents: dict[str, Extent] = field(default_factory=dict)
    operands: dict[str, Tensor] = field(default_factory=dict)


def fold_constants(graph: Graph, context: Context) -> int:
    """Fold what can be folded in this scope; returns how many nodes were replaced by constants or went with them."""
    if context.evaluate is None:
        return 0
    found = 0
    constants: dict[str, Tensor | None] = {}
    for _ in range(MAXIMUM_EVALUATIONS):
        region = _find_region(graph, context, constants)
        if not _limit_growth(graph, context, region):
            break
        found += _fold(graph, context, _batch(graph, region))
        constants = {name: tensor for name, tensor in constants.items() if tensor is not None}
    return found


# ---------------------------------------------------------------- what can be folded


def _find_region(graph: Graph, context: Context, constants: dict[str, Tensor | None]) -> _Region:
    region = _Region()
    inside_function = in_function(graph)

    def constant(name: str) -> Tensor | None:
        if name not in constants:
            constants[name] = graph.constant(name)
        return constants[name]

    def values(name: str) -> Sequence[float] | None:
        tensor = constant(name)
        if tensor is None or tensor.element_count > _SMALL or tensor.proto.data_type == TensorProto.STRING:
            return None
        return [each.item() for each in tensor.numpy().reshape(-1)]

    for node in graph.nodes:
        if not node.input or not all(not name or name in region.extents or constant(name) for name in node.input):
            continue
        if not _is_foldable(graph, context, node, inside_function):
            continue
        if (reason := context.not_evaluable.get(next(filter(None, node.output), ""))) is not None:
            context.skip(node, f"could not be evaluated: {reason}")
            continue
        operands = {name: tensor for name in node.input if name not in region.extents and (tensor := constant(name))}
        if any(tensor.byte_count > MAXIMUM_OPERAND_BYTES for tensor in operands.values()):
            context.skip(node, f"reads a constant of more than {MAXIMUM_OPERAND_BYTES >> 20} MiB")
            continue
        extents = [
            None if not name else region.extents.get(name) or sizes.of_shape(operands[name].shape)
            for name in node.input
        ]
        extent = sizes.result_extent(graph, node, extents, values)
        if extent is None:
            continue  # its size hangs on a value that is folded first, or is not known at all
        if any(_bytes(graph, name, extent) > MAXIMUM_RESULT_BYTES for name in node.output):
            context.skip(node, f"its result would be larger than {MAXIMUM_RESULT_BYTES >> 20} MiB")
            continue
        region.nodes[id(node)] = node
        region.operands.update(operands)
        region.extents.update((name, extent) for name in node.output if name)
    return region


def _is_foldable(graph: Graph, context: Context, node: NodeProto, inside_function: bool) -> bool:
    if node.domain not in DEFAULT_DOMAINS or node.op_type in _NEVER or node.op_type.startswith(_NO_TENSORS):
        return False
    if is_random(node) or graph.subgraphs(node) or not any(node.input):
        return False
    if not context.pinned.isdisjoint(node.output):
        return False
    return not (inside_function and any(each.ref_attr_name for each in node.attribute))


def _bytes(graph: Graph, name: str, extent: Extent) -> int:
    return sizes.byte_bound(extent, graph.element_type(name)) if name else 0


# ---------------------------------------------------------------- what may be folded


def _limit_growth(graph: Graph, context: Context, region: _Region) -> bool:
    """Take nodes out of the region until folding it makes the model no larger; returns whether any are left."""
    _refuse_copies(graph, context, region)
    while region.nodes:
        costs = [(_cost(graph, name, region.extents[name]), node) for name, node in _needed(graph, region.nodes)]
        freed = sum(node.ByteSize() for node in region.nodes.values())
        freed += sum(_stored_bytes(graph, tensor, name) for name, tensor in _given_up(graph, region))
        added = sum(cost for cost, _ in costs)
        excess = 0 if context.has_room(added, freed) else added - freed - max(context.room_bytes, 0)
        surplus = 0 if takes_initializers(graph) else len(costs) - len(region.nodes)
        if excess <= 0 and surplus <= 0:
            return True
        costs.sort(key=lambda each: each[0])
        refused: dict[int, NodeProto] = {}
        while costs and (excess > 0 or not refused):
            cost, node = costs.pop()
            excess -= cost
            refused[id(node)] = node
        for node in refused.values():
            context.skip(node, "its result takes more bytes than would go with it: the file may not grow")
        _take_out(region, refused.keys())
    return False


def _cost(graph: Graph, name: str, extent: Extent) -> int:
    return constant_bytes(graph, name, _bytes(graph, name, extent), len(extent.shape or ()))


def _refuse_copies(graph: Graph, context: Context, region: _Region) -> None:
    """Take out what would make a second copy of a large weight that stays, because it is also read elsewhere."""
    given_up = {name for name, _ in _given_up(graph, region)}
    stays = {
        name
        for name, tensor in region.operands.items()
        if name not in given_up and tensor.byte_count >= LARGE_WEIGHT_BYTES
    }
    if not stays:
        return
    derived = set(stays)
    for node in region.nodes.values():
        if not derived.isdisjoint(node.input):
            derived.update(node.output)
    copies = {
        id(node): node
        for name, node in _needed(graph, region.nodes)
        if name in derived and _bytes(graph, name, region.extents[name]) >= LARGE_WEIGHT_BYTES
    }
    for node in copies.values():
        context.skip(node, "folding it would store a weight a second time, which is used elsewhere as it is")
    _take_out(region, copies.keys())


def _needed(graph: Graph, nodes: Mapping[int, NodeProto]) -> list[tuple[str, NodeProto]]:
    """The values of the nodes that are read elsewhere or are outputs of the scope, with the nodes making them."""
    return [
        (name, node)
        for node in nodes.values()
        for name in node.output
        if name and (graph.is_output(name) or any(id(reader) not in nodes for reader in graph.consumers(name)))
    ]


def _given_up(graph: Graph, region: _Region) -> list[tuple[str, Tensor]]:
    """The constants of this scope that nobody reads once the region is folded."""
    return [
        (name, tensor)
        for name, tensor in region.operands.items()
        if graph.defines(name)
        and not graph.is_input(name)
        and not graph.is_output(name)
        and all(id(reader) in region.nodes for reader in graph.consumers(name))
    ]


def _stored_bytes(graph: Graph, tensor: Tensor, name: str) -> int:
    maker = graph.producer(name)
    stored = tensor.payload.length if tensor.payload is not None else 0
    return stored + (maker.ByteSize() if maker is not None else tensor.proto.ByteSize())


def _take_out(region: _Region, keys: Collection[int]) -> None:
    """Take the nodes with these ids out of the region, and what depends on them."""
    gone = set[str]()
    for key, node in list(region.nodes.items()):
        if key in keys or not gone.isdisjoint(node.input):
            del region.nodes[key]
            for name in filter(None, node.output):
                gone.add(name)
                del region.extents[name]


# ---------------------------------------------------------------- folding


def _batch(graph: Graph, region: _Region) -> list[NodeProto]:
    """The first nodes of the region that together read and make no more than BATCH_BYTES."""
    chosen: list[NodeProto] = []
    counted, total = set[str](), 0
    for node in region.nodes.values():
        for name in node.input:
            if name in region.operands and name not in counted:
                counted.add(name)
                total += region.operands[name].byte_count
        total += sum(_bytes(graph, name, region.extents[name]) for name in node.output if name)
        if chosen and total > BATCH_BYTES:
            break
        chosen.append(node)
    return chosen


def _fold(graph: Graph, context: Context, nodes: list[NodeProto]) -> int:
    """Evaluate the nodes and put constants in place of what is needed of them; where that fails, of the first half."""
    assert context.evaluate is not None
    needed = _needed(graph, {id(node): node for node in nodes})
    results, reason = context.evaluate(_small_model(graph, nodes, [name for name, _ in needed]))
    values = {name: value for (name, _), value in zip(needed, results, strict=False) if value is not None}
    failed = [node for name, node in needed if name not in values]
    if failed and len(nodes) > 1 and not values:
        return _fold(graph, context, nodes[: len(nodes) // 2])
    for node in failed:
        context.not_evaluable.update(dict.fromkeys(filter(None, node.output), reason))
    for name, node in needed:
        if name in values and node not in failed:
            context.room_bytes -= constant_bytes(graph, name, values[name].ByteSize(), 0)
            define_constant(graph, name, _stored(context, values[name]), before=node)
    return _remove_replaced(graph, context, nodes, {id(node) for name, node in needed if node not in failed})


def _remove_replaced(graph: Graph, context: Context, nodes: list[NodeProto], replaced: set[int]) -> int:
    found = 0
    for node in reversed(nodes):
        if id(node) in replaced or not any(name and graph.is_used(name) for name in node.output):
            context.room_bytes += node.ByteSize()
            graph.remove(node)
            found += 1
    return found


def _stored(context: Context, value: TensorProto) -> TensorProto:
    """The value as a tensor of the model; a large one goes to disk."""
    if value.data_type == TensorProto.STRING:
        return value
    return context.model.new_tensor("", inline_array(value))


def _small_model(graph: Graph, nodes: list[NodeProto], outputs: list[str]) -> ModelProto:
    """A model without inputs that computes these outputs by these nodes from their constants."""
    model = ModelProto(ir_version=max(int(graph.model.proto.ir_version), 8), graph={"name": "constants"})
    model.opset_import.add(domain="", version=graph.opset())
    model.graph.node.extend(nodes)
    made = {name for node in nodes for name in node.output}
    for name in dict.fromkeys(name for node in nodes for name in node.input if name and name not in made):
        tensor = graph.constant(name)
        assert tensor is not None
        model.graph.initializer.append(_complete(tensor, name))
    for name in outputs:
        element_type = graph.element_type(name)
        output = model.graph.output.add(name=name)
        if element_type:
            output.type.tensor_type.elem_type = element_type
    return model


def _complete(tensor: Tensor, name: str) -> TensorProto:
    """The tensor with its values in it, under this name."""
    if tensor.payload is not None:
        return new_inline_tensor(name, tensor.numpy())
    tensor.check()
    proto = TensorProto()
    proto.CopyFrom(tensor.proto)
    proto.name = name
    return proto
