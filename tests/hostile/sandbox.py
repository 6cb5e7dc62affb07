"""One command line in a process of its own: limits on memory and time, folders of its own, and what it left in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.command_line import environment
from tests.hostile.nursery import Nursery, Task, run_task

MEMORY_BYTES = 4 << 30
"""Address space of the command and of each of its children."""

HASHED_BYTES = 1 << 20
"""Files up to this size are compared by content as well."""

Listing = dict[str, tuple[object, ...]]


@dataclass(frozen=True)
class Outcome:
    """How a command ended; exit_code is negative for a signal, -SIGKILL also where it had to be stopped."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    cpu_seconds: float
    resident_bytes: int
    changed: tuple[str, ...]
    outputs: tuple[Path, ...]

    @property
    def said(self) -> bytes:
        """All that the user sees."""
        return self.stdout + self.stderr


def run_in_sandbox(
    arguments: Sequence[str],
    folder: Path,
    watched: Sequence[str],
    *,
    kill_after_s: float,
    wrapper: Sequence[str] = (),
    nursery: Nursery | None = None,
) -> Outcome:
    """Run `onnxctl` with folder/work as its place, folder/home as HOME and folder/tmp as TMPDIR, all empty before.

    outputs are the files in folder/work afterwards; changed names whatever else differs, there and in the folders
    watched. wrapper is the command that starts it, such as strace; a nursery starts it faster. The last resort
    kill_after_s ends a hang.
    """
    places = [folder / name for name in ("work", "home", "tmp")]
    for place in places:
        place.mkdir(parents=True)
    work, home, temporary = places
    env = environment(HOME=os.fspath(home), TMPDIR=os.fspath(temporary), COLUMNS="100")
    before = listing([*watched, os.fspath(home), os.fspath(temporary)])
    task = Task(
        arguments=arguments,
        folder=work,
        stdout=folder / "stdout",
        stderr=folder / "stderr",
        environment=env,
        memory_bytes=MEMORY_BYTES,
        kill_after_s=kill_after_s,
    )
    ended = run_task(task, wrapper) if nursery is None else nursery.run(task)
    after = listing([*watched, os.fspath(home), os.fspath(temporary)])
    return Outcome(
        exit_code=ended.exit_code,
        stdout=task.stdout.read_bytes(),
        stderr=task.stderr.read_bytes(),
        cpu_seconds=ended.cpu_seconds,
        resident_bytes=ended.resident_bytes,
        changed=tuple(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))),
        outputs=tuple(sorted(path for path in work.rglob("*") if not path.is_dir())),
    )


def listing(folders: Sequence[str]) -> Listing:
    """Of everything in the folders: kind and mode, size, time of change, inode; and the content of what is small."""
    found: Listing = {}
    for folder in folders:
        for entry in os.scandir(folder) if os.path.isdir(folder) else ():
            status = entry.stat(follow_symlinks=False)
            is_small = entry.is_file(follow_symlinks=False) and status.st_size <= HASHED_BYTES
            readable = is_small and os.access(entry.path, os.R_OK)
            content = hashlib.sha256(Path(entry.path).read_bytes()).hexdigest() if readable else ""
            found[entry.path] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino, content)
            if entry.is_dir(follow_symlinks=False):
                found |= listing([entry.path])
    return found
