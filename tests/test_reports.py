"""Reports are JSON: there and back without loss; each verb's are loaded for that verb alone."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import subprocess
import sys
from dataclasses import is_dataclass
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxctl import reports
from onnxctl.reports import KINDS, Report, decode, encode, field_types
from tests.command_line import schema_of_reports

HOMES = [importlib.import_module(f"onnxctl.reports.{each.name}") for each in pkgutil.iter_modules(reports.__path__)]
DATACLASSES = [
    each
    for home in HOMES
    for each in vars(home).values()
    if is_dataclass(each) and isinstance(each, type) and each.__module__ == home.__name__
]


def any_of(kind: type) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: st.from_type(hint) for name, hint in field_types(kind).items()})


for each in DATACLASSES:
    st.register_type_strategy(each, any_of)

any_report = st.one_of(*(st.from_type(kind) for kind in get_args(Report)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # reports are large
@given(any_report)
def test_every_report_survives_json(report: Any) -> None:
    text = json.dumps(encode(report), allow_nan=False)
    back = decode(type(report), json.loads(text))
    assert encode(back) == encode(report)
    assert type(back) is type(report)
    schema_of_reports().validate({"schema": reports.SCHEMA, "kind": report.kind, "data": json.loads(text)})


def test_every_report_has_a_kind() -> None:
    assert set(get_args(Report)) == set(KINDS)
    assert len(set(KINDS.values())) == len(KINDS)


@pytest.mark.parametrize("kind", DATACLASSES, ids=lambda kind: kind.__name__)
def test_every_report_can_be_imported_by_its_name(kind: type) -> None:
    assert getattr(reports, kind.__name__) is kind
    assert kind.__name__ in dir(reports)


def test_a_verb_loads_its_own_reports_only() -> None:
    code = "import sys; from onnxctl.reports import ModelSummary, encode; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith("onnxctl.reports.")}
    assert loaded == {"onnxctl.reports.summary", "onnxctl.reports.encoding"}


def test_numbers_that_json_lacks_become_words() -> None:
    assert encode((math.nan, math.inf, -math.inf)) == ["NaN", "Infinity", "-Infinity"]


def test_what_does_not_fit_is_refused() -> None:
    good = encode(reports.Finding(code="c", severity="info", message="m"))
    for bad in ({**good, "severity": "fatal"}, {**good, "message": 3}, {**good, "other": 1}, {"code": "c"}):
        with pytest.raises((TypeError, KeyError)):
            decode(reports.Finding, bad)
    with pytest.raises(TypeError, match="no JSON form"):
        encode({1, 2})
