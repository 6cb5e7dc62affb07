"""docs/commands.md is what `--help` says; after a change of options: `python -m tests.test_help > docs/commands.md`."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor

from onnxctl.cli import COMMANDS
from tests.command_line import environment, onnxctl
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "commands.md"
NAMES = tuple(each.__name__.rpartition(".")[2] for each in COMMANDS)

HEAD = """# Commands and their options

What `onnxctl COMMAND --help` says, in one place. Exit codes have [a page of their own](exit-codes.md), and
[schema.json](schema.json) describes what `--json` prints.
"""


def page() -> str:
    """The page as it should be, made by the commands themselves."""
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(_help, ((), *((name,) for name in NAMES))))
    sections = zip(("onnxctl", *(f"onnxctl {name}" for name in NAMES)), told, strict=True)
    return HEAD + "".join(f"\n## {title}\n\n```text\n{text}\n```\n" for title, text in sections)


def _help(arguments: tuple[str, ...]) -> str:
    done = onnxctl(*arguments, "--help", env=environment(COLUMNS="100", TERM="dumb"))
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def test_the_page_of_commands_is_what_help_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), __doc__


def test_every_option_that_the_readme_names_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    foreign = {"--no-prompt", "--tool"}  # of git
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", readme)) - foreign
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE.read_text(encoding="utf-8")))
    assert named <= known, sorted(named - known)


if __name__ == "__main__":
    sys.stdout.write(page())
