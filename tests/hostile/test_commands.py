"""Every command on every case of the hostile corpus, one process each: what a user sees, and what is left.

Looked at are the exit code, the words and bytes of all that is said, time, memory, and every file of the case's folder
and of the command's own working, home and temporary folder.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from onnxctl.errors import EXIT_DONE, EXIT_MACHINE, EXIT_MODEL, EXIT_NO
from tests.command_line import strict_json
from tests.hostile.corpus import CANARY, CATEGORIES, Case, Expectation
from tests.hostile.nursery import Nursery
from tests.hostile.sandbox import HASHED_BYTES, Outcome, run_in_sandbox

TIME_LIMIT_S = 20
"""What the commands that run native code are given with --timeout; inspect and diff need no limit."""

KILL_AFTER_S = 120.0
"""A command that is not done by then hangs."""

RESIDENT_BYTES = 1 << 30
"""Of the commands that execute nothing."""

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]")
"""Everything but newline and tab that steers a terminal or turns text around."""

LIMITED = ("--timeout", str(TIME_LIMIT_S), "--max-memory", "1GiB")
VARIANTS: dict[str, tuple[str, ...]] = {
    "inspect": ("inspect", "--nodes", "--weights", "--cost", "--memory", "--findings"),
    "inspect-json": ("inspect", "--nodes", "--weights", "--no-values", "--text", "--precision", "--json"),
    "inspect-markdown": ("inspect", "--tree", "--nodes", "--format", "markdown"),
    "optimize": ("optimize", *LIMITED, "-o", "out.onnx"),
    "optimize-json": ("optimize", *LIMITED, "--level", "safe", "--explain", "-o", "out.onnx", "--json"),
    "run": ("run", *LIMITED, "--runs", "2", "--warmup", "1"),
    "run-json": ("run", *LIMITED, "--runs", "2", "--warmup", "1", "--verify", "--json"),
    "check": ("check", *LIMITED),
    "check-json": ("check", *LIMITED, "--json"),
    "diff": ("diff", "--full"),
    "diff-json": ("diff", "--json"),
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("category", CATEGORIES)
def test_commands_survive_the_corpus(
    corpus: list[Case], nursery: Nursery, category: str, variant: str, tmp_path: Path
) -> None:
    wrong = {}
    for number, case in enumerate(each for each in corpus if each.category == category and each.can_run_here):
        outcome = run_case(case, variant, tmp_path / str(number), nursery)
        if trouble := judge_outcome(case, variant, outcome):
            wrong[case.name] = trouble
    assert wrong == {}


READING = ("--weights", "--text", "--precision", "--findings")
"""Options of inspect that read every byte of the weights, and take as long as that takes."""


def run_case(case: Case, variant: str, folder: Path, nursery: Nursery) -> Outcome:
    """One command on one case; diff compares the case with itself."""
    paths = [case.path] * (2 if variant.startswith("diff") else 1)
    options = [each for each in VARIANTS[variant] if "sparse" not in case.flags or each not in READING]
    return run_in_sandbox([*options, "--", *paths], folder, [case.folder], kill_after_s=KILL_AFTER_S, nursery=nursery)


def judge_outcome(case: Case, variant: str, outcome: Outcome) -> str:
    """What is wrong with it, in words; nothing ("") if all is as promised."""
    verb = VARIANTS[variant][0]
    expected = expectation(case, verb)
    said = outcome.said.decode("utf-8", "surrogateescape")
    if outcome.exit_code not in allowed_codes(expected, verb):
        return f"exit code {outcome.exit_code} for {expected}: {said[-600:]!r}"
    if "Traceback" in said or (shows_canary(outcome) and case.name not in HARD_LINKED):
        return f"a traceback, or bytes from outside of the model's folder: {said[-500:]!r}"
    missing = [word for word in expected.words if word.encode() not in outcome.stderr]
    if outcome.exit_code in (EXIT_MODEL, EXIT_MACHINE) and expected.outcome == "error" and missing:
        return f"it does not mention {missing}: {said[-500:]!r}"
    if found := CONTROL.search(said):
        return f"control character {found.group()!r} in {said[max(0, found.start() - 40) : found.end() + 40]!r}"
    if variant.endswith("json"):
        strict_json(outcome.stdout)
    if outcome.changed:
        return f"written, removed or changed: {outcome.changed}"
    if bool(outcome.outputs) != (verb == "optimize" and outcome.exit_code == EXIT_DONE):
        return f"exit code {outcome.exit_code} and the files {outcome.outputs}"
    if verb in ("inspect", "diff") and outcome.resident_bytes > RESIDENT_BYTES:
        return f"{outcome.resident_bytes} bytes of memory"
    if verb == "inspect" and outcome.cpu_seconds > case.maximum_seconds:
        return f"{outcome.cpu_seconds:.1f} s of CPU"
    return ""


HARD_LINKED = ("ext_hardlink",)
"""A hard link is a file of the folder like any other: nothing tells that it has another name elsewhere."""


def shows_canary(outcome: Outcome) -> bool:
    """Whether the bytes of a file outside of the model's folder are in what was said or written."""
    small = (each for each in outcome.outputs if each.stat().st_size <= HASHED_BYTES)
    return CANARY in outcome.said or any(CANARY in each.read_bytes() for each in small)


def expectation(case: Case, verb: str) -> Expectation:
    """What cases.json says; `check` and `diff`, which it does not know, can refuse nothing that `inspect` reads."""
    return case.expected["inspect" if verb in ("check", "diff") else verb]


def allowed_codes(expected: Expectation, verb: str) -> set[int]:
    """The exit codes that agree with the expectation."""
    if expected.outcome == "either":
        return {EXIT_DONE, EXIT_NO, EXIT_MODEL, EXIT_MACHINE}
    if expected.error is None:
        return {EXIT_DONE, EXIT_NO} if verb in ("check", "diff") else {EXIT_DONE}
    return {expected.error.exit_code, EXIT_NO} if verb == "check" else {expected.error.exit_code}
