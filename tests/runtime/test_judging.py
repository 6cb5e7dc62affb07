"""Conditions on figures, and earlier measurements."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxctl.errors import OnnxctlError, UnreadableFile, UsageError
from onnxctl.reports import RunReport, encode
from onnxctl.runtime.judging import (
    METRICS,
    compare_to_baseline,
    judge,
    judge_run,
    other_conditions,
    parse_condition,
    read_baseline,
)
from onnxctl.runtime.statistics import summarize_latency
from tests.render.filling import filled

MILLISECOND = 1_000_000


def report(*samples_ns: int) -> RunReport:
    whole = filled(RunReport, "name")
    assert isinstance(whole, RunReport)
    return dataclasses.replace(
        whole, samples_ns=samples_ns, latency=summarize_latency(samples_ns), peak_device_bytes=None
    )


@pytest.mark.parametrize(
    ("text", "passed", "message"),
    [
        ("median < 10.5ms", True, "median is 10 ms"),
        ("p95<=10000us", True, "p95 is 10,000 us"),
        ("P99.9 > 0.02 s", False, "p99.9 is 0.01 s"),
        ("max >= 1e7 ns", True, "max is 10,000,000 ns"),
        ("memory < 12kB", False, "memory is 12.35 kB"),
        ("throughput > 1/s", True, "throughput is 1.5/s"),
        ("device-memory < 1GB", False, "device-memory was not measured here"),
    ],
)
def test_conditions_hold_or_fail_and_say_what_is(text: str, passed: bool, message: str) -> None:
    found = judge(parse_condition(text), report(*[10 * MILLISECOND] * 5))
    if text.startswith("throughput"):
        assert found.passed is passed
        return
    assert (found.passed, found.message) == (passed, message)


@pytest.mark.parametrize(
    "text",
    ["", "p95", "p95 < ", "p95 < 20", "p95 == 3ms", "speed < 3ms", "p95 < 3MB", "__import__('os') < 3ms", "p" * 999],
)
def test_what_is_no_condition_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_condition(text)


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(OnnxctlError):
        assert parse_condition(text).metric in METRICS


def saved(tmp_path: Path, one: RunReport) -> str:
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"schema": 1, "kind": "run", "data": encode(one)}))
    return str(path)


def noisy(median_ns: float, seed: int) -> RunReport:
    generator = random.Random(seed)
    return report(*(int(median_ns * generator.lognormvariate(0, 0.02)) for _ in range(400)))


def test_a_slow_down_beyond_what_is_allowed_fails_and_noise_does_not(tmp_path: Path) -> None:
    earlier = read_baseline(saved(tmp_path, noisy(MILLISECOND, 1)))
    same = compare_to_baseline(noisy(MILLISECOND, 2), earlier, 0.03)
    assert same.passed and same.ratio.verdict == "no measurable difference"
    slower = compare_to_baseline(noisy(1.1 * MILLISECOND, 3), earlier, 0.03)
    assert not slower.passed and slower.ratio.verdict == "slower"
    assert slower.ratio.low < 1.1 < slower.ratio.high
    assert compare_to_baseline(noisy(1.1 * MILLISECOND, 3), earlier, 0.2).passed
    assert compare_to_baseline(noisy(1.1 * MILLISECOND, 3), earlier, None).passed
    assert compare_to_baseline(noisy(0.9 * MILLISECOND, 4), earlier, 0.0).passed


def test_another_machine_is_told(tmp_path: Path) -> None:
    one = report(1, 2, 3)
    earlier = read_baseline(saved(tmp_path, one))
    assert other_conditions(one, earlier) == ()
    elsewhere = dataclasses.replace(one, environment=dataclasses.replace(one.environment, cpu="other"))
    assert [each.code for each in other_conditions(elsewhere, earlier)] == ["other-machine"]


def test_other_settings_and_inputs_are_told(tmp_path: Path) -> None:
    one = report(1, 2, 3)
    earlier = read_baseline(saved(tmp_path, one))
    larger = dataclasses.replace(one.inputs[0], shape=(8, 3))
    for other in (
        dataclasses.replace(one, path="another.onnx"),
        dataclasses.replace(one, intra_op_threads=(one.intra_op_threads or 0) + 1),
        dataclasses.replace(one, inputs=(larger, *one.inputs[1:])),
    ):
        assert [each.code for each in other_conditions(other, earlier)] == ["other-settings"]


def test_a_difference_between_two_times_is_doubted(tmp_path: Path) -> None:
    earlier = read_baseline(saved(tmp_path, noisy(MILLISECOND, 1)))
    for later, doubts in ((noisy(MILLISECOND, 2), []), (noisy(1.1 * MILLISECOND, 3), ["measured-apart"])):
        judged = judge_run(later, [], earlier, None)
        assert [each.code for each in judged.findings[len(later.findings) :]] == doubts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema": 1, "kind": "inspect", "data": {}}',
        '{"schema": 1, "kind": "run", "data": {"samples_ns": []}}',
        '{"schema": 1, "kind": "run", "data": {"samples_ns": ["1"]}}',
        '{"schema": 1, "kind": "run", "data": {"samples_ns": [1]}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(UnreadableFile, match=r"old\.json"):
        read_baseline(str(tmp_path / "old.json"))
