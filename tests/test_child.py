"""The child process: what it answers, and what its deaths become."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Sequence

import pytest

from onnxctl.child import CONTINUE, Answer, Blob, Child, Progress, Talk
from onnxctl.errors import ChildCrashed, InvalidModel, ResourceLimit
from onnxctl.reports import JSON


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    """A child that can import this module."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    return Child()


def echo(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    progress({"seen": len(blobs)})
    return request, blobs


def crash(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    os.write(2, b"a last word from native code\n")
    os.kill(os.getpid(), request)
    raise AssertionError("unreachable")


def spin(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    while True:
        time.sleep(0.01)


def refuse(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    raise InvalidModel("node 'n' is wrong", hint="mend it")


def eat(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    return len(bytearray(request)), ()


def chatter(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    os.write(1, b"native libraries print to standard output")
    return sys.stdin.read(), ()


def stumble(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    raise LookupError("our own bug")


def call(child: Child, function: str, request: JSON = None, **options: float) -> JSON:
    """The answer of a function of this module."""
    answer, _ = child.call(f"tests.test_child:{function}", request, **options)  # type: ignore[arg-type]
    return answer


def test_values_and_bytes_go_both_ways(child: Child) -> None:
    news: list[JSON] = []
    with child:
        blobs: list[Blob] = [b"", b"abc", bytearray(5_000_000)]
        answer, back = child.call("tests.test_child:echo", {"text": "é\n", "n": 2**60}, blobs, progress=news.append)
    assert answer == {"text": "é\n", "n": 2**60}
    assert [bytes(each) for each in back] == [bytes(each) for each in blobs]
    assert news == [{"seen": 3}]


def test_our_errors_cross_the_border(child: Child) -> None:
    with child, pytest.raises(InvalidModel, match="node 'n' is wrong") as caught:
        call(child, "refuse")
    assert caught.value.hint == "mend it"


def test_our_bugs_stay_bugs(child: Child) -> None:
    with child, pytest.raises(RuntimeError, match="LookupError: our own bug"):
        call(child, "stumble")


def test_a_crash_is_one_line_and_the_next_call_works(child: Child) -> None:
    with child:
        with pytest.raises(ChildCrashed, match="SIGSEGV") as caught:
            call(child, "crash", signal.SIGSEGV)
        assert "a last word from native code" in caught.value.message
        assert "\n" not in caught.value.message
        assert call(child, "echo", 1) == 1


def test_being_killed_means_no_memory(child: Child) -> None:
    with child, pytest.raises(ResourceLimit, match="memory"):
        call(child, "crash", signal.SIGKILL)


def test_a_hang_ends_at_the_time_limit(child: Child) -> None:
    with child:
        with pytest.raises(ResourceLimit, match="time limit"):
            call(child, "spin", timeout_s=0.2)
        assert call(child, "echo", 2) == 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    with Child(memory_bytes=1 << 30) as child:
        assert call(child, "eat", 1 << 20) == 1 << 20
        with pytest.raises(ResourceLimit, match="memory"):
            call(child, "eat", 1 << 31)


def test_no_child_of_a_child_has_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    with Child(memory_bytes=1 << 30) as child:
        assert call(child, "limit_of_a_child", 1 << 29) == 1 << 29
        assert call(child, "limit_of_a_child", 1 << 31) == 1 << 30


def limit_of_a_child(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    with Child(memory_bytes=request) as child:
        return call(child, "limit"), ()


def limit(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    return resource.getrlimit(resource.RLIMIT_DATA)[1], ()


def test_output_of_native_libraries_disturbs_nothing(child: Child, capfd: pytest.CaptureFixture[str]) -> None:
    with child:
        assert call(child, "chatter") == ""
        assert call(child, "echo", 3) == 3
    assert capfd.readouterr() == ("", "")


def test_closing_ends_the_process_whatever_it_does(child: Child) -> None:
    child.start()
    process = child._process
    assert process is not None
    child.close()
    assert process.returncode == -signal.SIGKILL
    child.close()


def test_the_child_does_not_send_telemetry(child: Child) -> None:
    with child:
        assert call(child, "environment") == "1"


def environment(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    return os.environ.get("ORT_DISABLE_TELEMETRY"), ()


def count_up(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Talk:
    total = int(request)
    while True:
        total += yield total, blobs
        if total < 0:
            raise InvalidModel("below zero")


def test_a_talk_keeps_what_it_has_between_calls(child: Child) -> None:
    with child:
        assert child.call(f"{__name__}:count_up", 5)[0] == 5
        assert [child.call(CONTINUE, 2)[0] for _ in range(3)] == [7, 9, 11]
        with pytest.raises(InvalidModel, match="below zero"):
            child.call(CONTINUE, -20)
        assert child.call(f"{__name__}:echo", "still there")[0] == "still there"


def test_a_talk_that_was_never_begun_is_a_bug(child: Child) -> None:
    with child, pytest.raises(RuntimeError, match="no talk was begun"):
        child.call(CONTINUE, 1)
