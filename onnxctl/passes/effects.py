"""Which nodes may be removed, merged or computed beforehand: randomness, side effects, and values others refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

from onnxctl.model.nodes import DEFAULT_DOMAINS

PURE_DOMAINS = frozenset((*DEFAULT_DOMAINS, "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft"))
"""Domains whose operators are known to compute their outputs and do nothing else."""

FunctionKey = tuple[str, str, str]
"""Domain, name and overload of a model-local function."""

_RANDOM = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
)
_RANDOM_WORDS = ("Random", "Dropout", "Sampl")


def function_key(node: NodeProto | FunctionProto) -> FunctionKey:
    """The key of the function that a node calls if there is one, or the function's own key."""
    name = node.op_type if isinstance(node, NodeProto) else node.name
    return ("" if node.domain == "ai.onnx" else node.domain, name, node.overload)


def is_random(node: NodeProto) -> bool:
    """Whether the operator itself may give other outputs for the same inputs; Dropout that can train may."""
    if node.domain in DEFAULT_DOMAINS:
        return node.op_type in _RANDOM or (node.op_type == "Dropout" and len(node.input) > 2)
    return any(word in node.op_type for word in _RANDOM_WORDS)


def is_unknown(node: NodeProto) -> bool:
    """Whether the operator is of a domain we know nothing about (a call of a model-local function is too)."""
    return node.domain not in PURE_DOMAINS


def functions_with(model: ModelProto, has: Callable[[NodeProto], bool]) -> frozenset[FunctionKey]:
    """The model-local functions with a node, theirs or of a function they call, for which `has` holds.

    A call of a model-local function is judged by that function's body and not by itself.
    """
    local = {function_key(function) for function in model.functions}
    callers: dict[FunctionKey, set[FunctionKey]] = {}
    found: list[FunctionKey] = []
    for function in model.functions:
        own = function_key(function)
        for node in nodes_within(function.node):
            called = function_key(node)
            if called in local:
                callers.setdefault(called, set()).add(own)
            elif has(node):
                found.append(own)
    reached = set(found)
    while found:
        for caller in callers.get(found.pop(), ()):
            if caller not in reached:
                reached.add(caller)
                found.append(caller)
    return frozenset(reached)


def nodes_within(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """The nodes and all nodes in their subgraphs."""
    for node in nodes:
        yield node
        for graph in _graphs_of(node):
            yield from nodes_within(graph.node)


def pinned_names(model: ModelProto) -> frozenset[str]:
    """The values that quantization annotations and training information refer to by name: they have to stay."""
    names: set[str] = set()
    for graph in _graphs_within(model.graph):
        for annotation in graph.quantization_annotation:
            names.add(annotation.tensor_name)
            names.update(entry.value for entry in annotation.quant_parameter_tensor_names)
    for training in model.training_info:
        for binding in (*training.initialization_binding, *training.update_binding):
            names.update((binding.key, binding.value))
        for graph in (training.initialization, training.algorithm):
            for node in nodes_within(graph.node):
                names.update(node.input)
    return frozenset(names)


def _graphs_of(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _graphs_within(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for inner in _graphs_of(node):
            yield from _graphs_within(inner)
