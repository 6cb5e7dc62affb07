"""Command lines in processes of their own that start at once: forks of a process that has all modules loaded.

Python and the libraries take longer to load than most commands take. What a command starts itself, such as the child
for onnxruntime, starts as always.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.command_line import COMMAND, environment

_SERVER = """
import importlib, json, os, pkgutil, resource, signal, sys
import onnx.checker, onnx.defs, onnx.shape_inference
import onnxctl

for module in pkgutil.walk_packages(onnxctl.__path__, "onnxctl."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

replies = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        break
    signal.signal(signal.SIGALRM, lambda number, frame: os.killpg(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, request["kill_after_s"])
    _, status, usage = os.wait4(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    code = os.waitstatus_to_exitcode(status)
    print(json.dumps([code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]), file=replies, flush=True)
else:
    sys.exit()

os.setsid()
replies.close()
os.chdir(request["folder"])
for number, path in enumerate((os.devnull, request["stdout"], request["stderr"])):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOCTTY, 0o600)
    os.dup2(descriptor, number)
    os.close(descriptor)
os.environ.clear()
os.environ.update(request["environment"])
resource.setrlimit(resource.RLIMIT_AS, (request["memory_bytes"],) * 2)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sys.argv = ["onnxctl", *request["arguments"]]
onnxctl.cli.main()
"""


class Task(NamedTuple):
    """A command line: where it runs, where its output goes (files, or a terminal), its address space, and when it hangs
    and is killed.
    """

    arguments: Sequence[str]
    folder: Path
    stdout: Path
    stderr: Path
    environment: Mapping[str, str]
    memory_bytes: int
    kill_after_s: float


class Ended(NamedTuple):
    """How a command ended: exit_code is negative for a signal. Time and memory are those of its children as well."""

    exit_code: int
    cpu_seconds: float
    resident_bytes: int


class Nursery:
    """Runs tasks one after the other. Use it as a context manager. wrapper is what starts it, strace for one."""

    def __init__(self, wrapper: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*wrapper, sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # as a file, Python would take it for one in the forks as well, and seek
            env=environment(),
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()

    def run(self, task: Task) -> Ended:
        """Run the task to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task._asdict(), default=os.fspath) + "\n")
        self._process.stdin.flush()
        return Ended(*json.loads(self._process.stdout.readline()))


def run_task(task: Task, wrapper: Sequence[str] = ()) -> Ended:
    """Run the task in a process started anew, by the command `wrapper` if there is one."""

    def limit_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (task.memory_bytes, task.memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    with task.stdout.open("wb") as stdout, task.stderr.open("wb") as stderr:
        process = subprocess.Popen(
            [*wrapper, *COMMAND, *task.arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=task.folder,
            env=task.environment,
            preexec_fn=limit_memory,
            start_new_session=True,
        )
        timer = threading.Timer(task.kill_after_s, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
