"""The wire scanner against the protobuf library's own parser."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from onnxctl.errors import CorruptModel, InvalidModel, ModelError
from onnxctl.model import wire
from onnxctl.model.fields import delimited
from tests.conftest import sample_paths, shared_paths
from tests.model.messages import models


class Memory:
    """Bytes as a Source that notes what was read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size, self.read_bytes = data, len(data), 0

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size
        self.read_bytes += length
        return self.data[offset : offset + length]


def rebuild(data: bytes, threshold: int) -> bytes:
    """The message after its payloads were taken out and put back."""
    skeleton = wire.scan(Memory(data), threshold)

    def place(index: int) -> wire.Inline:
        cut = skeleton.cuts[index]
        return wire.Inline(index, cut.field, cut.length, cut.location_written)

    parts = []
    for piece in wire.expand(skeleton.data, place):
        if isinstance(piece, wire.PayloadReference):
            cut = skeleton.cuts[piece.number]
            parts.append(data[cut.offset : cut.offset + cut.length])
        else:
            parts.append(piece)
    return b"".join(parts)


@given(model=models(), threshold=st.integers(0, 300))
@settings(max_examples=300, deadline=None)
def test_skeleton_and_payloads_make_the_original(model: ModelProto, threshold: int) -> None:
    data = model.SerializeToString()
    assert ModelProto.FromString(rebuild(data, threshold)) == model


@given(model=models(), threshold=st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_no_payload_of_the_threshold_stays_where_one_field_holds_it(model: ModelProto, threshold: int) -> None:
    skeleton = wire.scan(Memory(model.SerializeToString()), threshold)
    for tensor in ModelProto.FromString(skeleton.data).graph.initializer:
        if tensor.raw_data and not tensor.external_data and not tensor.float_data and tensor.data_location == 0:
            others = (tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
            assert any(others) or len(tensor.raw_data) < max(threshold, 1)


@given(model=models(), cut=st.integers(0, 400), flip=st.integers(0, 10_000), value=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_are_refused_or_kept_as_they_are(model: ModelProto, cut: int, flip: int, value: int) -> None:
    data = bytearray(model.SerializeToString())
    if data:
        data[flip % len(data)] = value
    damaged = bytes(data[: len(data) - cut % (len(data) + 1)])
    try:
        rebuilt = rebuild(damaged, threshold=16)
    except (CorruptModel, InvalidModel):
        return
    try:
        original = ModelProto.FromString(damaged)
    except DecodeError:  # what the library refuses, we may copy as it is
        return
    assert ModelProto.FromString(rebuilt) == original


@pytest.mark.parametrize("path", [*sample_paths(), *shared_paths()], ids=lambda path: path.name)
def test_real_models_come_back_whole(path: Path) -> None:
    data = path.read_bytes()
    assert ModelProto.FromString(rebuild(data, wire.PAYLOAD_THRESHOLD_BYTES)) == ModelProto.FromString(data)


def test_payload_bytes_are_not_read() -> None:
    weights = onnx.helper.make_tensor("w", TensorProto.FLOAT, [1 << 20], bytes(4 << 20), raw=True)
    model = ModelProto(graph=GraphProto(initializer=[weights]))
    source = Memory(model.SerializeToString())
    skeleton = wire.scan(source)
    assert len(skeleton.data) < 200
    assert [cut.length for cut in skeleton.cuts] == [4 << 20]
    assert source.read_bytes < 200_000


def test_long_lists_in_attributes_hide_no_tensor() -> None:
    attribute = onnx.AttributeProto(name="a", floats=[0.5] * 50_000, ints=[-1, 300] * 30_000)
    attribute.t.CopyFrom(TensorProto(raw_data=bytes(2000)))
    attribute.tensors.append(TensorProto(raw_data=bytes(3000)))
    node = NodeProto(attribute=[attribute])
    data = ModelProto(graph=GraphProto(node=[node])).SerializeToString()
    assert [cut.length for cut in wire.scan(Memory(data)).cuts] == [2000, 3000]
    assert rebuild(data, 1024) == data


def test_fields_in_any_order_and_unknown_ones_survive() -> None:
    tensor = TensorProto(name="w", dims=[300], data_type=TensorProto.UINT8, raw_data=bytes(300))
    fields = [delimited(n, data) for n, data in ((9, tensor.raw_data), (8, b"w"), (999, b"unknown"))]
    for seed in range(6):
        random.Random(seed).shuffle(fields)
        message = delimited(7, delimited(5, b"".join(fields)))
        assert ModelProto.FromString(rebuild(message, 100)) == ModelProto.FromString(message)


def test_payload_given_twice_is_left_to_the_library() -> None:
    twice = delimited(9, bytes(300)) + delimited(9, b"\1" * 300)
    message = delimited(7, delimited(5, twice))
    assert ModelProto.FromString(rebuild(message, 100)).graph.initializer[0].raw_data == b"\1" * 300


def test_explicit_default_location_stays_explicit() -> None:
    tensor = TensorProto(name="w", raw_data=bytes(300), data_location=TensorProto.DEFAULT)
    message = ModelProto(graph=GraphProto(initializer=[tensor])).SerializeToString()
    assert ModelProto.FromString(rebuild(message, 100)).graph.initializer[0].HasField("data_location")


def test_groups_are_stepped_over() -> None:
    group = b"\xa3\x1f" + delimited(3, b"inside") + b"\xa4\x1f"  # field 500, begin and end
    message = ModelProto(ir_version=8).SerializeToString() + group
    assert rebuild(message, 1) == message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x3a\x05ab", "truncated"),
        (b"\x3a", "truncated"),
        (b"\x3f", "wire type 7"),
        (b"\x02\x00", "field number 0"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "varint"),
        (b"\x0c", "a group ends"),
        (b"\x0b" * 200, "nested"),
        (b"\x0b", "never ends"),
    ],
)
def test_malformed_bytes_name_the_fault(data: bytes, words: str) -> None:
    with pytest.raises(CorruptModel, match=words):
        wire.scan(Memory(data))


def test_messages_nested_too_deep_are_refused() -> None:
    graph = GraphProto(initializer=[TensorProto(raw_data=bytes(2000))])
    data = graph.SerializeToString()
    for _ in range(60):
        data = delimited(1, delimited(5, delimited(6, data)))  # graph > node > attribute > graph
    with pytest.raises(CorruptModel, match="nested"):
        wire.scan(Memory(delimited(7, data)))


def test_a_second_graph_is_refused() -> None:
    one = delimited(7, GraphProto(name="g").SerializeToString())
    with pytest.raises(InvalidModel, match="graph twice"):
        wire.scan(Memory(one + one))


def test_the_way_to_tensors_is_the_schemas() -> None:
    """CHILDREN lists exactly the fields of the installed onnx through which a TensorProto can be reached."""
    messages: list[Any] = [ModelProto, NodeProto, GraphProto, onnx.AttributeProto, onnx.FunctionProto, TensorProto]
    messages += [onnx.TrainingInfoProto, onnx.SparseTensorProto]
    leading = {message.DESCRIPTOR.name for message in messages}
    for message in messages:
        fields = [field for field in message.DESCRIPTOR.fields if field.message_type is not None]
        expected = {field.number: field.message_type.name for field in fields if field.message_type.name in leading}
        found = {number: kind.value for number, kind in wire.CHILDREN[wire.Kind(message.DESCRIPTOR.name)].items()}
        assert found == expected, message.DESCRIPTOR.name


def test_no_other_message_holds_a_tensor() -> None:
    for descriptor in ModelProto.DESCRIPTOR.file.message_types_by_name.values():
        for field in descriptor.fields:
            if field.message_type is not None and field.message_type.name == "TensorProto":
                assert field.number in wire.CHILDREN[wire.Kind(descriptor.name)], descriptor.name


def test_every_error_is_a_model_error() -> None:
    generator = random.Random(7)
    for _ in range(2000):
        data = generator.randbytes(generator.randrange(60))
        try:
            wire.scan(Memory(data), 1)
        except ModelError:
            continue
