"""Lazy tensors: every element type, inline and on disk, read as onnx itself reads it."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from onnxctl.errors import InvalidModel, UnsupportedModel
from onnxctl.model.arrays import Array
from onnxctl.model.loading import Model, open_model
from onnxctl.model.tensors import DTYPES, Tensor, raw_byte_count

NUMERIC = [number for number in DTYPES if number not in (TensorProto.UNDEFINED, TensorProto.STRING)]
LARGE, SMALL = 4099, 3


def model_with(tensor: TensorProto, folder: Path) -> Model:
    """A saved and opened model with this one initializer."""
    graph = GraphProto(name="g", initializer=[tensor])
    path = folder / "model.onnx"
    path.write_bytes(ModelProto(ir_version=10, graph=graph).SerializeToString())
    return open_model(str(path))


def values(number: int, count: int) -> Array:
    """Values that every numeric element type can hold."""
    return (np.arange(count) % 2).astype(helper.tensor_dtype_to_np_dtype(number))


@pytest.mark.parametrize("count", [SMALL, LARGE])
@pytest.mark.parametrize("number", NUMERIC, ids=lambda number: DTYPES[number].name)
def test_raw_data_of_every_type(number: int, count: int, tmp_path: Path) -> None:
    expected = values(number, count)
    model = model_with(numpy_helper.from_array(expected, "w"), tmp_path)
    tensor = model.tensor(model.proto.graph.initializer[0])
    assert (tensor.payload is not None) == (tensor.byte_count >= 1024)
    found = tensor.numpy()
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("count", [SMALL, LARGE])
@pytest.mark.parametrize("number", NUMERIC, ids=lambda number: DTYPES[number].name)
def test_typed_fields_of_every_type(number: int, count: int, tmp_path: Path) -> None:
    original = helper.make_tensor("w", number, [count], values(number, count).real.astype(np.float64).tolist())
    assert not original.HasField("raw_data")
    expected = numpy_helper.to_array(original)
    model = model_with(original, tmp_path)
    found = model.tensor(model.proto.graph.initializer[0]).numpy()
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


def test_strings_keep_bytes_that_are_no_text(tmp_path: Path) -> None:
    tensor = TensorProto(name="s", dims=[2], data_type=TensorProto.STRING, string_data=[b"\xff\xfe", "é".encode()])
    model = model_with(tensor, tmp_path)
    first, second = model.tensor(model.proto.graph.initializer[0]).numpy().tolist()
    assert first.encode("utf-8", "surrogateescape") == b"\xff\xfe"
    assert second == "é"


@pytest.mark.parametrize(
    ("number", "bits"),
    [(TensorProto.FLOAT, 32), (TensorProto.INT4, 4), (TensorProto.UINT2, 2), (TensorProto.FLOAT8E4M3FN, 8)],
)
def test_bits_of_element_types(number: int, bits: int) -> None:
    assert DTYPES[number].bits == bits


def test_every_element_type_of_onnx_is_known() -> None:
    for number in NUMERIC:
        raw = numpy_helper.from_array(values(number, 9)).raw_data
        assert raw_byte_count(9, DTYPES[number].bits) == len(raw), DTYPES[number].name


def _tensor(**fields: object) -> TensorProto:
    return TensorProto(**{"name": "w", "dims": [4], "data_type": TensorProto.FLOAT} | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (_tensor(raw_data=bytes(15)), "15 bytes of raw_data"),
        (_tensor(float_data=[1, 2]), "2 elements of float_data"),
        (_tensor(), "no data"),
        (_tensor(dims=[-1], raw_data=bytes(4)), "negative"),
        (_tensor(dims=[2**62, 8], raw_data=b""), "impossible dims"),
        (_tensor(data_type=99, raw_data=bytes(4)), "99"),
        (_tensor(data_type=0, raw_data=bytes(4)), "element type"),
        (_tensor(int32_data=[1, 2, 3, 4]), "not for this type"),
        (_tensor(raw_data=bytes(16), float_data=[1, 2, 3, 4]), "two fields"),
        (_tensor(data_type=TensorProto.STRING, raw_data=bytes(16)), "raw_data"),
        (_tensor(segment=TensorProto.Segment(begin=0, end=1), raw_data=bytes(16)), "segment"),
        (_tensor(raw_data=bytes(4096)), "4096 bytes of raw_data"),
        (_tensor(float_data=[0.5] * 1000), "4000 bytes of float_data"),
        (_tensor(data_type=TensorProto.INT64, int64_data=[1] * 2000), "int64_data"),
    ],
)
def test_what_disagrees_is_refused(tensor: TensorProto, words: str, tmp_path: Path) -> None:
    model = model_with(tensor, tmp_path)
    with pytest.raises(InvalidModel, match=words) as caught:
        model.tensor(model.proto.graph.initializer[0]).check()
    assert "'w'" in caught.value.message


def test_more_dimensions_than_numpy_has_are_refused() -> None:
    tensor = Tensor(_tensor(dims=[1] * 1000, raw_data=bytes(4)), None)
    tensor.check()
    with pytest.raises(UnsupportedModel, match="1000 dimensions"):
        tensor.numpy()


def test_new_large_tensors_go_to_disk(tmp_path: Path) -> None:
    model = model_with(_tensor(raw_data=bytes(16)), tmp_path)
    array = np.random.default_rng(0).random(5000).astype(ml_dtypes.bfloat16)
    first, second = model.new_tensor("a", array), model.new_tensor("b", array + 1)
    assert not first.raw_data
    assert not second.raw_data
    assert np.array_equal(model.tensor(first).numpy(), array)
    assert np.array_equal(model.tensor(second).numpy(), array + 1)
    small = model.new_tensor("c", np.ones(1, dtype=np.float32))
    assert model.payload(small) is None


def test_chunks_are_the_payload(tmp_path: Path) -> None:
    array = np.arange(3000, dtype=np.int32)
    model = model_with(onnx.numpy_helper.from_array(array, "w"), tmp_path)
    payload = model.payload(model.proto.graph.initializer[0])
    assert payload is not None
    assert b"".join(payload.chunks(1000)) == array.tobytes() == payload.read()
