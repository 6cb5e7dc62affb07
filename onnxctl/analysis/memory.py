"""Peak activation memory by liveness: what must be held at once, and the node where that is most.

What is counted is what onnxruntime's CPU provider asks its allocator for when it runs the model as it stands
(sequentially, graph optimizations off), less the weights; its planner is imitated step by step (onnxruntime 1.32,
`core/framework/allocation_planner.cc`, and for the order `core/graph/graph_viewer.cc`):

- nodes run in the order of a depth-first search from the last leaf, the inputs that come last in the file first;
- a value is held from the node that makes it to the last that reads it, the graph's outputs to the end;
- a view (`VIEWS`) is its input's memory, and some kernels (`OVERWRITING`) write over an input of the same shape and
  element size that nobody else reads;
- another value of the same shape and element size takes over memory that is free by then, which onnxruntime therefore
  keeps, unused, until it is needed again: peaks are often above what liveness alone would say;
- it does neither for values whose shape its own inference leaves open (`_Knowledge`).

Inputs, weights and Constants are not activations: the caller and the model hold them. Not seen are what kernels
allocate for themselves while they run (packed weights, im2col), rounding to the allocator's blocks, strings, and that
operators without a kernel run as the function they stand for, or in float32 between two Casts (float16 on CPUs). With
graph optimizations onnxruntime merges nodes and needs less.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from onnx import NodeProto, TensorProto

from onnxctl.model.dimensions import Dimension, sole_symbol, symbols
from onnxctl.model.graph import Graph
from onnxctl.model.names import as_text, node_label
from onnxctl.model.nodes import DEFAULT_DOMAINS
from onnxctl.model.propagation import Propagation, ScopeFacts, Shape, byte_count
from onnxctl.model.tensors import DTYPES
from onnxctl.reports import LiveTensor, MemoryReport

VIEWS = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
OVERWRITING = frozenset(
    """Cast Celu Clip Elu HardSigmoid LeakyRelu LogSoftmax Relu ScatterElements Selu Shrink Sigmoid Softmax Softplus
    Softsign Tanh ThresholdedRelu Trilu""".split()
)
"""Operators whose CPU kernels may overwrite their first input (`MayInplace(0, 0)` where they are registered).

Each was seen to ask for no memory between two Transposes in a profile of onnxruntime 1.32; arithmetic (Add, Mul, ...),
Erf, normalizations, Where, Concat and all others tried do ask.
"""
_SHAPED_BY_VALUES = frozenset({"Reshape", "Expand", "Slice", "Tile", "Pad", "Resize"})
_MADE_BY_VALUES = frozenset({"ConstantOfShape", "Range"})
"""Operators whose output's shape is in an input's values: the first's, or those after it."""
_ACCUMULATING = ("Loop", "Scan")
_MOST_TENSORS = 10


def count_memory(found: Propagation, dims: Mapping[str, int], *, stated: Propagation) -> MemoryReport:
    """The peak of the model's activations for these dimensions, or the symbols that still need a size.

    `found` is what propagation finds for `dims`, `stated` what it finds for none: the model as onnxruntime opens it.
    """
    simulation = _Simulation(_Knowledge(stated))
    peak = simulation.run(found.top, "")
    known = not simulation.unknown and not simulation.shapeless
    graph = found.top.graph
    return MemoryReport(
        dims=tuple(dims.items()),
        peak_bytes=peak.held_bytes if known else None,
        peak_node=peak.label if known else "",
        live=tuple(LiveTensor(name=as_text(name), byte_count=size) for name, size in peak.largest()) if known else (),
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


def execution_order(graph: Graph) -> list[NodeProto]:
    """The nodes in the order onnxruntime runs them: depth first from the last leaf, later inputs first."""
    nodes = graph.nodes
    positions = {id(node): index for index, node in enumerate(nodes)}
    waiting = [(node, False) for node in nodes if not any(graph.consumers(name) for name in node.output if name)]
    seen: set[int] = set()
    order: list[NodeProto] = []
    while waiting:
        node, left = waiting.pop()
        if left:
            order.append(node)
            continue
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting.append((node, True))
        makers = {id(maker): maker for name in graph.reads(node) if (maker := graph.producer(name)) is not None}
        for maker in sorted(makers.values(), key=lambda each: positions[id(each)]):
            if id(maker) not in seen:
                waiting.append((maker, False))
    return order


# ---------------------------------------------------------------- what is held when


@dataclass(slots=True)
class _Buffer:
    """Memory that one or several values have, at once or one after the other; readers: reads still to come."""

    name: str
    size: int
    alike: tuple[Shape | None, int]
    first: int
    last: int
    readers: int = 0


@dataclass(slots=True)
class _Peak:
    """The most that a scope holds, at which node, and what that is; `inner` where part of it is in a subgraph."""

    held_bytes: int = 0
    label: str = ""
    buffers: list[_Buffer] = field(default_factory=list)
    inner: _Peak | None = None

    def largest(self) -> list[tuple[str, int]]:
        """The largest tensors held."""
        peak: _Peak | None = self
        held: list[tuple[str, int]] = []
        while peak is not None:
            held += [(each.name, each.size) for each in peak.buffers]
            peak = peak.inner
        return sorted(held, key=lambda pair: -pair[1])[:_MOST_TENSORS]


class _Knowledge:
    """Which shapes onnxruntime knows when it plans: those the model states, and those that follow from the inputs'.

    It does not follow the values that make shapes, except where they are constants, and has no names for sums and
    products of sizes.
    """

    def __init__(self, stated: Propagation) -> None:
        self._stated = stated
        self._open: dict[int, set[str]] = {}

    def is_known(self, graph: Graph, name: str) -> bool:
        """Whether it knows every dimension of the value."""
        scope = self._stated.of(graph)
        shape = None if scope is None else scope.shape(name)
        if shape is None or not all(isinstance(each, int) or _is_named(each) for each in shape):
            return False
        if id(graph) not in self._open:
            self._open[id(graph)] = self._open_values(graph)
        return name not in self._open[id(graph)]

    def _open_values(self, graph: Graph) -> set[str]:
        """The values of a scope whose shape depends on values that are no constants."""
        found: set[str] = set()
        for node in graph.nodes:
            made = node.op_type in _MADE_BY_VALUES
            shaping = node.input[not made :] if made or node.op_type in _SHAPED_BY_VALUES else ()
            depends = any(name and graph.constant(name) is None for name in shaping)
            if depends or not found.isdisjoint(node.input):
                found.update(name for name in node.output if not _is_stated(graph, name))
        return found


def _is_named(dimension: Dimension) -> bool:
    only = sole_symbol(dimension)
    return only is not None and not only.unknown


def _is_stated(graph: Graph, name: str) -> bool:
    """Whether the model itself says the whole shape."""
    shape = graph.shape_of(name)
    return shape is not None and None not in shape


class _Simulation:
    """Plans the memory of each scope as it is reached, and collects what keeps sizes from being known."""

    def __init__(self, knowledge: _Knowledge) -> None:
        self.knowledge = knowledge
        self._peaks: dict[int, _Peak] = {}
        self._measure = cache(byte_count)
        self.unknown: set[str] = set()
        self.shapeless = 0

    def run(self, scope: ScopeFacts, path: str) -> _Peak:
        """The peak of one scope and those inside it, outer scopes not included; each scope is looked at once."""
        if id(scope) not in self._peaks:
            self._peaks[id(scope)] = self._run(scope, path)
        return self._peaks[id(scope)]

    def _run(self, scope: ScopeFacts, path: str) -> _Peak:
        order = execution_order(scope.graph)
        plan = _Plan(self, scope)
        for step, node in enumerate(order):
            plan.place(step, node)
        starting: dict[int, list[_Buffer]] = {}
        ending: dict[int, list[_Buffer]] = {}
        for buffer in plan.all:
            starting.setdefault(buffer.first, []).append(buffer)
            ending.setdefault(buffer.last, []).append(buffer)
        held, peak_step, peak = 0, -1, _Peak()
        for step, node in enumerate(order):
            new = starting.get(step, ())
            inner = self._inner_peak(scope, node, path)
            own = held + sum(each.size for each in new if inner is None or each.name in self._accumulated(node))
            held += sum(each.size for each in new)
            most = max(own + (inner.held_bytes if inner else 0), held)
            if most > peak.held_bytes:
                within = inner if inner is not None and most > held else None
                peak_step, peak = step, _Peak(most, node_label(path, node), inner=within)
            held -= sum(each.size for each in ending.get(step, ()))
        peak.buffers = [each for each in plan.all if each.first <= peak_step <= each.last]
        if peak.inner is not None:
            peak.label = peak.inner.label or peak.label
        return peak

    def _inner_peak(self, scope: ScopeFacts, node: NodeProto, path: str) -> _Peak | None:
        """The dearest of the node's subgraphs, or its function's body; None where it has none."""
        peaks = [self.run(each, node_label(path, node)) for each in scope.scopes_in(node)]
        return max(peaks, key=lambda each: each.held_bytes, default=None)

    def _accumulated(self, node: NodeProto) -> Sequence[str]:
        """The outputs that grow while the node's body runs; those of other nodes are what the body itself made."""
        return node.output if node.op_type in _ACCUMULATING and node.domain in DEFAULT_DOMAINS else ()

    def size(self, scope: ScopeFacts, name: str) -> int:
        """The bytes of a value; 0, and a note, where they are not a known number."""
        fact = scope.fact(name)
        size = self._measure(fact)
        if isinstance(size, int):
            return size
        if size is None:
            self.shapeless += fact.kind == "tensor" and fact.dtype != TensorProto.STRING
        else:
            self.unknown |= {each.name for each in symbols(size)}
        return 0


class _Plan:
    """Gives every value of a scope its memory, node by node in the order they run."""

    def __init__(self, simulation: _Simulation, scope: ScopeFacts) -> None:
        self._simulation = simulation
        self._scope = scope
        self._graph = scope.graph
        self._buffers: dict[str, _Buffer] = {}
        self._free: dict[tuple[Shape | None, int], list[_Buffer]] = {}
        self.all: list[_Buffer] = []

    def place(self, step: int, node: NodeProto) -> None:
        """Give the node's outputs their memory, and free what nobody reads after it."""
        if node.op_type == "Constant" and node.domain in DEFAULT_DOMAINS:
            return
        for index, name in enumerate(node.output):
            if name:
                self._give(step, node, index, name)
        touched = [self._buffers[name] for name in self._read_once(node) if name in self._buffers]
        for buffer in touched:
            buffer.readers -= 1
        written = [self._buffers[name] for name in node.output if name in self._buffers]
        for buffer in {id(each): each for each in (*touched, *written)}.values():
            buffer.last = max(buffer.last, step)
            if buffer.readers == 0:
                self._free.setdefault(buffer.alike, []).append(buffer)

    def _give(self, step: int, node: NodeProto, index: int, name: str) -> None:
        readers = len(self._graph.consumers(name))
        if self._graph.is_output(name):
            self._new(step, name, self._alike(name), readers + 1).last = sys.maxsize
            return
        if index == 0 and node.op_type in VIEWS and node.domain in DEFAULT_DOMAINS:
            viewed = self._buffers.get(node.input[0]) if node.input else None
            if viewed is not None:
                viewed.readers += readers
                self._buffers[name] = viewed
            return  # a view of an input or a weight is no activation
        alike = self._alike(name)
        shared = self._overwritten(node, alike) if index == 0 else None
        if shared is None and alike[0] is not None and self._free.get(alike):
            shared = self._free[alike].pop()
        if shared is None:
            self._new(step, name, alike, readers)
        else:
            shared.readers += readers
            self._buffers[name] = shared

    def _new(self, step: int, name: str, alike: tuple[Shape | None, int], readers: int) -> _Buffer:
        size = self._simulation.size(self._scope, name)
        buffer = _Buffer(name, size, alike, step, step, readers)
        self._buffers[name] = buffer
        self.all.append(buffer)
        return buffer

    def _overwritten(self, node: NodeProto, alike: tuple[Shape | None, int]) -> _Buffer | None:
        """The buffer of the input that the node's kernel writes over."""
        if node.op_type not in OVERWRITING or node.domain not in DEFAULT_DOMAINS or not node.input:
            return None
        buffer = self._buffers.get(node.input[0])
        fits = buffer is not None and buffer.readers == 1 and alike[0] is not None
        return buffer if fits and self._alike(node.input[0]) == alike else None

    def _alike(self, name: str) -> tuple[Shape | None, int]:
        """What two values must have in common to take each other's place: shape and bits of an element."""
        fact = self._scope.fact(name)
        dtype = DTYPES.get(fact.dtype or 0)
        known = fact.kind == "tensor" and dtype is not None and self._simulation.knowledge.is_known(self._graph, name)
        return (fact.shape if known else None, dtype.bits if dtype is not None else 0)

    def _read_once(self, node: NodeProto) -> Iterable[str]:
        return dict.fromkeys(name for name in self._graph.reads(node) if name)
