"""Runs on a device with memory of its own: inputs bound there, and copying there, computing and copying back apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxctl.reports import DevicePhases, RunConfig
from onnxctl.runtime import library
from onnxctl.runtime.providers import resolve
from onnxctl.runtime.session import Session
from onnxctl.runtime.statistics import percentile
from onnxctl.runtime.values import is_native

PHASE_RUN_COUNT = 20
LEAST_PHASE_RUN_COUNT = 3
PHASES_NS = 2_000_000_000
"""About how long the runs may take together whose parts are timed."""

_NVIDIA = ("cuda", "tensorrt", "tensorrt-rtx")


@dataclass(frozen=True, slots=True)
class Device:
    """Where tensors lie, as onnxruntime names it: "cuda", number 0."""

    kind: str = "cpu"
    number: int = 0


def device_of(config: RunConfig) -> Device:
    """The device whose memory the first provider computes in, as far as onnxruntime's Python package can bind it."""
    if config.provider_libraries or resolve(config.providers[0]).name not in _NVIDIA:
        return Device()
    numbers = [each.value for each in config.provider_options if each.name == "device_id" and each.value.isdigit()]
    return Device("cuda", int(numbers[0]) if numbers else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lap:
    """One run by its parts, in nanoseconds."""

    host_to_device_ns: int
    compute_ns: int
    device_to_host_ns: int


def time_phases(
    session: Session,
    feeds: Mapping[str, Any],
    device: Device,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> DevicePhases | None:
    """The medians of the parts of a run, after one run unmeasured; None for values that can't lie on the device.

    Inputs and outputs are bound to OrtValues on the device, and every part ends synchronised. The runs end after
    PHASES_NS, or are PHASE_RUN_COUNT.
    """
    if not _can_be_bound(session, feeds):
        return None
    begin = clock()
    laps: list[_Lap] = []
    try:
        _lap(session, feeds, device, clock)
        while len(laps) < LEAST_PHASE_RUN_COUNT or (len(laps) < PHASE_RUN_COUNT and clock() - begin < PHASES_NS):
            laps.append(_lap(session, feeds, device, clock))
    except session.failures:
        return None  # the model itself has run: what can't be bound here is no failure of the measurement
    return DevicePhases(
        host_to_device_ns=_median([each.host_to_device_ns for each in laps]),
        compute_ns=_median([each.compute_ns for each in laps]),
        device_to_host_ns=_median([each.device_to_host_ns for each in laps]),
    )


def _can_be_bound(session: Session, feeds: Mapping[str, Any]) -> bool:
    """Whether inputs are arrays of numbers, and outputs tensors of numbers."""
    arrays = all(isinstance(each, np.ndarray) and is_native(each) and each.dtype != object for each in feeds.values())
    words = [each.type.partition("[")[0] for each in session.outputs]
    return arrays and not any("(" in word or word == "string" for word in words)


def _lap(session: Session, feeds: Mapping[str, Any], device: Device, clock: Callable[[], int]) -> _Lap:
    onnxruntime = library.load_onnxruntime()
    binding = session.inference.io_binding()
    begin = clock()
    for name, array in feeds.items():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), device.kind, device.number)
        binding.bind_ortvalue_input(name, value)
    binding.synchronize_inputs()
    copied = clock()
    for output in session.outputs:
        binding.bind_output(output.name, device.kind, device.number)
    session.inference.run_with_iobinding(binding)
    binding.synchronize_outputs()
    computed = clock()
    binding.copy_outputs_to_cpu()
    return _Lap(host_to_device_ns=copied - begin, compute_ns=computed - copied, device_to_host_ns=clock() - computed)


def _median(samples: Sequence[int]) -> float:
    return percentile(sorted(samples), 50)
