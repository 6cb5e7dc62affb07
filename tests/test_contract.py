"""The JSON is an interface: its envelope, every key and type, and every exit code are written down in contract.json.

Where a report changes on purpose: `python -m tests.test_contract > tests/contract.json`, and tell it in CHANGELOG.md.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
import typing
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from onnxctl import errors
from onnxctl.commands.options import FormatName
from onnxctl.render.formats import FORMATS
from onnxctl.render.screen import Screen
from onnxctl.reports import KINDS, SCHEMA, Report, field_types
from tests.command_line import onnxctl, strict_json
from tests.conftest import SAMPLES
from tests.render.filling import filled

CONTRACT = Path(__file__).with_name("contract.json")


def contract() -> dict[str, Any]:
    """What users of the JSON and of exit codes may rely on, from the types themselves."""
    return {
        "schema": SCHEMA,
        "kinds": {name: structure(kind) for kind, name in KINDS.items()},
        "errors": {kind.__name__: kind.exit_code for kind in error_types()},
    }


def error_types() -> list[type[errors.OnnxctlError]]:
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.OnnxctlError)]
    return [kind for kind in found if kind is not errors.OnnxctlError]


def structure(kind: Any) -> Any:
    """A type as JSON: an object's keys, a list's entry in a list, alternatives joined by "|"."""
    if is_dataclass(kind) and isinstance(kind, type):
        return {name: structure(hint) for name, hint in field_types(kind).items()}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return [structure(each) for each in arguments if each is not Ellipsis]
    if origin in (types.UnionType, typing.Union):
        plain = [structure(each) for each in arguments if each is not type(None)]
        if len(plain) == 1 and not isinstance(plain[0], str):
            return plain[0]
        return " | ".join([str(each) for each in plain] + ["null"] * (type(None) in arguments))
    if origin is Literal:
        return " | ".join(json.dumps(each) for each in arguments)
    return {str: "string", int: "integer", float: "number", bool: "boolean"}[kind]


def test_the_contract_is_as_it_was() -> None:
    assert json.loads(CONTRACT.read_text(encoding="utf-8")) == contract()


@pytest.mark.parametrize("kind", KINDS)
def test_every_report_is_in_an_envelope(kind: type[Report]) -> None:
    envelope = strict_json(FORMATS["json"](filled(kind, "x"), Screen()).encode())
    assert list(envelope) == ["schema", "kind", "data"]
    assert list(envelope["data"]) == list(structure(kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORMATS)
def test_every_report_has_every_format(kind: type[Report], name: str) -> None:
    drawn = FORMATS[name](filled(kind, "a_name"), Screen(width=80))
    assert re.search(r"a(\\)?_name", drawn)
    assert drawn.endswith("\n")
    assert not drawn.endswith("\n\n")


def test_the_formats_of_the_option_are_the_formats_there_are() -> None:
    assert set(typing.get_args(FormatName)) == set(FORMATS)


def test_the_tree_of_errors_tells_every_exit_code() -> None:
    for kind in error_types():
        assert re.search(rf"── {kind.__name__} +{kind.exit_code} ", errors.__doc__ or ""), kind


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        (["inspect", str(SAMPLES / "linear_regression.onnx")], "inspect", 0),
        (["providers"], "providers", 0),
        (["inspect", str(SAMPLES / "no_such.onnx")], "error", 3),
        (["inspect"], "error", 2),
    ],
)
def test_commands_print_the_envelope_and_nothing_else(arguments: list[str], kind: str, code: int) -> None:
    done = onnxctl(*arguments, "--format", "json")
    assert done.returncode == code
    assert strict_json(done.stdout)["kind"] == kind


if __name__ == "__main__":
    json.dump(contract(), sys.stdout, indent=2)
    sys.stdout.write("\n")
