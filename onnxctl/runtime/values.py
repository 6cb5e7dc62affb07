"""Values as onnxruntime takes and gives them: made from a domain, and summarised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxctl.model.arrays import Array, inline_array, new_inline_tensor, numpy_dtype
from onnxctl.model.tensors import DTYPES
from onnxctl.reports import RankedElement, ValueSummary
from onnxctl.runtime.value_rules import Domain

_SAMPLE_COUNT = 6
_SAMPLE_TEXT = 24


def make_array(number: int, shape: Sequence[int], domain: Domain, random: np.random.Generator) -> Array:
    """An array of the element type (TensorProto.DataType number) and shape with values of the domain."""
    count = math.prod(shape)
    if number == TensorProto.STRING:
        listed = domain.listed or ("text",)
        words = [str(each) for each in listed]
        picks = random.integers(0, len(words), count)
        return np.array([words[pick] for pick in picks], dtype=object).reshape(tuple(shape))
    dtype = numpy_dtype(number)
    whole = DTYPES[number].name.startswith(("int", "uint", "bool"))
    if domain.kind == "normal" and dtype.kind == "c":
        pair = random.standard_normal((2, count))
        return np.asarray(pair[0] + 1j * pair[1], dtype=dtype).reshape(tuple(shape))
    if domain.kind == "normal" and dtype in (np.float32, np.float64):
        return random.standard_normal(count, dtype=dtype).reshape(tuple(shape))
    if domain.kind == "uniform" and dtype in (np.float32, np.float64):
        array = random.random(count, dtype=dtype)
        array *= domain.high - domain.low
        array += domain.low
        return array.reshape(tuple(shape))
    numbers = _numbers(domain, tuple(shape), count, whole, random)
    return np.asarray(numbers).astype(dtype).reshape(tuple(shape))


def _numbers(domain: Domain, shape: tuple[int, ...], count: int, whole: bool, random: np.random.Generator) -> Array:
    if domain.kind == "coin":
        return random.integers(0, 2, count)
    if domain.kind == "constant":
        return np.full(count, domain.low)
    if domain.kind == "ascending":
        period = max(int(domain.high - domain.low) + 1, 1)
        last = count if "differ" in domain.words or not shape else shape[-1]
        return domain.low + np.arange(count) % max(last, 1) % period
    if domain.kind == "listed" and domain.listed:
        return np.resize(np.array(domain.listed), count)
    if domain.kind == "choice":
        choices = np.array([each for each in domain.listed if not isinstance(each, str)] or [0])
        return choices[random.integers(0, len(choices), count)]
    if domain.kind == "integers" or (domain.kind == "uniform" and whole):
        return random.integers(math.ceil(domain.low), math.floor(domain.high) + 1, count)
    if domain.kind == "uniform":
        return random.uniform(domain.low, domain.high, count)
    return random.standard_normal(count)


# ---------------------------------------------------------------- onnxruntime's form

_NUMPY_KINDS = "biufc"

_FOREIGN_TYPES = frozenset(
    f"tensor({dtype.name})"
    for dtype in DTYPES.values()
    if (dtype.bits and dtype.bits < 8) or dtype.name.startswith(("bfloat", "float8"))
)
"""onnxruntime's names of the types numpy has no name for."""


def is_native(array: Array) -> bool:
    """Whether onnxruntime takes the array as it is: numpy's own types, and strings as objects."""
    return array.dtype == object or (array.dtype.kind in _NUMPY_KINDS and array.dtype.isbuiltin == 1)


def to_onnxruntime(array: Array, number: int) -> Any:
    """The array as onnxruntime takes it: an OrtValue for types numpy has no name for (bfloat16, int4), else itself.

    4- and 2-bit elements are packed into the front of the buffer, as onnxruntime reads them.
    """
    if is_native(array):
        return array
    import onnxruntime

    bits = DTYPES[number].bits
    data = np.ascontiguousarray(array)
    if bits < 8 and data.size:
        packed = np.frombuffer(new_inline_tensor("", data).raw_data, dtype=np.uint8)
        data = data.copy()
        data.reshape(-1).view(np.uint8)[: len(packed)] = packed
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(data, number)


def from_onnxruntime(value: Any) -> Any:
    """The inverse: arrays of ml_dtypes for OrtValues of types numpy has no name for; everything else unchanged."""
    if not hasattr(value, "data_ptr"):
        return value
    import ctypes

    number = int(value.element_type())
    shape, bits = tuple(value.shape()), DTYPES[number].bits
    if number == TensorProto.STRING:
        return value.numpy()
    count = math.prod(shape)
    size = (count * bits + 7) // 8
    raw = ctypes.string_at(value.data_ptr(), size) if size else b""
    tensor = TensorProto(data_type=number, dims=shape, raw_data=raw)
    return inline_array(tensor)


def fetch_outputs(
    inference: Any, feeds: Mapping[str, Any], *, names: Sequence[str] | None = None, options: Any = None
) -> list[Any]:
    """Run an InferenceSession: its outputs in order (or those named), those of types numpy has no name for included."""
    outputs = inference.get_outputs()
    types = {each.name: each.type for each in outputs}
    wanted = [each.name for each in outputs] if names is None else list(names)
    foreign = [name for name in dict.fromkeys(wanted) if types[name] in _FOREIGN_TYPES]
    plain = [name for name in dict.fromkeys(wanted) if types[name] not in _FOREIGN_TYPES]
    found = dict(zip(plain, inference.run(plain, feeds, options), strict=True)) if plain else {}
    if foreign:
        values = inference.run_with_ort_values(foreign, {name: _ort_value(feeds[name]) for name in feeds}, options)
        found |= {name: from_onnxruntime(value) for name, value in zip(foreign, values, strict=True)}
    return [found[name] for name in wanted]


def _ort_value(value: Any) -> Any:
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(value) if isinstance(value, np.ndarray) else value


# ---------------------------------------------------------------- summaries


def summarize_value(name: str, type_text: str, value: Any, source: str = "") -> ValueSummary:
    """What a value holds: its shape, the range of its finite numbers, a short sample; of collections, their size."""
    value = from_onnxruntime(value)
    if isinstance(value, np.ndarray | np.generic):
        return _array_summary(name, type_text, np.asarray(value), source)
    if value is None:
        return ValueSummary(name=name, type=type_text, dtype=None, shape=None, source=source, sample="(none)")
    if isinstance(value, Mapping):
        shown = ", ".join(f"{_text(key)}: {_text(item)}" for key, item in list(value.items())[:_SAMPLE_COUNT])
        more = ", ..." if len(value) > _SAMPLE_COUNT else ""
        sample = f"{len(value)} entries {{{shown}{more}}}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        parts = [summarize_value("", "", item).sample for item in list(value)[:2]]
        shapes = [f"{item.dtype}{list(item.shape)}" for item in value if isinstance(item, np.ndarray)][:_SAMPLE_COUNT]
        shown = ", ".join(shapes) if shapes else "; ".join(parts)
        more = ", ..." if len(value) > max(len(shapes), len(parts)) else ""
        sample = f"{len(value)} items: {shown}{more}" if len(value) else "0 items"
    else:
        sample = _text(value)
    return ValueSummary(name=name, type=type_text, dtype=None, shape=None, source=source, sample=sample)


def _array_summary(name: str, type_text: str, array: Array, source: str) -> ValueSummary:
    dtype = "string" if array.dtype == object or array.dtype.kind in "US" else str(array.dtype)
    first = array.reshape(-1)[:_SAMPLE_COUNT]
    sample = ", ".join(_text(each) for each in first.tolist()) + (", ..." if array.size > _SAMPLE_COUNT else "")
    minimum = maximum = mean = None
    nan_count = inf_count = 0
    if dtype != "string" and array.dtype.kind != "c" and array.size:
        numbers = (
            array if array.dtype.kind in "biu" or array.dtype in (np.float32, np.float64) else array.astype(np.float32)
        )
        if numbers.dtype.kind == "f":
            finite = np.isfinite(numbers)
            nan_count = int(np.isnan(numbers).sum())
            inf_count = int(numbers.size - finite.sum()) - nan_count
            numbers = numbers[finite] if nan_count or inf_count else numbers
        if numbers.size:
            minimum, maximum = float(numbers.min()), float(numbers.max())
            mean = float(numbers.mean(dtype=np.float64))
    return ValueSummary(
        name=name,
        type=type_text,
        dtype=dtype,
        shape=tuple(array.shape),
        minimum=minimum,
        maximum=maximum,
        mean=mean,
        nan_count=nan_count,
        inf_count=inf_count,
        source=source,
        sample=sample,
    )


def _text(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SAMPLE_TEXT else text[: _SAMPLE_TEXT - 1] + "…"


# ---------------------------------------------------------------- scores

_RANKED_COUNT = 5


def rank(summary: ValueSummary, value: Any) -> ValueSummary:
    """The summary with the largest elements of the first row, where the output looks like scores of classes."""
    array = from_onnxruntime(value)
    scores = isinstance(array, np.ndarray) and array.ndim in (1, 2) and is_native(array) and array.dtype.kind == "f"
    if not scores or not array.size or array.shape[-1] < _RANKED_COUNT:
        return summary
    row = array.reshape(-1, array.shape[-1])[0].astype(np.float64)
    best = np.argsort(-np.nan_to_num(row, nan=-np.inf), kind="stable")[:_RANKED_COUNT]
    return replace(summary, top=tuple(RankedElement(index=int(at), value=float(row[at])) for at in best))
