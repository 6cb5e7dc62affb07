"""Are the outputs right? Held against a test data set, or else against onnxruntime's plainest way to run the model."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from onnxctl.errors import OnnxctlError
from onnxctl.reports import DataSetCheck, OutputComparison
from onnxctl.runtime.compare import random_nodes
from onnxctl.runtime.feeds import generate_feeds
from onnxctl.runtime.given import DataSet
from onnxctl.runtime.opening import Opened, as_onnxruntime_opens_it
from onnxctl.runtime.session import SessionSettings, open_session
from onnxctl.runtime.tolerance import compare_values, decides_by_floats, tolerance_of

DATA_SET_TOLERANCE = 1e-3
"""Expected outputs come from other machines and frameworks: no less than the relative tolerance of ONNX's own tests."""


def check_outputs(opened: Opened, seed: int, custom_ops: Sequence[str] = ()) -> tuple[DataSetCheck, ...]:
    """Hold the outputs against every test data set there is; where there is none, against the model run plainly."""
    sets = tuple(each for each in opened.data_sets if each.expected)
    return (
        tuple(_check_data_set(opened, each, seed) for each in sets) if sets else (_check_plainly(opened, custom_ops),)
    )


def check_against_first(opened: Opened, seed: int) -> DataSetCheck | None:
    """Hold the outputs against the one data set there is, which another model left: no output may be missing or more.

    None where the other's outputs could not be kept.
    """
    (data_set,) = opened.data_sets
    if not data_set.expected:
        return None
    check = replace(_check_data_set(opened, data_set, seed), source="")
    more = [each.name for each in opened.session.outputs if each.name not in data_set.expected]
    if not more:
        return check
    reason = "; ".join(filter(None, (*(f"it has another output {name!r}" for name in more), check.reason)))
    return replace(check, status="different", reason=reason)


def _check_data_set(opened: Opened, data_set: DataSet, seed: int) -> DataSetCheck:
    try:
        feeds = generate_feeds(opened.model, opened.graphs, dims={}, seed=seed, given=data_set.given)
        outputs = opened.session.run(feeds.values)
    except OnnxctlError as error:
        return DataSetCheck(source=data_set.path, status="different", reason=f"it does not run: {error.message}")
    found = dict(zip((each.name for each in opened.session.outputs), outputs, strict=True))
    tolerance = max(tolerance_of(opened.graphs), DATA_SET_TOLERANCE)
    return _verdict(opened, data_set.path, data_set.expected, found, tolerance)


def _check_plainly(opened: Opened, custom_ops: Sequence[str]) -> DataSetCheck:
    """The outputs against those of the CPU without graph optimizations, on the same inputs."""
    settings = SessionSettings(graph_optimization="disable", memory_arena=False, custom_ops=custom_ops)
    try:
        plain = open_session(as_onnxruntime_opens_it(opened.model), settings, path=opened.session.path)
        outputs = plain.run(opened.feeds.values)
    except OnnxctlError as error:
        reason = f"the CPU without graph optimizations does not run it: {error.message}"
        return DataSetCheck(source="", status="not verified", reason=reason)
    finally:
        gc.collect()
    names = [each.name for each in opened.session.outputs]
    expected, found = dict(zip(names, outputs, strict=True)), dict(zip(names, opened.outputs, strict=True))
    return _verdict(opened, "", expected, found, tolerance_of(opened.graphs))


def _verdict(
    opened: Opened, source: str, expected: Mapping[str, Any], found: Mapping[str, Any], tolerance: float
) -> DataSetCheck:
    may_flip = decides_by_floats(opened.graphs)
    outputs = tuple(
        _rounding_of_the_largest(
            compare_values(name, value, found[name], tolerance=tolerance, may_flip=may_flip), value, tolerance
        )
        for name, value in expected.items()
        if name in found
    )
    missing = (f"it has no output {name!r}" for name in expected if name not in found)
    reason = "; ".join(filter(None, (*missing, wrong_outputs(outputs))))
    random = random_nodes(opened.graphs)
    if reason and random:
        return DataSetCheck(
            source=source, status="not verified", reason=f"random: {random} draws new numbers", outputs=outputs
        )
    return DataSetCheck(source=source, status="different" if reason else "equal", reason=reason, outputs=outputs)


def _rounding_of_the_largest(comparison: OutputComparison, expected: Any, tolerance: float) -> OutputComparison:
    """Equal after all, where what is off would be rounding for the largest elements, or for 1 if those are larger.

    Of a sigmoid's output that is nearly 0 almost everywhere, the zeros are off by as much as the ones.
    """
    if comparison.equal or not isinstance(expected, np.ndarray) or expected.dtype.kind != "f" or not expected.size:
        return comparison
    largest = float(np.max(np.abs(expected[np.isfinite(expected)]), initial=0.0))
    if comparison.max_absolute > tolerance * min(largest, 1.0):
        return comparison
    return replace(comparison, equal=True, message="off by no more than the rounding of its largest elements")


def wrong_outputs(outputs: Sequence[OutputComparison]) -> str:
    """What is wrong with the outputs, in words; "" where nothing is."""
    return "; ".join(f"output {each.name!r}: {each.message}" for each in outputs if not each.equal)
