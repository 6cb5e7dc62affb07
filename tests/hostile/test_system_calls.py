"""What commands ask of the system, as strace sees it: files opened and read, and the network."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tests.hostile.corpus import Case
from tests.hostile.nursery import Nursery
from tests.hostile.sandbox import Outcome, run_in_sandbox
from tests.hostile.test_commands import VARIANTS

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

CNN = str(SAMPLES / "digits_cnn.onnx")
MEGABYTE = 1_000_000

_READ = re.compile(r"\bp?read\w*\(\d+<(?P<path>[^>]*)>.* = (?P<count>\d+)$")


def strace(calls: str, log: Path) -> tuple[str, ...]:
    """The command that logs these system calls of another and all its children, descriptors with their paths."""
    return ("strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "256", "-o", str(log), "-e", f"trace={calls}")


def traced(arguments: list[str], folder: Path, calls: str) -> tuple[Outcome, list[str]]:
    """How a command ended, and its system calls."""
    log = folder / "strace"
    outcome = run_in_sandbox(arguments, folder / "box", [], kill_after_s=120, wrapper=strace(calls, log))
    return outcome, log.read_text(errors="replace").splitlines()


@pytest.mark.parametrize("verb", [("run", "--runs", "3"), ("optimize", "-o", "out.onnx"), ("check",), ("inspect",)])
def test_no_network_is_used(verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)  # onnxruntime sends no telemetry where it sees a build server
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    outcome, calls = traced([*verb, CNN], tmp_path, "network")
    assert outcome.exit_code == 0
    assert [call for call in calls if "AF_INET" in call or "AF_NETLINK" in call] == []
    assert not outcome.changed


@pytest.mark.parametrize("name", ["ext_sparse_64g", "ext_amplify_2000x"])
def test_weights_are_not_read_to_be_described(corpus: list[Case], name: str, tmp_path: Path) -> None:
    case = next(each for each in corpus if each.name == name)
    outcome, calls = traced(["inspect", "--nodes", "--cost", "--", case.path], tmp_path, "read,pread64,preadv,mmap")
    assert outcome.exit_code == 0
    folder = case.folder
    assert not [call for call in calls if "mmap(" in call and folder in call]
    found = [match for call in calls if (match := _READ.search(call)) and match["path"].startswith(folder)]
    assert found
    assert sum(int(match["count"]) for match in found) < MEGABYTE


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("variant", ["inspect", "optimize", "run", "check", "diff"])
def test_nothing_outside_of_the_models_folder_is_opened(corpus: list[Case], variant: str, tmp_path: Path) -> None:
    forbidden = re.compile(r'/outside/|"/etc/(passwd|hostname)"')
    wrong, log = {}, tmp_path / "strace"
    log.touch()
    with Nursery(strace("open,openat,openat2", log)) as nursery, log.open(errors="replace") as calls:
        for case in corpus:
            if case.category != "external" or "sparse" in case.flags:
                continue
            paths = [case.path] * (2 if variant == "diff" else 1)
            arguments = [*VARIANTS[variant], "--", *paths]
            run_in_sandbox(arguments, tmp_path / case.name, [], kill_after_s=120, nursery=nursery)
            opened = calls.read().splitlines()
            assert any(os.path.basename(case.path) in call for call in opened)
            if found := [call for call in opened if forbidden.search(call) and "ENOENT" not in call]:
                wrong[case.name] = found[:3]
    assert wrong == {}
