"""What is in the weights, tensor by tensor: statistics, duplicates, and why some can't be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from onnx import TensorProto

from onnxctl.analysis.statistics import weight_statistics
from onnxctl.analysis.weights import Weight, place_of
from onnxctl.errors import ModelError
from onnxctl.model.loading import Model
from onnxctl.reports import WeightInfo, WeightStatistics

MEGABYTE = 1_000_000
_WITHOUT_ORDER: dict[int, str] = {
    TensorProto.STRING: "text has no range",
    **dict.fromkeys((TensorProto.COMPLEX64, TensorProto.COMPLEX128), "complex numbers have no range"),
}


def read_weights(
    model: Model, weights: Sequence[tuple[Weight, WeightInfo]], tell: Callable[[str], None]
) -> tuple[WeightInfo, ...]:
    """The tensors with the statistics of their values, read one after the other; `tell` hears how far it is.

    A tensor that can't be read, or whose values have no order, says so and is no error. Equal contents (of equal type
    and shape) name the first. Bytes that several tensors share are read once.
    """
    total = sum(weight.byte_count for weight, _ in weights)
    done = 0
    first: dict[str, str] = {}
    known: dict[object, WeightStatistics] = {}
    result = []
    for weight, info in weights:
        if total > MEGABYTE:
            tell(f"reading weights: {done // MEGABYTE:,} of {total // MEGABYTE:,} MB")
        place = place_of(model, weight)
        if place in known:
            info = dataclasses.replace(info, statistics=known[place])
        else:
            info = _with_values(model, weight, info)
        if info.statistics is not None:
            known[place] = info.statistics
            label = f"{info.scope}/{info.name}" if info.scope else info.name
            same_as = first.setdefault(info.statistics.digest, label)
            info = dataclasses.replace(info, same_as="" if same_as == label else same_as)
        result.append(info)
        done += weight.byte_count
    return tuple(result)


def _with_values(model: Model, weight: Weight, info: WeightInfo) -> WeightInfo:
    if weight.stored is None:
        return info
    if weight.data_type in _WITHOUT_ORDER:
        return dataclasses.replace(info, problem=_WITHOUT_ORDER[weight.data_type])
    try:
        return dataclasses.replace(info, statistics=weight_statistics(model.tensor(weight.stored)))
    except ModelError as error:
        return dataclasses.replace(info, problem=error.message)
