"""Follows the model's inputs through its graph: which sizes must agree, and which operator reads which input as what.

One walk over the nodes in order. Sizes that the model leaves open are `Size` objects; an operator that forces two sizes
to agree, or one to a number (a Conv's weight fixes the channels), joins them. It is a guide for making inputs and no
shape inference: what it doesn't know is None, and contradictions are left for onnxruntime to report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnx import NodeProto

from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.nodes import DEFAULT_DOMAINS
from onnxctl.runtime import shape_rules
from onnxctl.runtime.sizes import Dim, Origin, Shape, Size, Value, in_numbers, settle, settled, unify

MAXIMUM_VISITS = 50_000
"""Nodes looked at, function bodies counted per call: calls of functions can multiply without end."""

MAXIMUM_CALL_DEPTH = 32
"""Functions followed into functions: deeper, and where they call themselves, nothing is known."""

_KEEPS_VALUES: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("Identity", "Cast", "CastLike", "Dropout", "Reshape", "Flatten", "Transpose", "Squeeze"), (0,)),
    **dict.fromkeys(("Unsqueeze", "Slice", "Gather", "GatherElements", "GatherND", "Expand", "Tile", "Split"), (0,)),
    **dict.fromkeys(("Compress", "OptionalGetElement", "Optional", "SequenceAt", "ConcatFromSequence"), (0,)),
    **dict.fromkeys(("SplitToSequence", "ReverseSequence", "Trilu", "Pad", "Unique", "TopK"), (0,)),
    **dict.fromkeys(("ScatterElements", "ScatterND"), (0, 2)),
    "Where": (1, 2),
    "Concat": tuple(range(64)),
    "SequenceConstruct": tuple(range(64)),
    "SequenceInsert": (0, 1),
}
"""Operators whose first output holds values of these inputs unchanged, wherever it puts them."""


@dataclass(frozen=True, slots=True)
class Use:
    """A node that reads values of a model input as its input number `index`."""

    origin: Origin
    node: NodeProto
    index: int
    inputs: Sequence[Value | None]
    output_shape: Shape
    opset: int

    def input(self, index: int) -> Value | None:
        """The node's input of this number, None where it has none."""
        return self.inputs[index] if index < len(self.inputs) else None

    def shape(self, index: int) -> tuple[int | None, ...] | None:
        """The shape of this input, sizes that are not settled as None."""
        value = self.input(index)
        return None if value is None else in_numbers(value.shape)

    def size(self, index: int, axis: int) -> int | None:
        """One size of this input, as far as it is known."""
        shape = self.shape(index)
        return shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None

    @property
    def output(self) -> tuple[int, ...] | None:
        """The shape of the first output, where all its sizes are settled."""
        return settled(in_numbers(self.output_shape))

    @property
    def length(self) -> int:
        """How many elements the input of number `index` itself has, where that is known; else 1."""
        shape = settled(self.shape(self.index))
        return math.prod(shape) if shape is not None else 1


@dataclass(slots=True)
class Trace:
    """What the walk found. sizes are those by symbol; shapes those of the model's required inputs."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    symbols: dict[str, Size] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)
    rank_hints: dict[str, int] = field(default_factory=dict)


def trace_inputs(graphs: ModelGraphs, shapes: Mapping[str, Shape], symbols: Mapping[str, Size]) -> Trace:
    """Follow the inputs, given with their shapes, through the top graph, its subgraphs and the functions it calls."""
    trace = Trace(shapes=dict(shapes), symbols=dict(symbols))
    tracer = _Tracer(graphs, trace)
    environment = {name: Value(shape, (Origin(name),), graphs.top, name) for name, shape in shapes.items()}
    tracer.walk(graphs.top, environment)
    return trace


class _Tracer:
    def __init__(self, graphs: ModelGraphs, trace: Trace) -> None:
        self._trace = trace
        self._visits = 0
        self._active: list[Graph] = []
        self._functions = {(each.proto.domain, each.proto.name): each for each in graphs.functions}  # type: ignore[union-attr]

    def walk(self, graph: Graph, environment: dict[str, Value]) -> None:
        for node in graph.nodes:
            self._visits += 1
            if self._visits > MAXIMUM_VISITS:
                return
            inputs = [self._value(graph, environment, name) if name else None for name in node.input]
            self._note_uses(graph, node, inputs)
            self._follow(graph, node, inputs, environment)

    def _value(self, graph: Graph, environment: Mapping[str, Value], name: str) -> Value:
        known = environment.get(name)
        return known if known is not None else Value(self._stated(graph, name), (), graph, name)

    def _stated(self, graph: Graph, name: str) -> Shape:
        shape = graph.shape_of(name)
        if shape is None:
            return None
        return tuple(self._trace.symbols.get(dim) if isinstance(dim, str) else dim for dim in shape)

    def _note_uses(self, graph: Graph, node: NodeProto, inputs: Sequence[Value | None]) -> None:
        for index, value in enumerate(inputs):
            for origin in value.origins if value is not None else ():
                output = next(iter(node.output), "")
                shape = self._stated(graph, output) if output else None
                self._trace.uses.append(Use(origin, node, index, inputs, shape, graph.opset(node.domain)))
                if value is not None and value.shape is None:
                    rank = shape_rules.rank_wanted(node, index, [each.shape if each else None for each in inputs])
                    if rank is not None:
                        self._trace.rank_hints.setdefault(origin.input_name, rank)

    def _follow(
        self, graph: Graph, node: NodeProto, inputs: Sequence[Value | None], environment: dict[str, Value]
    ) -> None:
        function = self._functions.get((node.domain, node.op_type))
        if function is not None:
            deep = function in self._active or len(self._active) == MAXIMUM_CALL_DEPTH
            results = [] if deep else self._call(function, inputs)
        elif graph.subgraphs(node):
            results = self._enter_subgraphs(graph, node, inputs, environment)
        else:
            shapes = _output_shapes(node, inputs)
            origins = _origins_after(node, inputs)
            results = [
                (shape, origins if index == 0 or node.op_type == "Split" else ()) for index, shape in enumerate(shapes)
            ]
        for index, name in enumerate(node.output):
            if not name:
                continue
            shape, origins = results[index] if index < len(results) else (None, ())
            shape = _sharpened(shape, self._stated(graph, name))
            environment[name] = Value(shape, origins, graph, name)

    def _call(self, function: Graph, inputs: Sequence[Value | None]) -> list[tuple[Shape, tuple[Origin, ...]]]:
        inner = {name: value for name, value in zip(function.inputs, inputs, strict=False) if value is not None}
        self._active.append(function)
        self.walk(function, inner)
        self._active.pop()
        return [(inner[name].shape, inner[name].origins) if name in inner else (None, ()) for name in function.outputs]

    def _enter_subgraphs(
        self, graph: Graph, node: NodeProto, inputs: Sequence[Value | None], environment: Mapping[str, Value]
    ) -> list[tuple[Shape, tuple[Origin, ...]]]:
        results: list[tuple[Shape, tuple[Origin, ...]]] = []
        for body in graph.subgraphs(node):
            inner = dict(environment)
            for name in body.inputs:
                inner.pop(name, None)
            if node.op_type == "Loop":  # iteration number, condition, then the carried values
                carried = zip(body.inputs[2:], inputs[2:], strict=False)
                inner |= {name: _reshaped(value, value.shape) for name, value in carried if value is not None}
            elif node.op_type == "Scan":
                first = len(body.inputs) - len(inputs) if len(body.inputs) < len(inputs) else 0
                for name, value in zip(body.inputs, inputs[-first:] if first else inputs, strict=False):
                    if value is not None:
                        inner[name] = _reshaped(value, None)
            self.walk(body, inner)
            if node.op_type == "If" and not results:
                results = [(inner[n].shape, inner[n].origins) if n in inner else (None, ()) for n in body.outputs]
        return results


def _output_shapes(node: NodeProto, inputs: Sequence[Value | None]) -> list[Shape]:
    try:
        return shape_rules.output_shapes(node, inputs)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        # attributes missing, of the wrong type or taken from a function's caller: for onnxruntime to judge
        return []


def _reshaped(value: Value, shape: Shape) -> Value:
    return Value(shape, value.origins, value.graph, value.name)


def _sharpened(shape: Shape, stated: Shape) -> Shape:
    """The shape found, with what the model states of it: a stated number settles an open size."""
    if shape is None or stated is None or len(shape) != len(stated):
        return shape if stated is None else stated
    return tuple(theirs if mine is None else _joined(mine, theirs) for mine, theirs in zip(shape, stated, strict=True))


def _joined(mine: Dim, theirs: Dim) -> Dim:
    if isinstance(theirs, int):
        unify(mine, theirs)
    return settle(mine)


def _origins_after(node: NodeProto, inputs: Sequence[Value | None]) -> tuple[Origin, ...]:
    """The inputs whose numbers the node's first output holds."""
    if node.domain not in DEFAULT_DOMAINS:
        return ()
    if node.op_type in ("Add", "Sub", "Mul"):
        return _affine(node, inputs)
    kept = _KEEPS_VALUES.get(node.op_type, ())
    found = [o for index in kept[: len(inputs)] if (value := inputs[index]) is not None for o in value.origins]
    return tuple(dict.fromkeys(found))[:16]


def _affine(node: NodeProto, inputs: Sequence[Value | None]) -> tuple[Origin, ...]:
    left, right = inputs if len(inputs) == 2 else (None, None)
    if left is None or right is None or bool(left.origins) == bool(right.origins):
        return ()
    value, other = (left, right) if left.origins else (right, left)
    number = _scalar(other)
    if number is None:
        return ()
    if node.op_type == "Mul":
        return tuple(Origin(o.input_name, o.scale * number, o.offset * number) for o in value.origins)
    if node.op_type == "Add":
        return tuple(Origin(o.input_name, o.scale, o.offset + number) for o in value.origins)
    if value is left:
        return tuple(Origin(o.input_name, o.scale, o.offset - number) for o in value.origins)
    return tuple(Origin(o.input_name, -o.scale, number - o.offset) for o in value.origins)


def _scalar(value: Value) -> float | None:
    array = value.constant(at_most=1)
    if array is None or array.size != 1 or array.dtype.kind not in "iufb":
        return None
    return float(array.reshape(-1)[0])
