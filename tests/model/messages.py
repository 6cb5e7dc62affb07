"""Hypothesis strategies for ONNX messages: any tensor, node, graph and model that the schema allows, valid or not."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

names = st.text(max_size=8)
int64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(width=32, allow_nan=False)
payloads = st.integers(0, 300).flatmap(lambda size: st.binary(min_size=size, max_size=size))


@st.composite
def tensors(draw: st.DrawFn) -> TensorProto:
    """A tensor with data in any fields at once, sensible or not."""
    tensor = TensorProto(dims=draw(st.lists(st.integers(0, 2**40), max_size=3)), data_type=draw(st.integers(0, 30)))
    if draw(st.booleans()):
        tensor.name = draw(names)
    fields: dict[str, st.SearchStrategy[Any]] = {
        "raw_data": payloads,
        "float_data": st.lists(floats, max_size=80),
        "double_data": st.lists(st.floats(allow_nan=False), max_size=40),
        "int32_data": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=80),
        "int64_data": st.lists(int64s, max_size=40),
        "uint64_data": st.lists(st.integers(0, 2**64 - 1), max_size=40),
        "string_data": st.lists(st.binary(max_size=60), max_size=5),
    }
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=2, unique=True)):
        value = draw(fields[name])
        if name == "raw_data":
            tensor.raw_data = value
        else:
            getattr(tensor, name).extend(value)
    if draw(st.booleans()):
        tensor.data_location = draw(st.sampled_from([TensorProto.DEFAULT, TensorProto.EXTERNAL]))
    for _ in range(draw(st.integers(0, 1))):
        tensor.external_data.add(key=draw(names), value=draw(names))
    return tensor


@st.composite
def sparse_tensors(draw: st.DrawFn) -> SparseTensorProto:
    """A sparse tensor, its parts perhaps unset."""
    sparse = SparseTensorProto(dims=draw(st.lists(int64s, max_size=2)))
    if draw(st.booleans()):
        sparse.values.CopyFrom(draw(tensors()))
    if draw(st.booleans()):
        sparse.indices.CopyFrom(draw(tensors()))
    return sparse


@st.composite
def attributes(draw: st.DrawFn, graphs: st.SearchStrategy[GraphProto]) -> AttributeProto:
    """An attribute with any of its fields set."""
    attribute = AttributeProto(name=draw(names))
    for which in draw(st.lists(st.integers(0, 7), max_size=3, unique=True)):
        if which == 0:
            attribute.t.CopyFrom(draw(tensors()))
        elif which == 1:
            attribute.tensors.append(draw(tensors()))
        elif which == 2:
            attribute.g.CopyFrom(draw(graphs))
        elif which == 3:
            attribute.graphs.extend([draw(graphs)])
        elif which == 4:
            attribute.sparse_tensor.CopyFrom(draw(sparse_tensors()))
        elif which == 5:
            attribute.ints.extend(draw(st.lists(int64s, max_size=60)))
        elif which == 6:
            attribute.floats.extend(draw(st.lists(floats, max_size=80)))
        else:
            attribute.s = draw(payloads)
    return attribute


def _nodes(graphs: st.SearchStrategy[GraphProto]) -> st.SearchStrategy[NodeProto]:
    return st.builds(
        NodeProto,
        op_type=names,
        input=st.lists(names, max_size=2),
        output=st.lists(names, max_size=2),
        attribute=st.lists(attributes(graphs), max_size=2),
    )


def _graphs(inner: st.SearchStrategy[GraphProto]) -> st.SearchStrategy[GraphProto]:
    return st.builds(
        GraphProto,
        name=names,
        node=st.lists(_nodes(inner), max_size=2),
        initializer=st.lists(tensors(), max_size=3),
        sparse_initializer=st.lists(sparse_tensors(), max_size=1),
    )


graphs: st.SearchStrategy[GraphProto] = st.recursive(st.builds(GraphProto, name=names), _graphs, max_leaves=3)


@st.composite
def models(draw: st.DrawFn) -> ModelProto:
    """A model with graphs, functions and training information in any combination."""
    model = ModelProto(ir_version=draw(int64s), producer_name=draw(names))
    if draw(st.booleans()):
        model.graph.CopyFrom(draw(_graphs(graphs)))
    for _ in range(draw(st.integers(0, 1))):
        model.functions.append(FunctionProto(name=draw(names), node=[draw(_nodes(graphs))]))
        model.functions[-1].attribute_proto.append(draw(attributes(graphs)))
    for _ in range(draw(st.integers(0, 1))):
        model.training_info.add().algorithm.CopyFrom(draw(graphs))
    return model
