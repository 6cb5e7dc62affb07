"""Reports are JSON: there and back without loss."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxctl import reports
from onnxctl.reports import KINDS, Report, decode, encode

any_report = st.one_of(*(st.from_type(kind) for kind in get_args(Report)))


@given(any_report)
def test_every_report_survives_json(report: Any) -> None:
    text = json.dumps(encode(report), allow_nan=False)
    back = decode(type(report), json.loads(text))
    assert encode(back) == encode(report)
    assert type(back) is type(report)


def test_every_report_has_a_kind() -> None:
    assert set(get_args(Report)) == set(KINDS)
    assert len(set(KINDS.values())) == len(KINDS)


def test_numbers_that_json_lacks_become_words() -> None:
    assert encode((math.nan, math.inf, -math.inf)) == ["NaN", "Infinity", "-Infinity"]


def test_what_does_not_fit_is_refused() -> None:
    good = encode(reports.Finding(code="c", severity="info", message="m"))
    for bad in ({**good, "severity": "fatal"}, {**good, "message": 3}, {**good, "other": 1}, {"code": "c"}):
        with pytest.raises((TypeError, KeyError)):
            decode(reports.Finding, bad)
    with pytest.raises(TypeError, match="no JSON form"):
        encode({1, 2})
