"""Put the iterations of a Loop in its place where that takes no more nodes: one iteration, or several of tiny bodies.

A Loop of a known trip count whose condition is known to stay true is its body, repeated: each iteration reads what
the one before carried on, and its number as a constant. A Loop that never runs hands on what it was given. Exact. All
opsets. Left alone: conditions that are computed, trip counts that are not known, more nodes than before; several
iterations with scan outputs, and none with them; bodies with sparse initializers.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.passes.base import Context, define_constant, input_name, standard_nodes
from onnxctl.passes.semantics import add_integers
from onnxctl.passes.transplant import transplant

_FIRST_OPSET_WITH_AXES_AS_INPUT = 13


def unroll_loops(graph: Graph, context: Context) -> int:
    """Unroll Loops where that pays; returns how many."""
    found = 0
    for node in standard_nodes(graph, "Loop"):
        (body,) = graph.subgraphs(node) or (None,)
        if body is None or len(body.inputs) != len(node.input) or len(body.outputs) != len(node.output) + 1:
            continue
        trips = _trip_count(graph, context, node, body)
        carried = len(node.input) - 2
        scans = [name for name in node.output[carried:] if name and graph.is_used(name)]
        if trips is None or body.sparse_initializers or (scans and trips != 1):
            context.skip(node, "its trip count or condition is not known, or it collects several results")
        elif trips * max(_node_count(body), 1) + len(scans) > 1 + _node_count(body):
            context.skip(node, "its iterations would be more nodes than the Loop")
        else:
            _unroll(graph, node, body, trips)
            found += 1
    return found


def _trip_count(graph: Graph, context: Context, node: NodeProto, body: Graph) -> int | None:
    condition = graph.constant_values(input_name(node, 1), at_most=1) if input_name(node, 1) else np.array(True)
    if condition is None or condition.size != 1:
        return None
    if not condition.reshape(-1)[0]:
        return 0
    if not _goes_on(body):
        return None
    sizes = context.integers(graph, node.input[0]) if node.input[0] else None
    if sizes is None or len(sizes) != 1 or not isinstance(sizes[0], int):
        return None
    return max(sizes[0], 0)


def _goes_on(body: Graph) -> bool:
    """Whether the body never ends the loop: it hands on the condition it got, or says true."""
    name = body.outputs[0]
    maker = body.producer(name)
    while maker is not None and is_standard(maker, "Identity"):
        name = maker.input[0]
        maker = body.producer(name)
    values = body.constant_values(name, at_most=1)
    return name == body.inputs[1] or (values is not None and values.size == 1 and bool(values.reshape(-1)[0]))


def _node_count(body: Graph) -> int:
    return sum(not is_standard(node, "Identity", "Constant") for node in body.nodes)


def _unroll(graph: Graph, node: NodeProto, body: Graph, trips: int) -> None:
    values = list(node.input[2:])
    carried = len(values)
    for trip in range(trips):
        number, go_on = graph.fresh_name("iteration"), graph.fresh_name("condition")
        define_constant(graph, number, _scalar(graph, trip), before=node)
        define_constant(graph, go_on, _scalar(graph, True), before=node)
        given = dict(zip(body.inputs, [number, go_on, *values], strict=True))
        values = [graph.fresh_name(name) for name in body.outputs[1 : 1 + carried]]
        scans = [graph.fresh_name(name) for name in body.outputs[1 + carried :]]
        transplant(graph, body, given, ["", *values, *scans], before=node)
        for scan, result in zip(scans, node.output[carried:], strict=True):
            if result:
                _add_axis(graph, scan, result, before=node)
    for value, result in zip(values, node.output[:carried], strict=True):
        if result:
            graph.add_node("Identity", [value], [result], before=node)
    graph.remove(node)


def _scalar(graph: Graph, value: int) -> TensorProto:
    return graph.model.new_tensor("", np.array(value))


def _add_axis(graph: Graph, source: str, result: str, *, before: NodeProto) -> None:
    if graph.opset() < _FIRST_OPSET_WITH_AXES_AS_INPUT:
        graph.add_node("Unsqueeze", [source], [result], before=before, attributes={"axes": [0]})
    else:
        axes = add_integers(graph, [0], near="axes", before=before)
        graph.add_node("Unsqueeze", [source, axes], [result], before=before)
