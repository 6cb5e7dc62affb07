"""`onnxctl inspect` on the hostile corpus, one process per case: what a user sees, within 4 GiB of memory."""

from __future__ import annotations

import os
import re
import resource
import subprocess

import pytest

from onnxctl.errors import EXIT_DONE, EXIT_MACHINE, EXIT_MODEL
from tests.command_line import COMMAND, environment, strict_json
from tests.hostile.corpus import CANARY, CATEGORIES, Case

MEMORY_BYTES = 4 << 30
RESIDENT_BYTES = 1 << 30

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]")
"""Everything but newline and tab that steers a terminal or turns text around."""


@pytest.mark.slow
@pytest.mark.parametrize("format_name", ["text", "json", "markdown"])
@pytest.mark.parametrize("category", CATEGORIES)
def test_inspect_is_safe_for_its_user(corpus: list[Case], category: str, format_name: str) -> None:
    cases = [case for case in corpus if case.category == category and case.can_run_here]
    wrong = {case.name: trouble for case in cases if (trouble := _inspect_and_judge(case, format_name))}
    assert wrong == {}


def _inspect_and_judge(case: Case, format_name: str) -> str:
    before = _listing(case.path)
    done = subprocess.run(
        [*COMMAND, "inspect", "--format", format_name, "--nodes", "--weights", "--", case.path],
        capture_output=True,
        env=environment(COLUMNS="100"),
        timeout=60,
        preexec_fn=_limit_memory,
        check=False,
    )
    said = done.stdout + done.stderr
    expected = case.expected["inspect"]
    allowed = {
        "ok": {EXIT_DONE},
        "error": {EXIT_MACHINE if expected.error and expected.error.exit_code == EXIT_MACHINE else EXIT_MODEL},
        "either": {EXIT_DONE, EXIT_MODEL, EXIT_MACHINE},
    }
    if done.returncode not in allowed[expected.outcome]:
        return f"exit code {done.returncode}: {said[-500:]!r}"
    if b"Traceback" in said or CANARY in said:
        return f"a traceback, or bytes from outside of the model's folder: {said[-500:]!r}"
    text = said.decode("utf-8")
    if found := CONTROL.search(text):
        return f"control character {found.group()!r} in {text[max(0, found.start() - 40) : found.end() + 40]!r}"
    if format_name == "json":
        strict_json(done.stdout)
    if _listing(case.path) != before:
        return "something was written"
    return ""


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _listing(path: str) -> list[tuple[str, int, int]]:
    """Name, size and time of change of everything in the case's folder."""
    folder = os.path.dirname(path)
    entries = sorted(os.scandir(folder), key=lambda each: each.name) if os.path.isdir(folder) else []
    return [(e.name, e.stat(follow_symlinks=False).st_size, e.stat(follow_symlinks=False).st_mtime_ns) for e in entries]


@pytest.mark.slow
def test_inspect_of_every_case_stays_small() -> None:
    """The largest child of this test session, all cases above included, stays below 1 GiB."""
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < RESIDENT_BYTES
