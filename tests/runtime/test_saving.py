"""Outputs as files: whole or not at all, never over what nobody named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxctl.errors import OutputExists, StorageError, UnsupportedModel, UsageError
from onnxctl.runtime.saving import stage_outputs, write_outputs

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


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(UnsupportedModel, match="'s' is no tensor"),
        stage_outputs(str(tmp_path / "out.npz"), force=False) as staged,
    ):
        write_outputs(staged.path, {}, ["s"], [[np.ones(1)]])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="nowhere"):
        save(tmp_path / "nowhere" / "out.npz")
