"""`optimize` for many files: each in a process of its own, some at a time; one bad file does not stop the rest."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from types import FrameType
from typing import NoReturn

from onnxctl.api.optimization import STANDARD_STREAM, optimize_as
from onnxctl.api.progress import News, silent
from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import EXIT_BUG, EXIT_DONE, EXIT_NO, EXIT_TERMINATED, OnnxctlError, StorageError, UsageError
from onnxctl.reports import (
    JSON,
    OptimizeConfig,
    OptimizedFile,
    OptimizeManyReport,
    OptimizeReport,
    decode,
    encode,
)


def optimize_many(
    paths: Sequence[str],
    folder: str | None,
    config: OptimizeConfig,
    *,
    job_count: int = 1,
    progress: News | None = None,
) -> OptimizeManyReport:
    """Optimize each of the files as the config says (its path and output aside), job_count of them at a time.

    The results go into the folder, which is made where it is missing, under the names of the inputs; with folder None
    nothing is named, as for config.in_place or config.dry_run. Raises UsageError where two inputs have one name or a
    file is named twice, StorageError where the folder can't be made; what goes wrong with a single file is in its row.
    """
    _refuse_clashes(paths, folder)
    if folder is not None and not config.dry_run:
        _make_folder(folder)
    configs = [replace(config, path=path, output=_output(path, folder)) for path in paths]
    started = time.perf_counter_ns()
    rows = _Jobs(job_count, progress or silent).run(configs)
    return OptimizeManyReport(
        files=tuple(rows),
        failed_count=sum(row.exit_code != EXIT_DONE for row in rows),
        elapsed_ns=time.perf_counter_ns() - started,
    )


def _output(path: str, folder: str | None) -> str | None:
    return None if folder is None else os.path.join(folder, os.path.basename(path))


def _refuse_clashes(paths: Sequence[str], folder: str | None) -> None:
    names: dict[str, str] = {}
    for path in paths:
        if path == STANDARD_STREAM:
            raise UsageError("standard input can't be one of many files", hint="optimize it alone, with -o OUTPUT")
        key = os.path.realpath(path) if folder is None else os.path.basename(path)
        other = names.setdefault(key, path)
        if other is not path:
            same = "are the same file" if os.path.realpath(other) == os.path.realpath(path) else "have the same name"
            raise UsageError(f"{other} and {path} {same}", hint="optimize them one by one, into different folders")


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: can't be made: {error.strerror}", hint="choose another folder") from error


class _Jobs:
    """Threads that each wait for a child process; whatever interrupts the main thread ends the children first."""

    def __init__(self, job_count: int, news: News) -> None:
        self._job_count = job_count
        self._news = news
        self._lock = threading.Lock()
        self._busy: dict[str, Child] = {}
        self._stopped = False

    def run(self, configs: Sequence[OptimizeConfig]) -> list[OptimizedFile]:
        """The rows in the order of the configs."""
        rows: dict[int, OptimizedFile] = {}
        with ThreadPoolExecutor(self._job_count) as pool:
            waiting = {pool.submit(self._one, config): number for number, config in enumerate(configs)}
            try:
                for done in as_completed(waiting):
                    rows[waiting[done]] = done.result()
                    self._tell(len(rows), len(configs))
            except BaseException:
                self._stop()
                pool.shutdown(cancel_futures=True)
                raise
        return [rows[number] for number in range(len(configs))]

    def _one(self, config: OptimizeConfig) -> OptimizedFile:
        started = time.perf_counter_ns()
        with Child() as child:
            with self._lock:
                if self._stopped:
                    return _failure(config, "interrupted", EXIT_TERMINATED)
                self._busy[config.path] = child
            try:
                answer, _ = child.call("onnxctl.api.many:optimize_one", encode(config), doing=f"work on {config.path}")
                row = _row(config, decode(OptimizeReport, answer))
            except OnnxctlError as error:
                row = _failure(config, error.message, error.exit_code)
            except RuntimeError as error:  # a traceback from the child: our bug, with this file alone
                row = _failure(config, f"internal error: {str(error).strip().splitlines()[-1]}", EXIT_BUG)
            finally:
                with self._lock:
                    self._busy.pop(config.path, None)
        return replace(row, elapsed_ns=time.perf_counter_ns() - started)

    def _tell(self, done: int, total: int) -> None:
        with self._lock:
            names = ", ".join(os.path.basename(path) for path in self._busy)
        self._news(f"{done} of {total} files done" + (f", working on {names}" if names else ""))

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for child in self._busy.values():
                child.terminate()


def optimize_one(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: `optimize_as` the config says; answers an OptimizeReport. SIGTERM ends it without leaving files."""
    signal.signal(signal.SIGTERM, _leave)
    return encode(optimize_as(decode(OptimizeConfig, request))), ()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(EXIT_TERMINATED)


# ---------------------------------------------------------------- rows


def _row(config: OptimizeConfig, report: OptimizeReport) -> OptimizedFile:
    return OptimizedFile(
        path=config.path,
        output=report.output,
        status=report.status,
        exit_code=EXIT_DONE if report.status in ("written", "dry run") else EXIT_NO,
        node_count_before=report.before.node_count,
        node_count_after=report.after.node_count,
        file_bytes_before=report.before.file_bytes,
        file_bytes_after=report.after.file_bytes,
        verification=report.verification.status,
        speed=None if report.speed is None else report.speed.ratio,
        reason="; ".join(filter(None, [report.verification.reason, *(each.message for each in report.findings)])),
    )


def _failure(config: OptimizeConfig, message: str, exit_code: int) -> OptimizedFile:
    return OptimizedFile(path=config.path, output=None, status="failed", exit_code=exit_code, reason=message)
