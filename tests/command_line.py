"""The real `onnxctl` command in a process of its own, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from tests.conftest import ROOT

COMMAND = (sys.executable, "-m", "onnxctl")


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with the changes, the package on its path, and nothing that decides on colours."""
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**plain, "PYTHONPATH": os.fspath(ROOT), **changes}


def onnxctl(
    *arguments: str | bytes, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run one command line to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, env=env or environment(), timeout=120, check=False
    )


def strict_json(text: bytes) -> Any:
    """The one JSON document that the text is, by RFC 8259: neither NaN nor a key that occurs twice.

    It has to be a report in its envelope, as docs/schema.json describes it, without a field more.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), "duplicate keys"
        return dict(pairs)

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    document = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    schema_of_kind(document["kind"]).validate(document)
    return document


@cache
def schema_of_kind(kind: str) -> Draft202012Validator:
    """What the strict schema says of reports of one kind: to try all kinds takes ten times as long."""
    schema: Any = schema_of_reports().schema
    (branch,) = (each for each in schema["oneOf"] if each["properties"]["kind"]["const"] == kind)
    return Draft202012Validator({**branch, "$defs": schema["$defs"]})


@cache
def schema_of_reports() -> Draft202012Validator:
    """The published schema, made strict: reports may gain fields, but not without being described there."""
    schema = json.loads((ROOT / "docs" / "schema.json").read_text(encoding="utf-8"))
    for each in (*schema["oneOf"], *schema["$defs"].values()):
        if each.get("type") == "object":
            each["additionalProperties"] = False
    return Draft202012Validator(schema)
