"""Is it fast enough? Conditions such as 'p95 < 20ms', and an earlier measurement that must not be beaten by much."""

from __future__ import annotations

import json
import operator
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from onnxctl.errors import EXIT_DONE, EXIT_NO, ModelError, UnreadableFile, UsageError
from onnxctl.memory import BYTE_UNITS
from onnxctl.model.files import open_regular
from onnxctl.reports import (
    SCHEMA,
    Assertion,
    BaselineComparison,
    Finding,
    Ratio,
    RunManyReport,
    RunReport,
    VariantReport,
    encode,
)
from onnxctl.runtime.statistics import RatioEstimate, compare_medians, percentile, verdict_of

LONGEST_CONDITION = 200

_CONDITION = re.compile(
    r"\s*(?P<metric>[a-z][a-z0-9._-]*)\s*(?P<relation><=|>=|<|>)\s*(?P<number>\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
    r"\s*(?P<unit>[a-zA-Zµ/]*)\s*",
    re.IGNORECASE,
)
_RELATIONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Kind = Literal["time", "bytes", "rate"]

_UNITS: Mapping[Kind, Mapping[str, float]] = {
    "time": {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9},
    "bytes": BYTE_UNITS,
    "rate": {"": 1, "/s": 1},
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that conditions may speak of."""

    kind: Kind
    of: Callable[[RunReport | VariantReport], float | None]


def _latency(name: str) -> Metric:
    return Metric("time", lambda report: None if report.latency is None else float(getattr(report.latency, name)))


METRICS: Mapping[str, Metric] = {
    "min": _latency("min_ns"),
    "median": _latency("median_ns"),
    "mean": _latency("mean_ns"),
    "p90": _latency("p90_ns"),
    "p95": _latency("p95_ns"),
    "p99": _latency("p99_ns"),
    "p99.9": _latency("p99_9_ns"),
    "max": _latency("max_ns"),
    "std": _latency("std_ns"),
    "load": Metric("time", lambda report: report.load_ns),
    "first-run": Metric("time", lambda report: report.first_run_ns),
    "throughput": Metric("rate", lambda report: report.throughput_per_second),
    "memory": Metric("bytes", lambda report: report.peak_memory_bytes or None),
    "device-memory": Metric("bytes", lambda report: report.peak_device_bytes),
}
"""What conditions may speak of, by name."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition, parsed; limit is in the metric's base unit (ns, bytes, per second)."""

    text: str
    metric: str
    relation: str
    limit: float
    unit: str


def parse_condition(text: str) -> Condition:
    """Parse METRIC RELATION NUMBER UNIT, as in 'p95 < 20ms'. Raises UsageError."""
    found = _CONDITION.fullmatch(text) if len(text) <= LONGEST_CONDITION else None
    if found is None:
        raise UsageError(f"--assert {text[:LONGEST_CONDITION]!r}: not a condition", hint="write it like 'p95 < 20ms'")
    name = found["metric"].lower()
    if name not in METRICS:
        raise UsageError(f"--assert {text!r}: no figure is called {name!r}", hint=f"one of {', '.join(METRICS)}")
    units = _UNITS[METRICS[name].kind]
    if found["unit"] not in units:
        known = ", ".join(filter(None, units))
        wrong = f"{found['unit']!r} is no unit of {name}" if found["unit"] else f"{name} needs a unit"
        raise UsageError(f"--assert {text!r}: {wrong}", hint=f"one of {known}")
    limit = float(found["number"]) * units[found["unit"]]
    return Condition(text.strip(), name, found["relation"], limit, found["unit"])


def judge(condition: Condition, report: RunReport | VariantReport) -> Assertion:
    """Whether the condition holds; a figure that was not measured fulfils none."""
    metric = METRICS[condition.metric]
    value = metric.of(report)
    if value is None:
        return Assertion(text=condition.text, passed=False, message=f"{condition.metric} was not measured here")
    size = _UNITS[metric.kind][condition.unit]
    passed = _RELATIONS[condition.relation](value, condition.limit)
    figure = value / size
    unit = condition.unit if condition.unit.startswith("/") else f" {condition.unit}"
    shown = ((f"{figure:,.0f}" if figure >= 1000 else f"{figure:.4g}") + unit).rstrip()
    return Assertion(text=condition.text, passed=passed, message=f"{condition.metric} is {shown}")


def judge_run(
    report: RunReport, conditions: Sequence[Condition], earlier: Earlier | None, allowed: float | None
) -> RunReport:
    """The report with what was asked of it: the conditions, and to be at most `allowed` slower than an earlier one."""
    judged = replace(report, assertions=tuple(judge(each, report) for each in conditions))
    if earlier is not None:
        comparison = compare_to_baseline(report, earlier, allowed)
        doubts = (*other_conditions(report, earlier), *_measured_apart(comparison))
        judged = replace(judged, baseline=comparison, findings=(*report.findings, *doubts))
    slower = judged.baseline is not None and not judged.baseline.passed
    return replace(judged, exit_code=EXIT_NO if slower or _falls_short(judged) else EXIT_DONE)


def judge_variants(report: RunManyReport, conditions: Sequence[Condition], allowed: float | None) -> RunManyReport:
    """The report with what was asked of each variant: the conditions, and to be at most `allowed` slower."""
    variants = tuple(
        each if each.error is not None else _judge_variant(each, conditions, allowed) for each in report.variants
    )
    return replace(report, variants=variants, allowed=allowed, exit_code=max(each.exit_code for each in variants))


def _judge_variant(variant: VariantReport, conditions: Sequence[Condition], allowed: float | None) -> VariantReport:
    judged = replace(variant, assertions=tuple(judge(each, variant) for each in conditions))
    slower = judged.ratio is not None and is_too_slow(judged.ratio, allowed)
    return replace(judged, exit_code=EXIT_NO if slower or _falls_short(judged) else EXIT_DONE)


def _falls_short(report: RunReport | VariantReport) -> bool:
    unverified = any(each.status != "equal" for each in report.verification)
    return unverified or any(not each.passed for each in report.assertions)


def is_too_slow(ratio: Ratio, allowed: float | None) -> bool:
    """Whether it is slower by more than the share that is allowed (None: any), and measurably so."""
    return allowed is not None and ratio.ratio > 1 + allowed and ratio.verdict == "slower"


# ---------------------------------------------------------------- an earlier measurement


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is used of an earlier report: the samples, and what they were taken of and on."""

    path: str
    date: str
    samples_ns: tuple[int, ...]
    cpu: str
    onnxruntime: str
    settings: Mapping[str, str]


_SETTINGS: Mapping[str, str] = {
    "provider": "provider",
    "intra_op_threads": "number of threads",
    "inter_op_threads": "number of threads between operators",
    "concurrency": "number of runs at once",
    "graph_optimization": "level of graph optimization",
}
"""What decides on the speed as well as the model does: fields of the report, and what messages call them."""


def _settings(data: Mapping[str, Any]) -> Mapping[str, str]:
    """The model, inputs and settings of an encoded report, by what messages call them; an older one may lack some."""
    found = {words: data[key] for key, words in _SETTINGS.items() if key in data}
    if "path" in data:
        found["model"] = os.path.basename(data["path"])
    if "inputs" in data:
        found["input"] = ", ".join(f"{each['name']} {each['dtype']}{each['shape']}" for each in data["inputs"])
    return {words: "not said" if value is None else str(value) for words, value in found.items()}


def read_baseline(path: str) -> Earlier:
    """Read a report that `run --json` printed. Raises UnreadableFile where the file is none."""
    source = open_regular(path)
    try:
        envelope = json.loads(source.read(0, source.size))
        if envelope["schema"] != SCHEMA or envelope["kind"] != "run":
            raise ValueError(f"it is of kind {envelope['kind']!r}, schema {envelope['schema']!r}")
        data: Any = envelope["data"]
        samples = tuple(data["samples_ns"])
        if not samples or not all(type(each) is int and each > 0 for each in samples):
            raise ValueError("its samples are no positive integers")
        environment = {key: str(data["environment"][key]) for key in ("cpu", "onnxruntime", "date")}
        return Earlier(
            path, environment["date"], samples, environment["cpu"], environment["onnxruntime"], _settings(data)
        )
    except ModelError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UnreadableFile(
            f"{path}: not a report of `onnxctl run --json`: {reason}", hint="make one: onnxctl run MODEL --json > FILE"
        ) from error


def compare_to_baseline(report: RunReport, earlier: Earlier, allowed: float | None) -> BaselineComparison:
    """The report against an earlier one: not passed where it is slower by more than `allowed`, and measurably so."""
    ratio = ratio_of(compare_medians(earlier.samples_ns, report.samples_ns))
    return BaselineComparison(
        path=earlier.path,
        date=earlier.date,
        median_ns=percentile(sorted(earlier.samples_ns), 50),
        ratio=ratio,
        allowed=allowed,
        passed=not is_too_slow(ratio, allowed),
    )


def ratio_of(estimate: RatioEstimate) -> Ratio:
    """The estimate with its verdict, as reports have it."""
    return Ratio(ratio=estimate.ratio, low=estimate.low, high=estimate.high, verdict=verdict_of(estimate))


def other_conditions(report: RunReport, earlier: Earlier) -> tuple[Finding, ...]:
    """What makes the two hard to compare. Codes: other-machine, other-settings (or model, or inputs)."""
    here, now = report.environment, _settings(encode(replace(report, samples_ns=())))
    compared = [
        ("other-machine", "CPU", earlier.cpu, here.cpu),
        ("other-machine", "onnxruntime", earlier.onnxruntime, here.onnxruntime),
        *(("other-settings", words, value, now[words]) for words, value in earlier.settings.items()),
    ]
    return tuple(
        Finding(
            code=code,
            severity="warning",
            message=f"the earlier measurement was made with another {what}: {before}, now {after}",
            where=earlier.path,
        )
        for code, what, before, after in compared
        if before != after
    )


def _measured_apart(comparison: BaselineComparison) -> tuple[Finding, ...]:
    """The finding that a difference may be the time's: the interval only knows how runs of one process vary."""
    if comparison.ratio.verdict == "no measurable difference":
        return ()
    return (
        Finding(
            code="measured-apart",
            severity="info",
            message="they were measured at two times: the interval does not tell what the machine did meanwhile",
            hint="to be sure let both take turns: onnxctl run OLD NEW --fail-if-slower PERCENT",
            where=comparison.path,
        ),
    )
