"""docs/exit-codes.md: every exit code and error is there, and its examples end as it says."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from onnxctl import cli, errors
from tests.command_line import COMMAND, environment
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
ROWS = {
    int(code): set(re.findall(r"\w+", names)) for code, names in re.findall(r"^\| (\d+) \|[^|]*\|(.*)\|$", PAGE, re.M)
}
EXAMPLES = re.findall(r"^```console\n\$ (.+)\n((?:.*\n)*?)\$ echo \$\?\n(\d+)\n```$", PAGE, re.M)
NAMED_AT_THE_BOUNDARY = {"InternalError", "Interrupted"}
"""What the command line calls errors that are none of ours."""


def test_every_code_and_every_error_has_its_row() -> None:
    assert set(ROWS) == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.OnnxctlError)]
    told = {name: code for code, names in ROWS.items() for name in names - NAMED_AT_THE_BOUNDARY}
    assert told == {kind.__name__: kind.exit_code for kind in kinds if kind is not errors.OnnxctlError}


def test_every_code_has_an_example_but_bugs() -> None:
    assert {int(code) for *_, code in EXAMPLES} == set(ROWS) - {errors.EXIT_BUG}
    assert len(EXAMPLES) == PAGE.count("```console")


@pytest.mark.parametrize(
    ("command", "said", "code"), EXAMPLES, ids=[f"{code}-{command}" for command, _, code in EXAMPLES]
)
def test_the_examples_end_as_the_page_says(command: str, said: str, code: str, tmp_path: Path) -> None:
    if command.startswith("timeout") and shutil.which("timeout") is None:
        pytest.skip("no timeout(1)")
    tool = tmp_path / "bin" / "onnxctl"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    tool.chmod(0o755)
    for name in ("sample_models", "README.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=environment(PATH=f"{tool.parent}{os.pathsep}{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout + done.stderr, done.returncode) == (said, int(code))


@pytest.mark.parametrize("told", [cli.build_app().info.epilog or "", (ROOT / "README.md").read_text(encoding="utf-8")])
def test_the_help_and_the_readme_tell_the_same_codes(told: str) -> None:
    codes = re.findall(r"^\| (\d+) \|", told, re.M) or re.findall(r"\b(\d+) [a-z]", told)
    assert {int(code) for code in codes} == set(ROWS) - {errors.EXIT_TERMINATED}
