"""Whether two values are the same answer: exactly where the type is exact, else as close as rounding allows.

Elements a and b agree where |a - b| <= tolerance x (|a| + typical), typical being 8 times the median of the output's
nonzero |a|, at most its maximum: outliers such as masks of -1e9 don't hide the rest. NaNs must be at the same places.

Sigmoid and its like are computed with an error that is small beside 1, however small their result: outputs that come
straight from them may differ by a slack as well.

The tolerance follows the coarsest floating-point type the model computes in: its machine epsilon, times the roundings
of one step, times the square root of the longest chain of nodes, as rounding errors of independent steps add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxctl.model.arrays import Array
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import tensors_of_graph
from onnxctl.model.nodes import attribute
from onnxctl.reports import OutputComparison

LARGEST_TOLERANCE = 0.05

QUANTIZED_TOLERANCE = 0.02
"""Where the model quantizes: a value on the edge of two steps may round to either."""

TYPICAL_FACTOR = 8

FLIPS_PER_ELEMENT = 1e-3
"""The share of integers or truths that may differ in a large output decided by comparing floats (ArgMax, TopK)."""

_STEP_ERROR: Mapping[int, float] = {
    TensorProto.DOUBLE: 32 * 2.0**-52,
    TensorProto.FLOAT: 32 * 2.0**-23,
    TensorProto.FLOAT16: 2 * 2.0**-10,
    TensorProto.BFLOAT16: 2 * 2.0**-7,
}
"""Machine epsilon times the roundings of a step: a thousand products summed in another order make about 32; half
precision is summed in single precision and rounded at the end."""

SATURATING_STEPS = 16
"""The slack of outputs of _SATURATING operators, in machine epsilons of 1."""

_SATURATING = frozenset(("Sigmoid", "HardSigmoid", "Tanh", "Erf"))
_REARRANGING = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Slice", "Cast"))

_QUANTIZING = frozenset(("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"))
_DECIDING = _QUANTIZING | {"ArgMax", "ArgMin", "TopK", "NonMaxSuppression", "Greater", "Less"}
_DECIDING |= {"GreaterOrEqual", "LessOrEqual", "Round", "Floor", "Ceil", "Cast"}


def tolerance_of(graphs: ModelGraphs) -> float:
    """The tolerance for outputs computed in floating point."""
    operators = {node.op_type for scope in graphs.scopes() for node in scope.nodes}
    if not _QUANTIZING.isdisjoint(operators):
        return QUANTIZED_TOLERANCE
    errors = [_STEP_ERROR[number] for number in _element_types(graphs) if number in _STEP_ERROR]
    error = max(errors, default=_STEP_ERROR[TensorProto.FLOAT])
    return min(error * math.sqrt(max(_depth(graphs), 1)), LARGEST_TOLERANCE)


def slack_of(graphs: ModelGraphs, name: str) -> float:
    """How far the output may be off beside its tolerance: see SATURATING_STEPS; 0.0 for most."""
    node = graphs.top.producer(name)
    while node is not None and node.op_type in _REARRANGING:
        node = graphs.top.producer(node.input[0])
    if node is None or node.op_type not in _SATURATING:
        return 0.0
    half = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    return SATURATING_STEPS * (2.0**-10 if half.intersection(_element_types(graphs)) else 2.0**-23)


def decides_by_floats(graphs: ModelGraphs) -> bool:
    """Whether the model has operators whose integers or truths hang on the last bits of floats."""
    return any(node.op_type in _DECIDING for scope in graphs.scopes() for node in scope.nodes)


def _element_types(graphs: ModelGraphs) -> Iterator[int]:
    proto = graphs.model.proto
    for tensor in tensors_of_graph(proto.graph):
        yield tensor.data_type
    for value in (*proto.graph.input, *proto.graph.output):
        yield value.type.tensor_type.elem_type
    for scope in graphs.scopes():
        for node in scope.nodes:
            if node.op_type == "Cast" and not any(each.ref_attr_name for each in node.attribute):
                yield int(attribute(node, "to", 0))


def _depth(graphs: ModelGraphs) -> int:
    """The longest chain of nodes in the top graph, and the longest body inside it for every node that has one."""
    depths: dict[str, int] = {}
    longest = 0
    for node in graphs.top.nodes:
        inside = max((len(inner.nodes) for inner in graphs.top.subgraphs(node)), default=0)
        depth = 1 + inside + max((depths.get(name, 0) for name in node.input), default=0)
        depths.update(dict.fromkeys(node.output, depth))
        longest = max(longest, depth)
    return longest + max((len(function.nodes) for function in graphs.functions), default=0)


# ---------------------------------------------------------------- two values


def compare_values(
    name: str, a: Any, b: Any, *, tolerance: float, may_flip: bool = False, slack: float = 0.0
) -> OutputComparison:
    """Compare one output of the original (a) with the candidate's (b); sequences and maps item by item."""
    kinds = [type(each).__name__ for each in (a, b)]
    if isinstance(a, np.ndarray | np.generic) and isinstance(b, np.ndarray | np.generic):
        return _compare_arrays(name, np.asarray(a), np.asarray(b), tolerance, may_flip, slack)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if list(a) != list(b):
            return _different(name, tolerance, "the maps have different keys")
        pairs = [(a[key], b[key]) for key in a]
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return _different(name, tolerance, f"{len(a)} items against {len(b)}")
        pairs = list(zip(a, b, strict=True))
    elif a is None or b is None or kinds[0] != kinds[1]:
        return _same(name) if a is b else _different(name, tolerance, f"{kinds[0]} against {kinds[1]}")
    elif isinstance(a, str):
        return _same(name) if a == b else _different(name, 0.0, "the texts differ")
    elif isinstance(a, int | float):
        return _compare_arrays(name, np.asarray(a, np.float64), np.asarray(b, np.float64), tolerance, may_flip)
    else:
        return _compare_sparse(name, a, b, tolerance)
    found = [compare_values(name, x, y, tolerance=tolerance, may_flip=may_flip) for x, y in pairs]
    return merge(found) if found else _same(name)


def merge(comparisons: Sequence[OutputComparison]) -> OutputComparison:
    """One comparison for several of the same output: the maxima, and the message of the one that differs most."""
    different = [each for each in comparisons if not each.equal]
    worst = max(different, key=lambda each: _largest([each.max_relative]), default=None)
    first = next((each.message for each in comparisons if each.message), "")
    return OutputComparison(
        name=comparisons[0].name,
        equal=worst is None,
        max_absolute=_largest([each.max_absolute for each in comparisons]),
        max_relative=_largest([each.max_relative for each in comparisons]),
        tolerance=max(each.tolerance for each in comparisons),
        message=worst.message if worst is not None else first,
    )


def _largest(numbers: Sequence[float]) -> float:
    return math.inf if any(math.isnan(each) for each in numbers) else max(numbers)


def _same(name: str) -> OutputComparison:
    return OutputComparison(name=name, equal=True, max_absolute=0.0, max_relative=0.0, tolerance=0.0)


def _different(name: str, tolerance: float, message: str) -> OutputComparison:
    return OutputComparison(
        name=name,
        equal=False,
        max_absolute=math.inf,
        max_relative=math.inf,
        tolerance=tolerance,
        message=message,
    )


def _compare_sparse(name: str, a: Any, b: Any, tolerance: float) -> OutputComparison:
    if list(a.dense_shape()) != list(b.dense_shape()) or len(a.values()) != len(b.values()):
        return _different(name, tolerance, "the sparse tensors have different shapes")
    return _compare_arrays(name, np.asarray(a.values()), np.asarray(b.values()), tolerance, False)


def _compare_arrays(
    name: str, a: Array, b: Array, tolerance: float, may_flip: bool, slack: float = 0.0
) -> OutputComparison:
    if a.dtype != b.dtype:
        return _different(name, tolerance, f"{a.dtype} against {b.dtype}")
    if a.shape != b.shape:
        return _different(name, tolerance, f"shape {list(a.shape)} against {list(b.shape)}")
    if a.dtype == object or a.dtype.kind in "biu" or a.dtype.name.startswith(("int", "uint")):
        return _compare_exact(name, a, b, may_flip)
    if a.dtype.kind == "c":
        return merge(
            [
                _compare_floats(name, np.asarray(a.real), np.asarray(b.real), tolerance),
                _compare_floats(name, np.asarray(a.imag), np.asarray(b.imag), tolerance),
            ]
        )
    wide = np.float64 if a.dtype == np.float64 else np.float32
    return _compare_floats(name, a.astype(wide, copy=False), b.astype(wide, copy=False), tolerance, slack)


def _compare_exact(name: str, a: Array, b: Array, may_flip: bool) -> OutputComparison:
    wrong = int(np.count_nonzero(a != b))
    if not wrong:
        return _same(name)
    message = f"{wrong} of {a.size} elements differ"
    if a.dtype == object:
        return _different(name, 0.0, message)
    largest = float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64))))
    flipped = may_flip and wrong <= a.size * FLIPS_PER_ELEMENT
    return OutputComparison(
        name=name,
        equal=flipped,
        max_absolute=largest,
        max_relative=wrong / a.size,
        tolerance=FLIPS_PER_ELEMENT if may_flip else 0.0,
        message=f"{message}, as rounding decides them" if flipped else message,
    )


def _compare_floats(name: str, a: Array, b: Array, tolerance: float, slack: float = 0.0) -> OutputComparison:
    finite = np.isfinite(a)
    odd = ~finite
    if odd.any() or not np.isfinite(b).all():
        same_nan = np.array_equal(np.isnan(a), np.isnan(b))
        same_inf = np.array_equal(a[np.isinf(a)], b[np.isinf(b)]) and np.array_equal(np.isinf(a), np.isinf(b))
        if not (same_nan and same_inf):
            return _different(name, tolerance, "NaN or infinities at different places")
        a, b = a[finite], b[finite]
    if not a.size:
        return OutputComparison(
            name=name,
            equal=True,
            max_absolute=0.0,
            max_relative=0.0,
            tolerance=tolerance,
            message="not one finite number" if odd.any() else "no elements",
        )
    with np.errstate(over="ignore"):
        size = np.abs(a)
        difference = np.abs(a - b)
    largest = float(difference.max())
    if largest == 0:
        return OutputComparison(name=name, equal=True, max_absolute=0.0, max_relative=0.0, tolerance=tolerance)
    relative = float(np.max(np.maximum(difference - slack, 0) / (size + _typical(size))))
    return OutputComparison(
        name=name,
        equal=relative <= tolerance,
        max_absolute=largest,
        max_relative=relative,
        tolerance=tolerance,
        message=""
        if relative <= tolerance
        else f"off by up to {relative:.3g}, more than the tolerance {tolerance:.3g}",
    )


def _typical(size: Array) -> float:
    """What counts as the usual magnitude of the output, never 0."""
    nonzero = size[size > 0]
    if not nonzero.size:
        return float(np.finfo(size.dtype).tiny)
    return float(min(nonzero.max(), TYPICAL_FACTOR * np.median(nonzero)))
