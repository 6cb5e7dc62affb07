"""Cuts through a graph, and the parts between them: what bisection compares and extracts.

A cut after k nodes of the topological order is crossed by the values that the nodes before it make and those behind it
read. If all of them are equal on both sides, a difference behind the cut has its cause behind the cut. Values that
follow from constants alone are not compared: whoever needs them computes them again. Those that follow from sizes alone
are compared where both sides have them, and taken for equal where an optimizer did away with them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import onnx.helper
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from onnxctl.analysis.difference.comparison import matched_values
from onnxctl.analysis.difference.header import pair_values
from onnxctl.analysis.functions import called_key, function_key
from onnxctl.analysis.scopes import walk_scope
from onnxctl.analysis.wiring import FunctionKey
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import Model
from onnxctl.model.nodes import is_standard
from onnxctl.model.propagation import Fact, propagate
from onnxctl.reports import ProbedValue

NAMES_IN_COMMON = 0.5
"""From this share on, values of one name are taken for the same value; below it, values are matched by structure."""


class Cut(NamedTuple):
    """A place in the first model's topological order: `position` nodes are before it, and these values cross it.

    names are compared; sizes follow from the sizes of inputs alone, and only the first side has them.
    """

    position: int
    names: tuple[str, ...]
    sizes: tuple[str, ...] = ()


def pair_inner_values(a: ModelGraphs, b: ModelGraphs) -> dict[str, str]:
    """The values of the top graphs that stand for each other, outputs included, by a's names.

    By name where most names are in common, as between a model and what an optimizer made of it; else by structure.
    """
    made_a = {name for node in a.top.nodes for name in node.output if name}
    made_b = {name for node in b.top.nodes for name in node.output if name}
    common = made_a & made_b
    if len(common) >= NAMES_IN_COMMON * min(len(made_a), len(made_b)):
        pairs = {name: name for name in common}
    else:
        pairs = matched_values(a, b)
    outputs = pair_values(a.model.proto.graph.output, b.model.proto.graph.output)
    return pairs | {x: y for x, y in outputs if x is not None and y is not None}


class Rows(NamedTuple):
    """A value of the second model that is one of the first with its leading dimensions taken together: rows x width."""

    name: str
    width: int


FED_WHOLE = "_in_full"
"""What the input of a part is called by, after the name of the `Rows` that are made of it."""


def pair_rows(a: ModelGraphs, b: ModelGraphs, pairs: Mapping[str, str]) -> dict[str, Rows]:
    """The values of a, not in a pair, that b has as rows: optimizers move the reshapes around a Gemm out of its way.

    They are made by nodes of one name and operator.
    """
    found: dict[str, Rows] = {}
    nodes = {node.name: node for node in b.top.nodes if node.name}
    taken = set(pairs.values())
    facts_a, facts_b = propagate(a).top, propagate(b).top
    for node in a.top.nodes if b.top.opset() >= _RESHAPE_BY_INPUT else ():
        other = nodes.get(node.name)
        if other is None or (node.op_type, node.domain) != (other.op_type, other.domain):
            continue
        for x, y in zip(node.output, other.output, strict=False):
            if x and y and x not in pairs and y not in taken:
                width = _width_of_rows(facts_a.fact(x), facts_b.fact(y))
                found.update({} if width is None else {x: Rows(y, width)})
    return found


_RESHAPE_BY_INPUT = 5
"""The opset from which on Reshape is told the shape as an input."""


def _width_of_rows(whole: Fact, rows: Fact) -> int | None:
    if whole.dtype is None or whole.dtype != rows.dtype or not whole.shape or not rows.shape or len(rows.shape) != 2:
        return None
    count, width = rows.shape
    if len(whole.shape) < 3 or width != whole.shape[-1] or math.prod(whole.shape[:-1]) != count:
        return None
    return width if isinstance(width, int) else None


def find_cuts(a: ModelGraphs, pairs: Mapping[str, str], constants: Sequence[str] = ()) -> list[Cut]:
    """The cuts at which both sides can be compared, in order; the first is before all nodes, the last the outputs.

    Where two cuts are crossed by the same values, the first stands for both. With constants, the cuts are those of the
    nodes that make them.
    """
    graph = a.top
    nodes = nodes_between(a, constants, ()) if constants else graph.nodes
    kinds = _all_contents(nodes) if constants else kinds_of_values(a)
    outputs = [name for name in constants or graph.outputs if name in pairs]
    last_reader: dict[str, int] = {name: len(nodes) for name in constants or graph.outputs}
    for position, node in enumerate(nodes):
        for name in graph.reads(node):
            last_reader[name] = max(last_reader.get(name, -1), position)
    cuts = [Cut(0, ())]
    live: dict[str, None] = {}
    leaving: dict[int, list[str]] = {}
    for position, node in enumerate(nodes[:-1]):
        for name in node.output:
            if kinds.get(name, "constant") != "constant" and last_reader.get(name, -1) > position:
                live[name] = None
                leaving.setdefault(last_reader[name], []).append(name)
        for name in leaving.pop(position, ()):
            del live[name]
        names = tuple(name for name in live if name in pairs)
        alone = tuple(name for name in live if name not in pairs)
        if names != cuts[-1].names and all(kinds[name] == "size" for name in alone):
            cuts.append(Cut(position + 1, names, alone))
    return [*cuts, Cut(len(nodes), tuple(outputs))]


ValueKind = Literal["content", "size", "constant"]


def kinds_of_values(graphs: ModelGraphs) -> dict[str, ValueKind]:
    """What each value of the top graph follows from: contents of inputs, their sizes alone, or constants.

    Where no output follows from an input, all that nodes make counts as contents.
    """
    graph = graphs.top
    found: dict[str, ValueKind] = {name: "content" for name in graph.inputs if name not in graph.initializers}
    for node in graph.nodes:
        kinds = {found.get(name, "constant") for name in graph.reads(node)}
        kind: ValueKind = "content" if "content" in kinds else "size" if "size" in kinds else "constant"
        if kind == "content" and is_standard(node, "Shape", "Size"):
            kind = "size"
        found.update((name, kind) for name in node.output if name)
    if any(found.get(name) == "content" for name in graph.outputs):
        return found
    return _all_contents(graph.nodes)


def _all_contents(nodes: Iterable[NodeProto]) -> dict[str, ValueKind]:
    return dict.fromkeys((name for node in nodes for name in node.output if name), "content")


def computed_constants(
    graphs: ModelGraphs, outputs: Collection[str], inputs: Collection[str], pairs: Mapping[str, str]
) -> list[str]:
    """The values with a counterpart that nodes make of constants alone and these others read: see `nodes_between`."""
    kinds = kinds_of_values(graphs)
    nodes = nodes_between(graphs, outputs, inputs)
    readers = [node for node in nodes if any(kinds.get(name) != "constant" for name in node.output)]
    read = dict.fromkeys(name for node in readers for name in graphs.top.reads(node))
    return [name for name in read if kinds.get(name) == "constant" and name in pairs]


# ---------------------------------------------------------------- parts


def nodes_between(graphs: ModelGraphs, outputs: Collection[str], inputs: Collection[str]) -> list[NodeProto]:
    """The nodes that make the outputs from the inputs, the model's own inputs and constants, in their order."""
    graph = graphs.top
    needed, kept = set(outputs), []
    for node in reversed(graph.nodes):
        if any(name in needed and name not in inputs for name in node.output):
            kept.append(node)
            needed.update(filter(None, graph.reads(node)))
    return kept[::-1]


def part_of(
    graphs: ModelGraphs,
    outputs: Sequence[str],
    inputs: Sequence[ProbedValue | str] = (),
    widths: Mapping[str, int] = MappingProxyType({}),
) -> Model:
    """A model of these nodes alone, with the inputs given and those of the whole that are needed besides.

    An input that is but a name gets no type, as outputs get none that the whole does not state. Weights stay on disk.
    Where widths has an input's name, it is fed as it was before its leading dimensions were taken together.
    """
    whole = graphs.model.proto
    names = [each if isinstance(each, str) else each.name for each in inputs]
    nodes = nodes_between(graphs, outputs, names)
    read = {name for node in nodes for name in graphs.top.reads(node)} | set(outputs)
    proto = ModelProto(ir_version=whole.ir_version, opset_import=whole.opset_import)
    graph = proto.graph
    graph.name = whole.graph.name or "part"
    for name in names:
        if name in widths:
            _take_together(graph, name, widths[name])
    graph.node.extend(nodes)
    proto.functions.extend(_called_functions(whole, graph))
    graph.input.extend(_input(each, widths) for each in inputs)
    graph.input.extend(value for value in whole.graph.input if value.name in read and value.name not in names)
    graph.initializer.extend(each for each in whole.graph.initializer if each.name in read and each.name not in names)
    graph.sparse_initializer.extend(each for each in whole.graph.sparse_initializer if each.values.name in read)
    graph.output.extend(_outputs(whole.graph, outputs))
    return Model(proto, graphs.model.path, graphs.model.source, graphs.model.payloads)


def _called_functions(whole: ModelProto, graph: GraphProto) -> list[FunctionProto]:
    """The functions that the nodes of a graph call, directly or not."""
    known = {function_key(each): each for each in whole.functions}
    called: dict[FunctionKey, FunctionProto] = {}
    waiting: list[GraphProto | FunctionProto] = [graph] if known else []
    while waiting:
        for scope in walk_scope("", waiting.pop()):
            for node in scope.body.node:
                key = called_key(node)
                if key in known and key not in called:
                    called[key] = known[key]
                    waiting.append(known[key])
    return list(called.values())


def _input(value: ProbedValue | str, widths: Mapping[str, int]) -> ValueInfoProto:
    name = value if isinstance(value, str) else value.name
    fed = f"{name}{FED_WHOLE}" if name in widths else name
    if isinstance(value, str):
        return ValueInfoProto(name=fed)
    return onnx.helper.make_tensor_value_info(fed, value.element_type, list(value.shape))


def _take_together(graph: GraphProto, name: str, width: int) -> None:
    """Make the value of that name, rows so wide, of what is fed."""
    shape = f"{name}_shape{FED_WHOLE}"
    graph.initializer.append(onnx.helper.make_tensor(shape, TensorProto.INT64, [2], [-1, width]))
    graph.node.add(op_type="Reshape", input=[f"{name}{FED_WHOLE}", shape], output=[name])


def _outputs(graph: GraphProto, names: Sequence[str]) -> Iterator[ValueInfoProto]:
    stated = {value.name: value for value in graph.output}
    for name in names:
        yield stated.get(name, ValueInfoProto(name=name))
