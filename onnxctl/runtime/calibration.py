"""What this machine can do at most, measured on the same provider and threads: a large MatMul, a large Add."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onnxctl.reports import MachinePeak
from onnxctl.runtime import library
from onnxctl.runtime.session import SessionSettings, open_session
from onnxctl.runtime.timing import time_once

_LEAST_RUN_COUNT = 8
_LEAST_NS = 500_000_000
_DEVICE_FACTOR = 8
"""A device with memory of its own gets larger work: it would be done before it is warm."""

_MATRIX_SIDE = 1024
_VECTOR_LENGTH = 1 << 24

_HEADER = '<ir_version: 8, opset_import: ["": 13]>'
_MATMUL = f"{_HEADER} matmul (float[n, n] a, float[n, n] b) => (float[n, n] c) {{ c = MatMul(a, b) }}"
_ADD = f"{_HEADER} add (float[n] a, float[n] b) => (float[n] c) {{ c = Add(a, b) }}"


def measure_peak(settings: SessionSettings, providers: Sequence[str]) -> MachinePeak | None:
    """The best of some runs of each, in float32; None where the provider does not take them.

    A MatMul of n x n matrices does 2 n^3 operations; an Add of n elements moves 12 n bytes.
    """
    device = "cuda" if providers[0] == "cuda" else "cpu"
    factor = _DEVICE_FACTOR if device == "cuda" else 1
    side, length = _MATRIX_SIDE * factor, _VECTOR_LENGTH * factor
    try:
        matmul_ns = _best_ns(_MATMUL, settings, (side, side), device)
        add_ns = _best_ns(_ADD, settings, (length,), device)
    except library.failure_types(library.load_onnxruntime()):
        return None
    return MachinePeak(flops_per_second=2 * side**3 * 1e9 / matmul_ns, bytes_per_second=12 * length * 1e9 / add_ns)


def _best_ns(text: str, settings: SessionSettings, shape: tuple[int, ...], device: str) -> int:
    """The shortest of some runs, inputs and output bound once so that nothing is copied or allocated."""
    import onnx.parser

    session = open_session(onnx.parser.parse_model(text).SerializeToString(), settings, path="the calibration")
    run = _bound_run(session.inference, shape, device)
    samples: list[int] = []
    while len(samples) < _LEAST_RUN_COUNT or sum(samples) < _LEAST_NS:
        samples.append(time_once(run))
    return min(samples)


def _bound_run(inference: Any, shape: tuple[int, ...], device: str) -> Callable[[], None]:
    import numpy as np

    onnxruntime = library.load_onnxruntime()
    array = np.full(shape, 0.5, np.float32)
    binding = inference.io_binding()
    for name in ("a", "b"):
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0))
    binding.bind_ortvalue_output("c", onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device, 0))

    def run() -> None:
        inference.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run
