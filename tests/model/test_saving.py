"""Saving: the same model comes back, an output appears whole or not at all, and nobody else's file is touched."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxctl.errors import InvalidModel, OnnxctlError, OutputExists, StorageError, UsageError
from onnxctl.model.loading import open_model, tensors_of_model
from onnxctl.model.saving import check_target, save, saved_bytes, stage
from tests.conftest import SAMPLES, sample_paths, shared_paths

ALL = [*sample_paths(), *shared_paths()]


def same_values(first: Path, second: Path) -> bool:
    """Whether two models hold the same tensors, wherever these are stored."""
    pairs = zip(tensors_of_model(onnx.load(first)), tensors_of_model(onnx.load(second)), strict=True)
    for one, other in pairs:
        a, b = numpy_helper.to_array(one), numpy_helper.to_array(other)
        if a.shape != b.shape or (a.tolist() != b.tolist() if a.dtype == object else a.tobytes() != b.tobytes()):
            return False
    return True


def write_model(path: Path, value: float, count: int = 100_000) -> None:
    """A model with one weight full of `value`."""
    weight = numpy_helper.from_array(np.full(count, value, np.float32), "w")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [count])
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [output], [weight])
    path.write_bytes(helper.make_model(graph).SerializeToString())


def values_of(path: Path) -> set[float]:
    """The least and the largest value of the weight of `write_model`: one where it is whole."""
    (weight,) = onnx.load(path, load_external_data=False).graph.initializer
    where = {entry.key: entry.value for entry in weight.external_data}
    values = np.frombuffer(weight.raw_data, np.float32)
    if where:
        values = np.fromfile(path.parent / where["location"], np.float32, offset=int(where["offset"]))
    assert len(values) == weight.dims[0]
    return {float(values.min()), float(values.max())}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_model_comes_back_equal(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    save(open_model(str(path)), str(target), external=False)
    saved, expected = ModelProto.FromString(target.read_bytes()), onnx.load(path)
    if any(file.location for file in open_model(str(path)).data_files):  # onnx.load then states the default location
        for tensor in tensors_of_model(expected):
            tensor.ClearField("data_location")
    assert saved == expected
    assert os.listdir(tmp_path) == ["out.onnx"]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_model_comes_back_with_external_data(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    written = save(open_model(str(path)), str(target), external=True)
    assert same_values(path, target)
    assert sorted(os.listdir(tmp_path)) == sorted(os.path.basename(each) for each in written)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save(open_model(str(SAMPLES / "transformer_block.onnx")), str(tmp_path / name / "out.onnx"), external=True)
    for name in ("out.onnx", "out.onnx.data"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_external_data_stays_external_unless_asked(tmp_path: Path) -> None:
    source = SAMPLES / "external_data" / "external_data.onnx"
    assert len(save(open_model(str(source)), str(tmp_path / "kept.onnx"))) == 2
    assert len(save(open_model(str(source)), str(tmp_path / "inside.onnx"), external=False)) == 1


def test_data_gets_a_name_that_nothing_refers_to(tmp_path: Path) -> None:
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    write_model(source, 1)
    for _ in range(3):
        old = set(os.listdir(tmp_path)) - {"in.onnx", "out.onnx"}
        written = save(open_model(str(source)), str(target), external=True, force=True)
        assert {os.path.basename(each) for each in written} & old == set()
        assert len(os.listdir(tmp_path)) == 3  # what was replaced is gone
        assert same_values(source, target)


def test_in_place_with_external_data(tmp_path: Path) -> None:
    source, path = tmp_path / "in.onnx", tmp_path / "model.onnx"
    write_model(source, 1)
    save(open_model(str(source)), str(path), external=True)
    save(open_model(str(path)), str(path), in_place=True)
    assert values_of(path) == {1}
    assert len(os.listdir(tmp_path)) == 3


def test_the_input_is_never_overwritten_by_mistake(tmp_path: Path) -> None:
    source, link, hard = tmp_path / "in.onnx", tmp_path / "link.onnx", tmp_path / "hard.onnx"
    write_model(source, 1)
    link.symlink_to(source)
    hard.hardlink_to(source)
    before = source.read_bytes()
    model = open_model(str(source))
    for path, words in ((source, "--in-place"), (hard, "--in-place"), (link, "in.onnx")):
        with pytest.raises(UsageError) as caught:
            save(model, str(path), force=True)
        assert words in caught.value.hint
    assert source.read_bytes() == before


def test_the_inputs_data_file_is_never_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "in.onnx"
    write_model(source, 1)
    save(open_model(str(source)), str(tmp_path / "m.onnx"), external=True)
    model = open_model(str(tmp_path / "m.onnx"))
    with pytest.raises(UsageError, match="data file"):
        save(model, str(tmp_path / "m.onnx.data"), force=True)


def test_existing_outputs_need_force_and_keep_their_mode(tmp_path: Path) -> None:
    source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
    write_model(source, 1)
    target.write_bytes(b"old")
    target.chmod(0o600)
    with pytest.raises(OutputExists, match="exists"):
        save(open_model(str(source)), str(target))
    assert target.read_bytes() == b"old"
    save(open_model(str(source)), str(target), force=True)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert values_of(target) == {1}


def test_new_outputs_follow_the_umask(tmp_path: Path) -> None:
    write_model(tmp_path / "in.onnx", 1)
    mask = os.umask(0o027)
    try:
        save(open_model(str(tmp_path / "in.onnx")), str(tmp_path / "out.onnx"))
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "out.onnx").stat().st_mode) == 0o640


@pytest.mark.parametrize("target", ["missing/out.onnx", "folder", "fifo"])
def test_impossible_targets_are_refused_before_any_work(target: str, tmp_path: Path) -> None:
    write_model(tmp_path / "in.onnx", 1)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises((StorageError, UsageError)):
        check_target(open_model(str(tmp_path / "in.onnx")), str(tmp_path / target), force=True)


def test_leaving_without_commit_removes_everything(tmp_path: Path) -> None:
    write_model(tmp_path / "in.onnx", 1)
    model = open_model(str(tmp_path / "in.onnx"))
    with stage(model, check_target(model, str(tmp_path / "out.onnx")), external=True) as staged:
        assert values_of(Path(staged.path)) == {1}
    assert os.listdir(tmp_path) == ["in.onnx"]


@pytest.mark.parametrize("external", [False, True])
def test_a_full_disk_leaves_all_as_it_was(external: bool, tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk: writes beyond it fail with EFBIG."""
    write_model(tmp_path / "in.onnx", 2)
    (tmp_path / "out.onnx").write_bytes(b"old")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    model = open_model(str(tmp_path / "in.onnx"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="writing failed"):
            save(model, str(tmp_path / "out.onnx"), force=True, external=external)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 1 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("file systems can't be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("exists", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
def test_a_disk_that_is_full_leaves_all_as_it_was(external: bool, exists: bool, small_disk: Path) -> None:
    """There is room for the old output (400 kB) and half of the new one."""
    write_model(small_disk.parent / "old.onnx", 1)
    write_model(small_disk.parent / "in.onnx", 2, count=250_000)
    target = small_disk / "out.onnx"
    if exists:
        save(open_model(str(small_disk.parent / "old.onnx")), str(target), external=external)
    else:
        (small_disk / "other").write_bytes(bytes(400_000))
    before = {each.name: each.read_bytes() for each in small_disk.iterdir()}
    with pytest.raises(StorageError, match="No space left") as caught:
        save(open_model(str(small_disk.parent / "in.onnx")), str(target), force=True, external=external)
    assert "-o" in caught.value.hint
    assert {each.name: each.read_bytes() for each in small_disk.iterdir()} == before


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "in.onnx", 1)
    save(open_model(str(tmp_path / "in.onnx")), str(tmp_path / "m.onnx"), external=True)
    proto = ModelProto.FromString((tmp_path / "m.onnx").read_bytes())
    proto.graph.initializer[0].external_data.add(key="checksum", value="0" * 40)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(InvalidModel, match="checksum"):
        save(open_model(str(tmp_path / "m.onnx")), str(tmp_path / "out.onnx"))
    assert not (tmp_path / "out.onnx").exists()


SAVER = """
import sys
from onnxctl.model.loading import open_model
from onnxctl.model.saving import save
model = open_model(sys.argv[1])
print("ready", flush=True)
while True:
    save(model, sys.argv[2], external=sys.argv[3] == "external", force=True)
"""


KILLER = """
import os, signal, sys, time
from onnxctl.model.loading import open_model
from onnxctl.model.saving import save
model = open_model(sys.argv[1])
for line in sys.stdin:
    saver = os.fork()
    while not saver:
        save(model, sys.argv[2], external=sys.argv[3] == "external", force=True)
    time.sleep(float(line))
    os.kill(saver, signal.SIGKILL)
    os.waitpid(saver, 0)
    print("killed", flush=True)
"""


def kill_while_saving(source: Path, target: Path, external: bool, moments: Iterable[float]) -> Iterator[set[float]]:
    """Save again and again, killed after each of these seconds: the values found then, none where there is no file."""
    command = [sys.executable, "-c", KILLER, str(source), str(target), "external" if external else "inline"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for delay in moments:
            process.stdin.write(f"{delay}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline() == b"killed\n"
            found = values_of(target) if target.exists() else set()
            assert found in (set(), {1.0}, {2.0}), f"torn after {delay:.3f} s"
            yield found


@pytest.mark.parametrize("external", [False, True])
def test_killed_at_any_moment_the_output_is_old_or_new(external: bool, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    for value in (1, 2):
        write_model(tmp_path / f"{value}.onnx", value, count=2_000_000)
    save(open_model(str(tmp_path / "1.onnx")), str(target), external=external)
    assert len(list(kill_while_saving(tmp_path / "2.onnx", target, external, (i * 0.011 for i in range(8))))) == 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("external", [False, True])
def test_killed_at_two_hundred_random_moments_of_a_200_mb_save(external: bool, tmp_path: Path) -> None:
    """Every fourth time the output is removed, so that the next save makes a new one; in the end nothing is left."""
    chance, target = random.Random(0), tmp_path / "out.onnx"
    for value in (1, 2):
        write_model(tmp_path / f"{value}.onnx", value, count=50_000_000)
    first = open_model(str(tmp_path / "1.onnx"))
    started = time.monotonic()
    save(first, str(target), external=external)
    longest = 2 * (time.monotonic() - started)
    moments = [chance.uniform(0, longest) for _ in range(200)]
    old_count = 0
    for number, found in enumerate(kill_while_saving(tmp_path / "2.onnx", target, external, moments)):
        old_count += found == {1.0}
        if number % 4 == 3:
            target.unlink(missing_ok=True)
        elif number % 4 == 1:
            save(first, str(target), external=external, force=True)
    assert 10 < old_count < 190, "the moments are spread over the save"
    for _ in range(2):  # data that a killed save left goes with the output that is replaced next
        save(first, str(target), external=external, force=True)
    assert len(os.listdir(tmp_path)) == 3 + external


def test_two_writers_on_one_output_leave_one_whole_result(tmp_path: Path) -> None:
    for value in (1, 2):
        write_model(tmp_path / f"{value}.onnx", value)
    once = SAVER.replace("while True:", "for _ in range(20):")
    command = [sys.executable, "-c", once]
    writers = [
        subprocess.Popen([*command, str(tmp_path / f"{n}.onnx"), str(tmp_path / "out.onnx"), "inline"]) for n in (1, 2)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert values_of(tmp_path / "out.onnx") in ({1.0}, {2.0})
    assert sorted(os.listdir(tmp_path)) == ["1.onnx", "2.onnx", "out.onnx"]


def test_holes_stay_holes(tmp_path: Path) -> None:
    write_model(tmp_path / "in.onnx", 1, count=4)
    save(open_model(str(tmp_path / "in.onnx")), str(tmp_path / "m.onnx"), external=True)
    proto = ModelProto.FromString((tmp_path / "m.onnx").read_bytes())
    size = 1 << 36
    tensor = proto.graph.initializer[0]
    assert not tensor.external_data  # 16 bytes stay in the model
    tensor.CopyFrom(TensorProto(name="w", dims=[size], data_type=TensorProto.UINT8, data_location=TensorProto.EXTERNAL))
    tensor.external_data.add(key="location", value="holes.data")
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with open(tmp_path / "holes.data", "wb") as file:
        file.truncate(size)
        file.seek(size // 2)
        file.write(b"data")
    _, data = save(open_model(str(tmp_path / "m.onnx")), str(tmp_path / "out.onnx"))
    found = os.stat(data)
    assert found.st_size == size
    assert found.st_blocks * 512 < 1 << 22
    with open(data, "rb") as file:
        file.seek(size // 2)
        assert file.read(5) == b"data\0"


def test_errors_are_ours(tmp_path: Path) -> None:
    write_model(tmp_path / "in.onnx", 1)
    model = open_model(str(tmp_path / "in.onnx"))
    with pytest.raises(OnnxctlError):
        save(model, str(tmp_path / "no" / "where.onnx"))


def test_tensors_that_share_their_bytes_go_on_sharing_them(tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "out.onnx"
    write_model(source, 3.0)
    model = onnx.load(source)
    onnx.save(model, source, save_as_external_data=True, location="w.data", size_threshold=0)
    model = onnx.load(source, load_external_data=False)
    model.graph.initializer.add().CopyFrom(model.graph.initializer[0])
    model.graph.initializer[1].name = "v"
    source.write_bytes(model.SerializeToString())
    opened = open_model(str(source))
    assert saved_bytes(opened) < 500_000
    save(opened, str(target))
    assert (tmp_path / "out.onnx.data").stat().st_size == 400_000
    assert same_values(source, target)


def test_an_output_that_does_not_reach_the_disk_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "out.onnx"
    write_model(source, 3.0)
    target.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="Input/output error"):
        save(open_model(str(source)), str(target), force=True)
    assert target.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["model.onnx", "out.onnx"]
