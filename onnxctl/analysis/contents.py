"""What is in the weights, tensor by tensor: statistics, duplicates, and why some can't be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from onnxctl.analysis.statistics import weight_statistics
from onnxctl.analysis.weights import Weight
from onnxctl.errors import ModelError
from onnxctl.model.loading import Model
from onnxctl.reports import WeightInfo

MEGABYTE = 1_000_000


def read_weights(
    model: Model, weights: Sequence[tuple[Weight, WeightInfo]], tell: Callable[[str], None]
) -> tuple[WeightInfo, ...]:
    """The tensors with the statistics of their values, read one after the other; `tell` hears how far it is.

    A tensor that can't be read says why and is no error. Equal contents (of equal type and shape) name the first.
    """
    total = sum(weight.byte_count for weight, _ in weights)
    done = 0
    first: dict[str, str] = {}
    result = []
    for weight, info in weights:
        if total > MEGABYTE:
            tell(f"reading weights: {done // MEGABYTE:,} of {total // MEGABYTE:,} MB")
        info = _with_values(model, weight, info)
        if info.statistics is not None:
            place = f"{info.scope}/{info.name}" if info.scope else info.name
            same_as = first.setdefault(info.statistics.digest, place)
            info = dataclasses.replace(info, same_as="" if same_as == place else same_as)
        result.append(info)
        done += weight.byte_count
    return tuple(result)


def _with_values(model: Model, weight: Weight, info: WeightInfo) -> WeightInfo:
    if weight.stored is None:
        return info
    try:
        return dataclasses.replace(info, statistics=weight_statistics(model.tensor(weight.stored)))
    except ModelError as error:
        return dataclasses.replace(info, problem=error.message)
