"""The house keeps its shape: who may import whom, what start-up may cost, and that nothing new is forgotten."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxctl.cli import COMMANDS
from onnxctl.render.formats import FORMATS
from tests.command_line import environment
from tests.conftest import ROOT

SOURCES = sorted((ROOT / "onnxctl").rglob("*.py"))
SHARED_BY_COMMANDS = {"options", "output"}
HEAVY = (
    "numpy",
    "onnx",
    "onnxruntime",
    "google",
    "pydantic",
    "rich.markdown",
    "pygments",
    "asyncio",
    "onnxctl.reports.",
)
LONGEST_FILE = 450


def module_names(package: str) -> set[str]:
    return {each.name for each in pkgutil.iter_modules(importlib.import_module(package).__path__)}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes, and the public methods of these classes that a name alone can't describe."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            yield from (
                each
                for each in (node.body if isinstance(node, ast.ClassDef) else ())
                if isinstance(each, ast.FunctionDef) and not each.name.startswith("_") and len(each.body) > 3
            )


def test_imports_lead_downstairs() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    pytest.importorskip("importlinter")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_module_is_a_command() -> None:
    registered = {module.__name__.rpartition(".")[2] for module in COMMANDS}
    assert registered == module_names("onnxctl.commands") - SHARED_BY_COMMANDS


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__)
def test_every_command_says_what_it_does_and_shows_it(module: object) -> None:
    first_line = (module.command.__doc__ or "").splitlines()[0]  # type: ignore[attr-defined]
    assert 10 < len(first_line) <= 66, "the list of commands shows this line whole"
    assert len(module.EXAMPLES.strip().splitlines()) >= 2  # type: ignore[attr-defined]


def test_every_module_that_renders_reports_is_a_format() -> None:
    names = {name for name in module_names("onnxctl.render") if importable_render(name)}
    assert names == set(FORMATS)


def importable_render(name: str) -> bool:
    return hasattr(importlib.import_module(f"onnxctl.render.{name}"), "render")


@pytest.mark.parametrize("arguments", [["--help"], ["optimize", "--help"], ["--version"], ["no-such-command"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "onnxctl", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "typer" in loaded
    allowed = {"onnxctl.reports.shared"} if done.returncode else set()
    heavy = {name for name in loaded for each in HEAVY if name == each or name.startswith(f"{each.rstrip('.')}.")}
    assert heavy <= allowed


def test_importing_the_package_loads_none_of_its_rooms() -> None:
    code = "import sys, onnxctl; print([name for name in sys.modules if name.startswith('onnxctl.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout == "[]\n"


def test_only_the_command_line_prints_and_exits() -> None:
    forbidden = {"print", "exit", "quit", "logging.getLogger"}
    exits = {"sys.exit", "os._exit"}
    calls = [
        f"{place}: {name}()"
        for path in SOURCES
        for place, name in called(path)
        if name in forbidden or (name in exits and path.name != "cli.py")
    ]
    assert calls == []


def called(path: Path) -> Iterator[tuple[str, str]]:
    """Where a file calls something, and by what name."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.unparse(node.func)


LONGER_FOR_A_REASON = {
    "onnxctl/model/graph.py": 530,  # an index and the edits that keep it true: neither half can be read alone
}


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGER_FOR_A_REASON.get(name, LONGEST_FILE)} == {}


def test_everything_public_is_described() -> None:
    bare = [str(path.relative_to(ROOT)) for path in SOURCES if not ast.get_docstring(tree_of(path))]
    bare += [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in public_definitions(tree_of(path))
        if not ast.get_docstring(node)
    ]
    assert bare == []


def test_no_function_changes_the_state_of_its_module() -> None:
    assert [path for path in SOURCES if any(isinstance(node, ast.Global) for node in ast.walk(tree_of(path)))] == []
