"""What this machine can do at most, measured with the provider and threads of a session: the roof over its nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnxctl.errors import ModelError, ProviderUnavailable
from onnxctl.reports import ComputePeak, MachinePeak
from onnxctl.runtime.device import Device
from onnxctl.runtime.library import failure_types, load_onnxruntime
from onnxctl.runtime.session import SessionSettings, open_session
from onnxctl.runtime.timing import time_once

_LEAST_RUN_COUNT = 3
_LEAST_NS = 200_000_000
_LONGEST_RUN_NS = 20_000_000
"""After a product that takes longer none is tried that has eight times the work."""

_SIDES = (128, 256, 512, 1024, 2048, 4096)
"""Sides of the square matrices: small ones fit into caches and between interruptions, large ones fill many cores."""

_LEAST_BYTES, _MOST_BYTES = 1 << 22, 1 << 28
_CHAIN_LENGTH = 64

_HEADER = '<ir_version: 8, opset_import: ["": 13]>'
_PRODUCTS: Mapping[str, tuple[str, str, str, str]] = {
    "float32": ("float", "float", "float", "MatMul"),
    "float16": ("float16", "float16", "float16", "MatMul"),
    "float64": ("double", "double", "double", "MatMul"),
    "int8": ("uint8", "int8", "int32", "MatMulInteger"),
}
"""By what is multiplied: the types of left, right and product in ONNX's text form, and the operator."""

_NUMPY_NAMES = {"float": "float32", "double": "float64"}


def measure_peak(
    settings: SessionSettings, device: Device, element_types: Sequence[str], working_set_bytes: int
) -> MachinePeak | None:
    """The best of some runs of each kind of work; None where the provider takes no float32 at all.

    Products of n x n matrices, the right one constant, do 2 n^3 operations. A vector times a matrix reads it, a sum of
    vectors reads two and writes one: of working_set_bytes, within limits, since caches hold what is small. Chains of
    nodes on one number tell what starting a run takes, and each node.
    """
    failures: tuple[type[Exception], ...] = (ProviderUnavailable, ModelError, *failure_types(load_onnxruntime()))
    compute = []
    for each in element_types:
        if each in _PRODUCTS:
            try:
                compute.append(ComputePeak(element_type=each, flops_per_second=_product_rate(each, settings, device)))
            except failures:
                continue  # the provider has no such product: nothing is said about it
    byte_count = min(max(working_set_bytes, _LEAST_BYTES), _MOST_BYTES)
    try:
        bytes_per_second = _move_rate(byte_count, settings, device)
        one_ns, many_ns = (_chain_ns(length, settings) for length in (1, 1 + _CHAIN_LENGTH))
    except failures:
        return None
    node_ns = max(0.0, (many_ns - one_ns) / _CHAIN_LENGTH)
    return MachinePeak(
        compute=tuple(compute),
        bytes_per_second=bytes_per_second,
        working_set_bytes=byte_count,
        call_ns=max(0.0, one_ns - node_ns),
        node_ns=node_ns,
    )


def _product_rate(element_type: str, settings: SessionSettings, device: Device) -> float:
    """Operations per second of the best product."""
    import numpy as np
    import onnx.parser
    from onnx import numpy_helper

    left, right, result, operator = _PRODUCTS[element_type]
    text = f"{_HEADER} product ({left}[n, n] a) => ({result}[n, n] c) {{ c = {operator}(a, b) }}"
    best = 0.0
    for side in _SIDES:
        model = onnx.parser.parse_model(text)
        constant = np.ones((side, side), _NUMPY_NAMES.get(right, right))
        model.graph.initializer.append(numpy_helper.from_array(constant, "b"))
        run = _bound_run(model, {"a": np.ones((side, side), _NUMPY_NAMES.get(left, left))}, settings, device)
        best_ns = _best_ns(run)
        best = max(best, 2 * side**3 * 1e9 / best_ns)
        if best_ns > _LONGEST_RUN_NS:
            break
    return best


def _move_rate(byte_count: int, settings: SessionSettings, device: Device) -> float:
    """Bytes per second of the better of a vector times a matrix, and a sum."""
    import numpy as np
    import onnx.parser

    side, length = math.isqrt(byte_count // 4), byte_count // 12
    matrix = {"a": np.ones((1, side), np.float32), "b": np.ones((side, side), np.float32)}
    text = f"{_HEADER} read (float[1, n] a, float[n, n] b) => (float[1, n] c) {{ c = MatMul(a, b) }}"
    read_ns = _best_ns(_bound_run(onnx.parser.parse_model(text), matrix, settings, device))
    vectors = {"a": np.ones(length, np.float32), "b": np.ones(length, np.float32)}
    text = f"{_HEADER} add (float[n] a, float[n] b) => (float[n] c) {{ c = Add(a, b) }}"
    add_ns = _best_ns(_bound_run(onnx.parser.parse_model(text), vectors, settings, device))
    return max(4 * side * side * 1e9 / read_ns, 12 * length * 1e9 / add_ns)


def _chain_ns(length: int, settings: SessionSettings) -> int:
    """A run of so many nodes on one number, started as the model's runs are."""
    import numpy as np
    import onnx.parser

    body = "".join(f"x{index + 1} = Sin(x{index}) " for index in range(length))
    text = f"{_HEADER} chain (float[1] x0) => (float[1] x{length}) {{ {body} }}"
    session = open_session(onnx.parser.parse_model(text).SerializeToString(), settings, path="the calibration")
    return _best_ns(session.bare_run({"x0": np.ones(1, np.float32)}))


def _best_ns(run: Callable[[], object]) -> int:
    """The shortest of some runs, after one that is not counted."""
    run()
    samples: list[int] = []
    while len(samples) < _LEAST_RUN_COUNT or sum(samples) < _LEAST_NS:
        samples.append(time_once(run))
    return max(1, min(samples))


def _bound_run(
    model: Any, inputs: Mapping[str, Any], settings: SessionSettings, device: Device
) -> Callable[[], object]:
    """A run whose inputs and output "c" stay where they are: nothing is copied or allocated."""
    onnxruntime = load_onnxruntime()
    inference = open_session(model.SerializeToString(), settings, path="the calibration").inference
    binding = inference.io_binding()
    for name, array in inputs.items():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(array, device.kind, device.number)
        binding.bind_ortvalue_input(name, value)
    binding.bind_output("c", device.kind, device.number)
    inference.run_with_iobinding(binding)
    binding.bind_ortvalue_output("c", binding.get_outputs()[0])

    def run() -> None:
        inference.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run
