"""Opening: models, everything that is no model, external data, standard input."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxctl.errors import CorruptModel, InvalidModel, ModelError, NotOnnx, UnreadableFile, UnsafePath
from onnxctl.model.loading import Model, model_file, open_model, tensors_of_model
from tests.conftest import SAMPLES, sample_paths, shared_paths


def write_external(folder: Path, **entries: str) -> Path:
    """A model whose one initializer `w`, float32[4], is external data with these entries."""
    tensor = TensorProto(name="w", dims=[4], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [output], [tensor])
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def weight(model: Model) -> list[float]:
    """The values of `w`."""
    tensor = model.tensor(model.proto.graph.initializer[0])
    tensor.check()
    values: list[float] = tensor.numpy().tolist()
    return values


@pytest.mark.parametrize("path", [*sample_paths(), *shared_paths()], ids=lambda path: path.name)
def test_every_tensor_is_what_onnx_reads(path: Path) -> None:
    model, expected = open_model(str(path)), onnx.load(path)
    pairs = zip(tensors_of_model(model.proto), tensors_of_model(expected), strict=True)
    for found, other in pairs:
        array = onnx.numpy_helper.to_array(other)
        mine = model.tensor(found).numpy()
        assert mine.shape == array.shape
        assert array.dtype == object or mine.tobytes() == array.tobytes(), found.name


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", NotOnnx, "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", NotOnnx, "Git LFS"),
        (b"<!DOCTYPE html><html></html>", NotOnnx, "HTML"),
        (b'{"error": "not found"}', NotOnnx, "JSON"),
        (b"PK\x03\x04rest", NotOnnx, "zip"),
        (b"\x80\x04\x95", NotOnnx, "pickle"),
        (b"just some text", NotOnnx, "text"),
        (bytes(100), NotOnnx, "not an ONNX model"),
        (b"\x08\x0a\x3a\x7f\x0a", CorruptModel, "truncated"),
    ],
)
def test_what_is_no_model_is_named(data: bytes, kind: type[ModelError], words: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(kind, match=words) as caught:
        open_model(str(path))
    assert str(path) in caught.value.message


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, words in (
        (tmp_path, "directory"),
        (tmp_path / "fifo", "FIFO"),
        ("/dev/zero", "device"),
        ("nope", "No such"),
    ):
        with pytest.raises(UnreadableFile, match=words):
            open_model(str(path))


def test_external_data_is_a_lazy_tensor(tmp_path: Path) -> None:
    path = write_external(tmp_path, location="w.bin", offset="4", length="16")
    (tmp_path / "w.bin").write_bytes(np.arange(5, dtype=np.float32).tobytes())
    model = open_model(str(path))
    assert weight(model) == [1, 2, 3, 4]
    assert [file.location for file in model.data_files] == ["w.bin"]


def test_a_linked_cache_works(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    write_external(tmp_path, location="model.data").rename(blobs / "abc")
    (blobs / "def").write_bytes(np.ones(4, dtype=np.float32).tobytes())
    (snapshot / "model.onnx").symlink_to("../../blobs/abc")
    (snapshot / "model.data").symlink_to("../../blobs/def")
    assert weight(open_model(str(snapshot / "model.onnx"))) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("../secret", UnsafePath),
        ("sub/../../secret", UnsafePath),
        ("/etc/passwd", UnsafePath),
        ("C:\\secret", UnsafePath),
        ("..\\secret", UnsafePath),
        ("w.bin\0x", UnsafePath),
        ("*/_ORT_MEM_ADDR_/*", UnsafePath),
        ("link", UnsafePath),
        ("folderlink/secret", UnsafePath),
        ("fifo", UnsafePath),
        ("folder", UnsafePath),
        ("missing", UnreadableFile),
        ("", InvalidModel),
        (".", InvalidModel),
    ],
)
def test_locations_lead_nowhere_else(location: str, kind: type[ModelError], tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(16))
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "folderlink").symlink_to(tmp_path)
    os.mkfifo(inside / "fifo")
    model = open_model(str(write_external(inside, location=location)))
    with pytest.raises(kind, match="'w'"):
        weight(model)


@pytest.mark.parametrize(
    "entries",
    [{"offset": "-4"}, {"offset": "0x10"}, {"offset": str(2**64)}, {"length": "-1"}, {"length": "8"}, {"offset": "8"}],
)
def test_impossible_offsets_and_lengths_are_refused(entries: dict[str, str], tmp_path: Path) -> None:
    path = write_external(tmp_path, location="w.bin", **entries)
    (tmp_path / "w.bin").write_bytes(bytes(16))
    with pytest.raises(InvalidModel, match="'w'"):
        weight(open_model(str(path)))


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = write_external(tmp_path, location="w.bin")
    (tmp_path / "w.bin").write_bytes(bytes(16))
    model = open_model(str(path))
    tensor = model.tensor(model.proto.graph.initializer[0])
    tensor.check()
    assert tensor.payload is not None
    tensor.payload.check()
    os.truncate(tmp_path / "w.bin", 4)
    with pytest.raises(CorruptModel, match="shorter"):
        tensor.numpy()


def test_standard_input_goes_through_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    data = (SAMPLES / "linear_regression.onnx").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    with model_file("-") as path:
        assert os.listdir(os.path.dirname(path)) == ["stdin.onnx"]
        assert open_model(path).proto == onnx.ModelProto.FromString(data)
    assert not os.path.exists(os.path.dirname(path))


def test_errors_of_standard_input_do_not_name_the_temporary_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no model")))
    with pytest.raises(NotOnnx, match="<stdin>: this is text"), model_file("-") as path:
        open_model(path)
