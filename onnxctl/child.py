"""Work that may crash, hang or eat the machine runs in a child process; its death is one line, not ours.

Native code (onnxruntime, shape inference, onnxsim) is handed files we don't know. `Child` starts a Python process that
imports what it will need while the caller is still busy, and then answers calls: a function named "module:function", a
JSON value and byte blobs in, the same out. Errors of `onnxctl.errors` cross the border as themselves.

The function called has the signature `(request, blobs, progress) -> (answer, blobs)`. One that needs to keep something
between calls (an open session) is a generator of answers instead: a call of CONTINUE sends it the next request.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import IO, Self

from onnxctl import errors
from onnxctl.errors import ChildCrashed, OnnxctlError, ResourceLimit
from onnxctl.onnx_on_demand import load_onnx_on_demand
from onnxctl.reports import JSON

Blob = bytes | bytearray | memoryview
Progress = Callable[[JSON], None]
Answer = tuple[JSON, Sequence[Blob]]
Talk = Generator[Answer, JSON, None]
"""What a target gives that answers more than one call."""

CONTINUE = ""
"""The target of a call that goes on with the talk begun last."""

_FRAME = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Child:
    """A child process that answers calls one at a time. Use it as a context manager: leaving it ends the process.

    preload names modules to import at once, in the background of the caller. memory_bytes bounds the private memory of
    the child. Nothing starts before `start` or the first `call`.
    """

    def __init__(self, *, preload: Sequence[str] = (), memory_bytes: int | None = None) -> None:
        self._preload = tuple(preload)
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._replies = -1
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the process if it does not run yet; returns at once."""
        if self._process is not None:
            return
        receive, send = os.pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        code = f"import sys; sys.path.append({_PACKAGE_PARENT!r}); from onnxctl.child import serve; serve({send})"
        environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "ONNXCTL_CHILD_PRELOAD": ",".join(self._preload)}
        if self._memory_bytes is not None:
            environment["ONNXCTL_CHILD_MEMORY_BYTES"] = str(self._memory_bytes)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(send,),
                env=environment,
            )
        finally:
            os.close(send)
            if self._process is None:
                os.close(receive)
        self._replies = receive

    def call(
        self,
        target: str,
        request: JSON,
        blobs: Sequence[Blob] = (),
        *,
        timeout_s: float | None = None,
        progress: Progress | None = None,
        doing: str = "the work",
    ) -> tuple[JSON, list[bytearray]]:
        """Call "module:function" in the child and wait for its answer.

        `doing` names the work in error messages. Raises ResourceLimit when timeout_s passes or memory runs out,
        ChildCrashed when the process dies, and whatever error of `onnxctl.errors` the function raised. After a time-out
        or a crash the next call starts a fresh process.
        """
        self.start()
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            assert self._process is not None and self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                _send(self._process.stdin.fileno(), {"target": target, "request": request}, blobs)
            while True:
                reply, parts = self._receive(deadline)
                if "progress" not in reply:
                    break
                if progress is not None:
                    progress(reply["progress"])
        except _Late:
            self.close()
            raise ResourceLimit(
                f"{doing} took longer than the time limit of {timeout_s:g} s",
                hint="raise the limit with --timeout SECONDS",
            ) from None
        except EOFError:
            raise self._died(doing) from None
        except BaseException:
            self.close()
            raise
        if "error" in reply:
            raise _rebuild(reply["error"])
        return reply["answer"], parts

    def terminate(self) -> None:
        """Ask the process to end by itself; for another thread than the one that waits for an answer, and gets none."""
        process = self._process
        if process is not None:
            process.terminate()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            if self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
            self._process.wait()
            self._process = None
            os.close(self._replies)
        if self._log is not None:
            self._log.close()
            self._log = None

    def _receive(self, deadline: float | None) -> tuple[JSON, list[bytearray]]:
        head = _read(self._replies, _FRAME.size, deadline)
        header_length, blob_count = _FRAME.unpack(head)
        header = json.loads(_read(self._replies, header_length, deadline))
        lengths = [_LENGTH.unpack(_read(self._replies, _LENGTH.size, deadline))[0] for _ in range(blob_count)]
        return header, [_read(self._replies, length, deadline) for length in lengths]

    def _died(self, doing: str) -> OnnxctlError:
        assert self._process is not None and self._log is not None
        self._process.wait()
        code = self._process.returncode
        self._log.seek(max(0, self._log.tell() - 4096))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        self.close()
        if code in (-signal.SIGKILL, -signal.SIGXCPU):
            return ResourceLimit(f"{doing} was killed by the system, most likely for want of memory")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        last = f": {lines[-1]}" if lines else ""
        return ChildCrashed(
            f"native code crashed during {doing} ({how}){last}",
            hint="the model drives onnxruntime or onnx into a fault of their own; onnxctl itself is unharmed",
        )


class _Late(Exception):
    """The deadline has passed."""


def _read(descriptor: int, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise _Late
        count = os.readv(descriptor, [view[filled : filled + (1 << 24)]])
        if count == 0:
            raise EOFError
        filled += count
    return data


def _send(descriptor: int, header: JSON, blobs: Sequence[Blob]) -> None:
    text = json.dumps(header, allow_nan=False).encode()
    lengths = b"".join(_LENGTH.pack(len(memoryview(blob).cast("B"))) for blob in blobs)
    for part in (_FRAME.pack(len(text), len(blobs)) + text + lengths, *blobs):
        view = memoryview(part).cast("B")
        while len(view):
            view = view[os.write(descriptor, view[: 1 << 24]) :]


def _rebuild(error: JSON) -> BaseException:
    kind = getattr(errors, error["kind"], None)
    if isinstance(kind, type) and issubclass(kind, OnnxctlError):
        return kind(error["message"], hint=error["hint"])
    return RuntimeError(f"in the child process:\n{error['message']}")


# ---------------------------------------------------------------- the child's side


def serve(replies: int) -> None:
    """Answer calls from standard input on the descriptor `replies` until the input ends. Only `Child` calls this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    requests = os.dup(0)
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    load_onnx_on_demand()
    for name in filter(None, os.environ.pop("ONNXCTL_CHILD_PRELOAD", "").split(",")):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _limit_memory(os.environ.pop("ONNXCTL_CHILD_MEMORY_BYTES", ""))
    talk: Talk | None = None
    while True:
        try:
            header_length, blob_count = _FRAME.unpack(_read(requests, _FRAME.size, None))
            header = json.loads(_read(requests, header_length, None))
            lengths = [_LENGTH.unpack(_read(requests, _LENGTH.size, None))[0] for _ in range(blob_count)]
            blobs = [_read(requests, length, None) for length in lengths]
        except EOFError:
            return
        reply, parts, talk = _answer(header, blobs, lambda news: _send(replies, {"progress": news}, ()), talk)
        del blobs
        _send(replies, reply, parts)


def _answer(
    header: JSON, blobs: Sequence[Blob], progress: Progress, talk: Talk | None
) -> tuple[JSON, Sequence[Blob], Talk | None]:
    module, _, function = header["target"].partition(":")
    try:
        if header["target"] == CONTINUE:
            assert talk is not None, "no talk was begun"
            answer, parts = talk.send(header["request"])
            return {"answer": answer}, parts, talk
        result = getattr(importlib.import_module(module), function)(header["request"], blobs, progress)
        if isinstance(result, Generator):
            answer, parts = next(result)
            return {"answer": answer}, parts, result
        answer, parts = result
        return {"answer": answer}, parts, None
    except MemoryError:
        failure = ("ResourceLimit", "out of memory", "")
    except OnnxctlError as error:
        failure = (type(error).__name__, error.message, error.hint)
    except Exception:  # noqa: BLE001 - the border: whatever happened is told to the parent, which raises it there
        failure = ("", traceback.format_exc(), "")
    return {"error": dict(zip(("kind", "message", "hint"), failure, strict=True))}, (), None


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere the end of its input must do."""
    if sys.platform == "linux":
        import ctypes

        PR_SET_PDEATHSIG = 1  # noqa: N806 - prctl(2)'s own name
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory(text: str) -> None:
    if text and sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)  # less where this process was started by a child
        limit = int(text) if most == resource.RLIM_INFINITY else min(int(text), most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
