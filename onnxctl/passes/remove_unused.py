"""Remove what no output depends on: nodes, optional outputs, initializers, model-local functions, types of gone values.

A node goes when none of its outputs is read or an output of its scope. It stays where it may do more than compute: an
operator of an unknown domain, or a function or subgraph that holds one. A random node goes like any other.

An output that its operator declares optional and nobody reads is left out (""), at the end cut off. Left alone are
variadic outputs (Split, Loop, ...) and BatchNormalization: before opset 14 the number of its outputs tells training
from inference.

An initializer that is also a graph input stays, read or not: inputs are the model's interface. Sparse initializers
stay. Functions stay where the model has training information, which may call them.
"""

from __future__ import annotations

import onnx
from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import DEFAULT_DOMAINS
from onnxctl.passes.base import Context
from onnxctl.passes.effects import function_key, nodes_within


def remove_unused(graph: Graph, context: Context) -> int:
    """Remove what is not needed in this scope; returns how many nodes, outputs, initializers and functions."""
    found = 0
    for node in reversed(graph.nodes):
        used = [bool(name) and (graph.is_used(name) or name in context.pinned) for name in node.output]
        if any(used):
            found += _drop_optional_outputs(graph, node, used) if len(used) > 1 and not all(used) else 0
        elif context.may_have_effects(node):
            context.skip(node, f"an operator of the unknown domain {node.domain!r} may do more than compute")
        else:
            graph.remove(node)
            found += 1
    found += _remove_initializers(graph, context)
    _remove_types(graph)
    if graph is context.graphs.top and not context.model.proto.training_info:
        found += _remove_functions(context)
    return found


def _drop_optional_outputs(graph: Graph, node: NodeProto, used: list[bool]) -> int:
    if node.domain not in DEFAULT_DOMAINS or node.op_type == "BatchNormalization":
        return 0
    try:
        declared = onnx.defs.get_schema(node.op_type, max(graph.opset(), 1), "").outputs
    except onnx.defs.SchemaError:
        return 0
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    names = [
        "" if not used[index] and index < len(declared) and declared[index].option == optional else name
        for index, name in enumerate(node.output)
    ]
    while names and not names[-1] and not used[len(names) - 1]:
        names.pop()
    if names == list(node.output):
        return 0
    found = sum(1 for name in node.output if name) - sum(1 for name in names if name)
    graph.set_outputs(node, names)
    return found


def _remove_initializers(graph: Graph, context: Context) -> int:
    unused = [
        name
        for name in graph.initializers
        if not graph.is_used(name) and not graph.is_input(name) and name not in context.pinned
    ]
    for name in unused:
        graph.remove_initializer(name)
    return len(unused)


def _remove_types(graph: Graph) -> None:
    """Drop the stated types of values that are gone; not counted, since nothing is computed differently."""
    values = graph.proto.value_info
    stale = [index for index, value in enumerate(values) if not graph.defines(value.name)]
    for index in reversed(stale):
        del values[index]


def _remove_functions(context: Context) -> int:
    graphs, proto = context.graphs, context.model.proto
    if not graphs.functions:
        return 0
    bodies = {function_key(function): function for function in proto.functions}
    called = {function_key(node) for scope in graphs.top.walk() for node in scope.nodes} & bodies.keys()
    waiting = list(called)
    while waiting:
        body = bodies[waiting.pop()]
        fresh = ({function_key(node) for node in nodes_within(body.node)} & bodies.keys()) - called
        called |= fresh
        waiting += fresh
    unused = [index for index, function in enumerate(proto.functions) if function_key(function) not in called]
    for index in reversed(unused):
        del proto.functions[index], graphs.functions[index]
    return len(unused)
