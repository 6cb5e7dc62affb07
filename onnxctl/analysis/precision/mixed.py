"""Types that mix: casts back and forth, and float32 islands in models of half precision."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator

from onnx import NodeProto, TensorProto

from onnxctl.analysis.cost.catalogue import MOVES
from onnxctl.model.graph import Graph
from onnxctl.model.names import as_text
from onnxctl.model.nodes import DEFAULT_DOMAINS, attribute, is_standard
from onnxctl.model.propagation import ScopeFacts
from onnxctl.model.tensors import dtype_name
from onnxctl.reports import CastChain, Island

Walked = list[tuple[Graph, ScopeFacts]]
"""Every scope that runs, with what holds in it."""

_HALF = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
_LONGEST_WAY = 8
"""Nodes that only move data, between one Cast and the Cast back."""


def cast_chains(walked: Walked) -> Iterator[CastChain]:
    """Casts that give a value the type back that an earlier Cast took; in between it was only moved, if that."""
    for scope, facts in walked:
        for node in scope.nodes:
            if not is_standard(node, "Cast"):
                continue
            first = _cast_before(scope, node)
            if first is None:
                continue
            types = [facts.element_type(first.input[0]), attribute(first, "to"), attribute(node, "to")]
            if types[0] == types[2] != types[1]:
                names = tuple(dtype_name(each) for each in types if each is not None)
                yield CastChain(types=names, where=as_text(scope.node_label(node)))


def _cast_before(scope: Graph, node: NodeProto) -> NodeProto | None:
    """The Cast that made the value, looked for through nodes that only move it."""
    name = node.input[0]
    for _ in range(_LONGEST_WAY):
        made = scope.producer(name)
        if made is None or is_standard(made, "Cast"):
            return made
        if made.domain not in DEFAULT_DOMAINS or made.op_type not in MOVES or not made.input:
            return None
        name = made.input[0]
    return None


def half_type(walked: Walked) -> str:
    """float16 or bfloat16, where more nodes compute in it than in float32; else ""."""
    counts = Counter(number for scope, facts in walked for node in scope.nodes if (number := _computes_in(node, facts)))
    for number, name in _HALF.items():
        if counts[number] > counts[TensorProto.FLOAT]:
            return name
    return ""


def _computes_in(node: NodeProto, facts: ScopeFacts) -> int | None:
    """The element type the node computes in; None where it moves data, or makes none."""
    if node.domain in DEFAULT_DOMAINS and node.op_type in MOVES:
        return None
    return next((facts.element_type(name) for name in node.output if name), None)


def find_islands(walked: Walked) -> Iterator[Island]:
    """Groups of nodes that compute in float32 and read each other's results, by way of nodes that move data too."""
    for scope, facts in walked:
        inside = {
            id(node): node
            for node in scope.nodes
            if any(facts.element_type(name) == TensorProto.FLOAT for name in node.output if name)
            and not is_standard(node, "Cast", "Constant")
        }
        seen: set[int] = set()
        for start in inside.values():
            if id(start) not in seen:
                group = _group(scope, start, inside, seen)
                computing = [node for node in group if _computes_in(node, facts) is not None]
                if computing:
                    counts = Counter(as_text(node.op_type) for node in computing)
                    yield Island(
                        node_count=len(computing),
                        operators=tuple(name for name, _ in counts.most_common(6)),
                        where=as_text(scope.node_label(computing[0])),
                    )


def group_islands(islands: Iterable[Island]) -> list[Island]:
    """One for all that have the same operators, the most nodes in all first; where is that of the first."""
    alike: dict[tuple[int, tuple[str, ...]], list[Island]] = {}
    for each in islands:
        alike.setdefault((each.node_count, tuple(sorted(each.operators))), []).append(each)
    groups = [dataclasses.replace(each[0], alike_count=len(each)) for each in alike.values()]
    return sorted(groups, key=lambda each: -each.node_count * each.alike_count)


def _group(scope: Graph, start: NodeProto, inside: dict[int, NodeProto], seen: set[int]) -> list[NodeProto]:
    """The nodes inside that hang together with the first, in the order they are reached."""
    group, waiting = [], [start]
    seen.add(id(start))
    while waiting:
        node = waiting.pop()
        group.append(node)
        near = [scope.producer(name) for name in node.input if name]
        near += [each for name in node.output if name for each in scope.consumers(name)]
        for other in near:
            if other is not None and id(other) in inside and id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)
    return group
