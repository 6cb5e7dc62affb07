"""Outputs as files: whole or not at all, never over what nobody named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxctl.errors import OutputExists, StorageError, UnsupportedModel, UsageError
from onnxctl.runtime.given import read_value
from onnxctl.runtime.saving import check_form, stage_outputs, write_outputs

INPUTS = {"x": np.ones((2, 3), np.float32)}
OUTPUTS = [np.arange(3), np.array(["a", "b"], dtype=object)]


def save(target: Path, *, force: bool = False) -> tuple[str, ...]:
    with stage_outputs(str(target), force=force) as staged:
        write_outputs(staged.path, INPUTS, ["y", "words"], OUTPUTS)
        return staged.commit()


def test_an_archive_holds_the_outputs_by_name(tmp_path: Path) -> None:
    assert save(tmp_path / "out.npz") == (str(tmp_path / "out.npz"),)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as archive:
        assert archive["y"].tolist() == [0, 1, 2] and archive["words"].tolist() == ["a", "b"]
    assert [each.name for each in tmp_path.iterdir()] == ["out.npz"]


def test_a_folder_is_a_test_data_set_and_can_be_replaced(tmp_path: Path) -> None:
    for force in (False, True):
        written = save(tmp_path / "set", force=force)
        assert [Path(each).name for each in written] == ["input_0.pb", "output_0.pb", "output_1.pb"]
    assert [each.name for each in tmp_path.iterdir()] == ["set"]


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "out.npz").write_text("old")
    with pytest.raises(OutputExists, match=r"out\.npz"):
        save(tmp_path / "out.npz")
    assert (tmp_path / "out.npz").read_text() == "old"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="other files"):
        save(tmp_path / "mine", force=True)


MAPS = [[{"a": 0.1, "é": -2.5}, {}], {"b": 1.5}, {3: float(np.float32(0.1)), -1: 2.0}, {7: 8}, [[np.ones(2)], []]]


@pytest.mark.parametrize("value", MAPS, ids=repr)
def test_maps_and_sequences_come_back_from_their_files(value: object, tmp_path: Path) -> None:
    kind = "map_type" if isinstance(value, dict) else "sequence_type"
    with stage_outputs(str(tmp_path / "set"), force=False) as staged:
        write_outputs(staged.path, {}, ["y"], [value])
        staged.commit()
    found = read_value(str(tmp_path / "set" / "output_0.pb"), "y", type_of(kind))
    assert str(found) == str(value) if kind == "sequence_type" else found == value


def type_of(kind: str) -> onnx.TypeProto:
    message = onnx.TypeProto()
    getattr(message, kind).SetInParent()
    return message


def test_numbers_of_a_map_have_32_bits_where_these_hold_them(tmp_path: Path) -> None:
    for value, expected in ((0.5, onnx.TensorProto.FLOAT), (0.1, onnx.TensorProto.DOUBLE), (2, onnx.TensorProto.INT64)):
        with stage_outputs(str(tmp_path / "set"), force=True) as staged:
            write_outputs(staged.path, {}, ["y"], [{"a": value}])
            staged.commit()
        message = onnx.MapProto.FromString((tmp_path / "set" / "output_0.pb").read_bytes())
        assert [each.data_type for each in message.values.tensor_values] == [expected]


def test_what_names_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"out\.json: outputs are not written as \.json"):
        check_form(str(tmp_path / "out.json"))
    for fine in ("out.npz", "out", "out.v2"):
        check_form(fine)


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(UnsupportedModel, match="'s' is no tensor"),
        stage_outputs(str(tmp_path / "out.npz"), force=False) as staged,
    ):
        write_outputs(staged.path, {}, ["s"], [[np.ones(1)]])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="nowhere"):
        save(tmp_path / "nowhere" / "out.npz")
