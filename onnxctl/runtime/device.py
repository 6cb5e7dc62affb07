"""Runs on a device with memory of its own: inputs bound there, and copying there, computing and copying back apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxctl.reports import DevicePhases
from onnxctl.runtime import library
from onnxctl.runtime.session import Session
from onnxctl.runtime.statistics import percentile
from onnxctl.runtime.values import is_native

PHASE_RUN_COUNT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lap:
    """One run by its parts, in nanoseconds."""

    host_to_device_ns: int
    compute_ns: int
    device_to_host_ns: int


def time_phases(
    session: Session,
    feeds: Mapping[str, Any],
    *,
    device: str = "cuda",
    device_id: int = 0,
    run_count: int = PHASE_RUN_COUNT,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> DevicePhases | None:
    """The medians of the parts of a run, after one run unmeasured; None for inputs that can't lie on a device.

    Inputs and outputs are bound to OrtValues on the device, and every part ends synchronised.
    """
    arrays = {name: value for name, value in feeds.items() if isinstance(value, np.ndarray) and is_native(value)}
    if len(arrays) != len(feeds) or any(value.dtype == object for value in arrays.values()):
        return None
    laps = [_lap(session, arrays, device, device_id, clock) for _ in range(run_count + 1)][1:]
    return DevicePhases(
        host_to_device_ns=_median([each.host_to_device_ns for each in laps]),
        compute_ns=_median([each.compute_ns for each in laps]),
        device_to_host_ns=_median([each.device_to_host_ns for each in laps]),
    )


def _lap(session: Session, arrays: Mapping[str, Any], device: str, device_id: int, clock: Callable[[], int]) -> _Lap:
    onnxruntime = library.load_onnxruntime()
    binding = session.inference.io_binding()
    begin = clock()
    for name, array in arrays.items():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), device, device_id)
        binding.bind_ortvalue_input(name, value)
    binding.synchronize_inputs()
    copied = clock()
    for output in session.outputs:
        binding.bind_output(output.name, device, device_id)
    session.inference.run_with_iobinding(binding)
    binding.synchronize_outputs()
    computed = clock()
    binding.copy_outputs_to_cpu()
    return _Lap(host_to_device_ns=copied - begin, compute_ns=computed - copied, device_to_host_ns=clock() - computed)


def _median(samples: Sequence[int]) -> float:
    return percentile(sorted(samples), 50)
