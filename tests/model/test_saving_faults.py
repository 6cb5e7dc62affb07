"""Saving when things go wrong: calls that fail, many writers at once; old bytes or new bytes, never a mix."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from onnxctl.errors import StorageError
from onnxctl.model.loading import open_model
from onnxctl.model.saving import check_target, save, stage
from tests.model.test_saving import SAVER, values_of, write_model

CALLS = ("open", "write", "copy_file_range", "ftruncate", "fchmod", "fsync", "link", "replace")


def contents(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, failing: int) -> Callable[[], int]:
    """Let the call of this number fail with EIO; what is returned tells how many there were."""
    real, count = getattr(os, name), itertools.count(1)
    made = [0]

    def call(*arguments: Any, **options: Any) -> Any:
        if name == "open" and not (len(arguments) > 1 and arguments[1] & os.O_CREAT):
            return real(*arguments, **options)
        made[0] = next(count)
        if made[0] == failing:
            raise OSError(errno.EIO, "Input/output error")
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, call)
    return lambda: made[0]


@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("name", CALLS)
def test_whichever_call_fails_the_output_is_old_or_new(
    name: str, exists: bool, external: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first, the second, ... the last call fails; what else there is in the folder stays as it is."""
    write_model(tmp_path / "new.onnx", 2)
    write_model(tmp_path / "old.onnx", 1)
    target = tmp_path / "out.onnx"
    for failing in itertools.count(1):
        for each in tmp_path.glob("out.onnx*"):
            each.unlink()
        if exists:
            save(open_model(str(tmp_path / "old.onnx")), str(target), external=external)
        before = contents(tmp_path)
        model = open_model(str(tmp_path / "new.onnx"))
        with monkeypatch.context() as patch:
            calls = fail_at(patch, name, failing)
            try:
                save(model, str(target), external=external, force=True)
            except StorageError:
                assert contents(tmp_path) == before
            else:  # nothing failed that matters: the folder's own fsync, link(2) where rename(2) does
                assert values_of(target) == {2}
                assert len(os.listdir(tmp_path)) == 3 + external
        if calls() < failing:
            break
    assert failing > 1 or (name == "link" and not external) or name == "copy_file_range"


def write_at_once(folder: Path, rounds: int) -> None:
    """Eight processes save different models under one name, so many times each, and all of them come through."""
    for value in range(8):
        write_model(folder / f"{value}.onnx", value)
    once = SAVER.replace("while True:", f"for _ in range({rounds}):")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", once, str(folder / f"{n}.onnx"), str(folder / "out.onnx"), "external"],
            stdout=subprocess.DEVNULL,
        )
        for n in range(8)
    ]
    assert [writer.wait() for writer in writers] == [0] * 8
    assert len(values_of(folder / "out.onnx")) == 1
    assert len(os.listdir(folder)) == 8 + 2


def test_many_writers_on_one_output_with_data_leave_one_whole_result(tmp_path: Path) -> None:
    write_at_once(tmp_path, rounds=10)


@pytest.mark.slow
def test_fifty_rounds_of_eight_writers_leave_one_whole_result(tmp_path: Path) -> None:
    write_at_once(tmp_path, rounds=50)


def test_a_name_that_somebody_takes_meanwhile_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "in.onnx", 1)
    real = os.link

    def link(source: str, target: str) -> None:
        monkeypatch.setattr(os, "link", real)
        Path(target).write_bytes(b"theirs")
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    written = save(open_model(str(tmp_path / "in.onnx")), str(tmp_path / "out.onnx"), external=True)
    assert written[1] == str(tmp_path / "out.onnx.1.data")
    assert (tmp_path / "out.onnx.data").read_bytes() == b"theirs"
    assert values_of(tmp_path / "out.onnx") == {1}


def test_a_writer_that_publishes_first_leaves_the_data_of_one_on_its_way(tmp_path: Path) -> None:
    for value in (0, 1, 2):
        write_model(tmp_path / f"{value}.onnx", value)
    target = str(tmp_path / "out.onnx")
    save(open_model(str(tmp_path / "0.onnx")), target, external=True)
    slow = open_model(str(tmp_path / "1.onnx"))
    with stage(slow, check_target(slow, target, force=True), external=True) as staged:
        save(open_model(str(tmp_path / "2.onnx")), target, external=True, force=True)
        assert values_of(Path(target)) == {2}
        staged.commit()
    assert values_of(Path(target)) == {1}
    assert len(os.listdir(tmp_path)) == 3 + 2


def test_data_that_the_input_uses_stays_where_another_output_had_it(tmp_path: Path) -> None:
    """A copy of a model refers to the original's data."""
    write_model(tmp_path / "in.onnx", 1)
    save(open_model(str(tmp_path / "in.onnx")), str(tmp_path / "model.onnx"), external=True)
    shutil.copy(tmp_path / "model.onnx", tmp_path / "copy.onnx")
    save(open_model(str(tmp_path / "copy.onnx")), str(tmp_path / "model.onnx"), force=True)
    assert values_of(tmp_path / "copy.onnx") == values_of(tmp_path / "model.onnx") == {1}


@pytest.mark.parametrize("external", [False, True])
def test_in_place_again_and_again_neither_grows_nor_leaves_anything(external: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_model(tmp_path / "in.onnx", 3)
    save(open_model(str(tmp_path / "in.onnx")), str(path), external=external)
    (tmp_path / "in.onnx").unlink()
    path.chmod(0o640)
    sizes = []
    for _ in range(5):
        save(open_model(str(path)), str(path), in_place=True)
        sizes.append(sorted(each.stat().st_size // 64 for each in tmp_path.iterdir()))  # data's name gets a number
    assert sizes == [sizes[0]] * 5
    assert len(sizes[0]) == 1 + external
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o640}
    assert onnx.load(path).graph.initializer[0].dims == [100_000]


def test_what_a_killed_save_left_goes_with_the_next(tmp_path: Path) -> None:
    write_model(tmp_path / "in.onnx", 3)
    save(open_model(str(tmp_path / "in.onnx")), str(tmp_path / "out.onnx"), external=True)
    (tmp_path / "out.onnx.1.data").write_bytes(b"written, and killed before the model was renamed")
    save(open_model(str(tmp_path / "in.onnx")), str(tmp_path / "out.onnx"), external=True, force=True)
    assert sorted(os.listdir(tmp_path)) == ["in.onnx", "out.onnx", "out.onnx.2.data"]


def test_a_file_that_a_killed_save_left_goes_with_the_next_and_no_other(tmp_path: Path) -> None:
    write_model(tmp_path / "in.onnx", 3)
    target = tmp_path / "out.onnx"
    names = [".out.onnx.0123456789ab.tmp", ".other.onnx.0123456789ab.tmp", ".out.onnx.backup.tmp"]
    for name in names:
        (tmp_path / name).write_bytes(b"half a model")
    with stage(open_model(str(tmp_path / "in.onnx")), check_target(open_model(str(tmp_path / "in.onnx")), str(target))):
        on_its_way = set(os.listdir(tmp_path)) - {"in.onnx", *names}
        assert len(on_its_way) == 1
        save(open_model(str(tmp_path / "in.onnx")), str(target))
        assert set(os.listdir(tmp_path)) == {"in.onnx", "out.onnx", *names[1:], *on_its_way}
    assert set(os.listdir(tmp_path)) == {"in.onnx", "out.onnx", *names[1:]}
