"""Whole models: what a builder grew, in one of the scopes that a model has, with its inputs' shapes half told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from tests.passes.random_models.builder import Array, Builder, Value, described

FLAG = "flag"
"""The input that says which branch is taken."""


@dataclass(frozen=True, slots=True)
class RandomModel:
    """A model, and inputs that it runs on."""

    model: ModelProto
    feeds: dict[str, Array]


def finished(builder: Builder) -> RandomModel | None:
    """The model of what was grown, in one of the scopes a model has; None where nothing was grown."""
    made = [name for node in builder.nodes if node.op_type != "Constant" for name in node.output]
    arrays = {each.name: each.array for each in builder.values}
    read = {name for node in builder.nodes for name in node.input}
    outputs = [name for name in made if name in arrays and (name not in read or builder.chance(0.06))]
    if not outputs:
        return None
    inputs = [_half_told(builder, each) for each in builder.inputs if each.name in read]
    wrap = builder.choose([_at_the_top] * 5 + [_in_branch, _in_loop, _in_function])
    graph = helper.make_graph(
        builder.nodes, "random", inputs, [_output(name, arrays[name]) for name in outputs], builder.initializers
    )
    model = wrap(builder, graph)
    arrays[FLAG] = np.array(builder.chance(0.5))
    return RandomModel(model, {each.name: arrays[each.name] for each in model.graph.input})


def _output(name: str, array: Array) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim)


def _half_told(builder: Builder, value: Value) -> ValueInfoProto:
    """The input with some sizes as symbols: one symbol for each size, so that they agree."""
    told = float(builder.choose([1.0, 1.0, 0.6, 0.0]))
    return described(
        value,
        [size if builder.chance(told) else f"size_{size}" for size in value.array.shape],
    )


def _at_the_top(builder: Builder, graph: GraphProto) -> ModelProto:
    return builder.model_of(graph)


def _in_branch(builder: Builder, graph: GraphProto) -> ModelProto:
    """As both branches of an If that reads the inputs from outside; which one is taken is an input more."""
    branch = helper.make_graph(graph.node, "branch", [], graph.output, graph.initializer)
    names = [f"{each.name}_out" for each in graph.output]
    node = helper.make_node("If", [FLAG], names, then_branch=branch, else_branch=branch)
    inputs = [*graph.input, helper.make_tensor_value_info(FLAG, TensorProto.BOOL, [])]
    return builder.model_of(helper.make_graph([node], "outer", inputs, _renamed(graph, names)))


def _in_loop(builder: Builder, graph: GraphProto) -> ModelProto:
    """As the body of a Loop of two rounds, whose scan outputs they are."""
    count = int(builder.choose([1, 2]))
    constants = [
        numpy_helper.from_array(np.array(count, np.int64), "trips"),
        numpy_helper.from_array(np.array(True), "go"),
    ]
    body = helper.make_graph(
        [*graph.node, helper.make_node("Identity", ["go_in"], ["go_out"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []), *graph.output],
        graph.initializer,
    )
    names = [f"{each.name}_out" for each in graph.output]
    node = helper.make_node("Loop", ["trips", "go"], names, body=body)
    outputs = _renamed(graph, names, added_rank=1)
    return builder.model_of(helper.make_graph([node], "outer", graph.input, outputs, constants))


def _in_function(builder: Builder, graph: GraphProto) -> ModelProto:
    """As the body of a function that is called twice, so that it stays one."""
    constants = [helper.make_node("Constant", [], [each.name], value=each) for each in graph.initializer]
    inputs, outputs = [each.name for each in graph.input], [each.name for each in graph.output]
    domain = helper.make_opsetid("local", 1)
    standard = helper.make_opsetid("", builder.opset)
    function = helper.make_function("local", "body", inputs, outputs, [*constants, *graph.node], [standard])
    calls, names = [], []
    for turn in range(2):
        made = [f"{name}_{turn}" for name in outputs]
        calls.append(helper.make_node("body", inputs, made, domain="local"))
        names += made
    outer = helper.make_graph(calls, "outer", graph.input, [*_renamed(graph, names[: len(outputs)])])
    return helper.make_model(outer, opset_imports=[standard, domain], ir_version=8, functions=[function])


def _renamed(graph: GraphProto, names: Sequence[str], *, added_rank: int = 0) -> list[ValueInfoProto]:
    """The graph's outputs under other names, with so many dimensions more."""
    return [
        helper.make_tensor_value_info(
            name,
            each.type.tensor_type.elem_type,
            [None] * (len(each.type.tensor_type.shape.dim) + added_rank),
        )
        for name, each in zip(names, graph.output, strict=True)
    ]
