"""The JSON is an interface: docs/schema.json describes it, and what commands print is what it describes."""

from __future__ import annotations

import json
import re
import typing
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from onnxctl.commands.options import FormatName
from onnxctl.render.formats import FORMATS
from onnxctl.render.screen import Screen
from onnxctl.reports import KINDS, Report, field_types
from tests.command_line import onnxctl, schema_of_reports, strict_json
from tests.conftest import ROOT, SAMPLES
from tests.render.filling import filled

SCHEMA_FILE = ROOT / "docs" / "schema.json"


def test_the_published_schema_is_that_of_the_reports() -> None:
    told = "a report changed: `onnxctl schema > docs/schema.json`, and tell it in CHANGELOG.md"
    assert SCHEMA_FILE.read_bytes() == onnxctl("schema").stdout, told


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "change",
    [{"message": 3}, {"exit_code": "3"}, {"exit_code": True}, {"hint": None}, {"more": ""}],
)
def test_what_is_no_report_does_not_fit_the_schema(change: dict[str, Any]) -> None:
    data = {"error": "NotOnnx", "message": "a zip", "hint": "", "exit_code": 3}
    assert schema_of_reports().is_valid({"schema": 1, "kind": "error", "data": data})
    assert not schema_of_reports().is_valid({"schema": 1, "kind": "error", "data": data | change})
    assert not schema_of_reports().is_valid({"schema": 1, "kind": "run", "data": data})


@pytest.mark.parametrize("kind", KINDS)
def test_every_report_is_in_an_envelope(kind: type[Report]) -> None:
    envelope = strict_json(FORMATS["json"](filled(kind, "x"), Screen()).encode())
    assert list(envelope) == ["schema", "kind", "data"]
    assert list(envelope["data"]) == list(field_types(kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORMATS)
def test_every_report_has_every_format(kind: type[Report], name: str) -> None:
    drawn = FORMATS[name](filled(kind, "a_name"), Screen(width=80))
    assert re.search(r"a(\\)?_name", drawn)
    assert drawn.endswith("\n")
    assert not drawn.endswith("\n\n")


def test_the_formats_of_the_option_are_the_formats_there_are() -> None:
    assert set(typing.get_args(FormatName)) == set(FORMATS)


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
