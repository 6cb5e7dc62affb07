"""Peak activation memory by liveness: what must be held at once, and the node where that is most.

Nodes run in their topological order, as onnxruntime's sequential executor does. A value lives from the node that
makes it to the last that reads it; outputs of the graph live to the end. As in onnxruntime's CPU kernels a view
(Reshape, Squeeze, ...) is its input's memory, and an elementwise operator writes over an input of the same size that
nobody needs any more. Inputs and initializers are not activations: the caller and the model hold them. What kernels
allocate for themselves meanwhile (packing, im2col) is not seen here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnx import NodeProto, TensorProto

from onnxctl.analysis.cost.elementwise import ELEMENTWISE
from onnxctl.model.dimensions import Dimension, symbols
from onnxctl.model.graph import DEFAULT_DOMAINS, ModelGraphs
from onnxctl.model.propagation import Fact, ScopeFacts, propagate
from onnxctl.model.tensors import DTYPES
from onnxctl.reports import LiveTensor, MemoryReport

VIEWS = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout"})
_OVERWRITING = frozenset(ELEMENTWISE) - {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Where"}
_MOST_TENSORS = 10


def count_memory(graphs: ModelGraphs, dims: Mapping[str, int]) -> MemoryReport:
    """The peak of the model's activations for these dimensions, or the symbols that still need a size."""
    found = propagate(graphs, dims=dims, smallest_dimension=1)
    simulation = _Simulation()
    simulation.run(found.top, "", 0)
    peak = simulation.peak
    known = not simulation.unknown and not simulation.shapeless
    graph = found.top.graph
    return MemoryReport(
        dims=tuple(dims.items()),
        peak_bytes=peak.held_bytes if known else None,
        peak_node=peak.label if known else "",
        live=tuple(LiveTensor(name=name, byte_count=size) for name, size in peak.largest) if known else (),
        input_bytes=_sum(found.top, [name for name in graph.inputs if name not in graph.initializers]),
        output_bytes=_sum(found.top, graph.outputs),
        symbols=tuple(sorted(simulation.unknown)),
        unknown_count=simulation.shapeless,
    )


def _sum(scope: ScopeFacts, names: Sequence[str]) -> int | None:
    """The bytes of these tensors together; None where one is not a known number."""
    total = 0
    for name in names:
        size = byte_count(scope.fact(name))
        if not isinstance(size, int):
            return None
        total += size
    return total


def byte_count(fact: Fact) -> Dimension | None:
    """The bytes of a tensor, elements of less than a byte packed; None where shape or type is unknown, or strings."""
    dtype = DTYPES.get(fact.dtype or 0)
    if fact.shape is None or dtype is None or not dtype.bits:
        return None
    bits: Dimension = dtype.bits
    for dimension in fact.shape:
        bits = bits * dimension
    return (bits + 7) // 8


@dataclass(slots=True)
class _Buffer:
    """Memory that one or several values share; readers counts the reads still to come."""

    name: str
    size: int
    readers: int = 0


@dataclass(slots=True)
class _Peak:
    held_bytes: int = 0
    label: str = ""
    largest: list[tuple[str, int]] = field(default_factory=list)


class _Simulation:
    """Runs over the nodes and keeps track of what is held."""

    def __init__(self) -> None:
        self.peak = _Peak()
        self.unknown: set[str] = set()
        self.shapeless = 0

    def run(self, scope: ScopeFacts, path: str, outside_bytes: int) -> None:
        """One scope, while outer scopes hold `outside_bytes`."""
        nodes = scope.graph.nodes
        reads = self._reads(scope, nodes)
        buffers: dict[str, _Buffer] = {}
        live: dict[int, _Buffer] = {}
        held = outside_bytes
        for node in nodes:
            label = scope.graph.node_label(node)
            for buffer in self._allocate(scope, node, buffers, reads):
                live[id(buffer)] = buffer
                held += buffer.size
            for inner in scope.scopes_in(node):
                self.run(inner, f"{path}/{label}" if path else label, held)
            if held > self.peak.held_bytes:
                largest = sorted(((each.name, each.size) for each in live.values()), key=lambda pair: -pair[1])
                self.peak = _Peak(held, f"{path}/{label}" if path else label, largest[:_MOST_TENSORS])
            read = [buffers[name] for name in set(scope.graph.reads(node)) if name in buffers]
            for buffer in read:
                buffer.readers -= 1
            for buffer in (*read, *(buffers[name] for name in node.output if name in buffers)):
                if buffer.readers <= 0 and live.pop(id(buffer), None) is not None:
                    held -= buffer.size

    def _reads(self, scope: ScopeFacts, nodes: list[NodeProto]) -> dict[str, int]:
        """How many nodes read each value, once for each node; being an output of the scope counts as one more."""
        reads: dict[str, int] = {}
        for node in nodes:
            for name in set(scope.graph.reads(node)):
                reads[name] = reads.get(name, 0) + 1
        for name in scope.graph.outputs:
            reads[name] = reads.get(name, 0) + 1
        return reads

    def _allocate(
        self, scope: ScopeFacts, node: NodeProto, buffers: dict[str, _Buffer], reads: Mapping[str, int]
    ) -> list[_Buffer]:
        """Give the node's outputs their buffers; those that are new memory."""
        new = []
        standard = node.domain in DEFAULT_DOMAINS
        for index, name in enumerate(node.output):
            if not name:
                continue
            size = self._size(scope, name)
            shared = self._shared(scope, node, index, size, buffers) if standard else None
            if shared is not None:
                shared.readers += reads.get(name, 0)
                buffers[name] = shared
            elif not (standard and index == 0 and node.op_type in VIEWS):
                buffers[name] = _Buffer(name, size, reads.get(name, 0))
                new.append(buffers[name])
        return new

    def _shared(
        self, scope: ScopeFacts, node: NodeProto, index: int, size: int, buffers: Mapping[str, _Buffer]
    ) -> _Buffer | None:
        """The buffer of an input that the output is a view of, or writes over."""
        if index:
            return None
        if node.op_type in VIEWS:
            return buffers.get(node.input[0]) if node.input else None
        if node.op_type in _OVERWRITING:
            for name in node.input:
                buffer = buffers.get(name)
                if buffer is not None and buffer.readers == 1 and buffer.size == size:
                    return buffer
        return None

    def _size(self, scope: ScopeFacts, name: str) -> int:
        size = byte_count(scope.fact(name))
        if isinstance(size, int):
            return size
        if size is None:
            fact = scope.fact(name)
            self.shapeless += fact.kind == "tensor" and fact.dtype != TensorProto.STRING
        else:
            self.unknown |= {each.name for each in symbols(size)}
        return 0
