"""Which values an operator takes as its input: rows of the table it indexes, a length within its axis, words it knows.

A rule gets one use of a model input and says what domain that leaves it; RULES has one for every operator and input
number that narrows what it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from onnxctl.model.nodes import attribute
from onnxctl.runtime.sizes import settled
from onnxctl.runtime.trace import Use

Kind = Literal["integers", "uniform", "normal", "constant", "listed", "choice", "ascending", "coin"]

LARGE_INDEX = 2**31 - 1
"""As the end of a Slice: to the end of the axis, whatever its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The values one input may hold, and in words where they come from.

    "integers" and "uniform" lie in [low, high], "constant" is low, "listed" are exactly these values in order, "choice"
    picks from them, "ascending" counts from low along the last axis (all axes for scatter targets, which must differ).
    """

    kind: Kind
    words: str
    low: float = 0.0
    high: float = 0.0
    listed: tuple[object, ...] = ()


Rule = Callable[[Use], Domain | None]


# ---------------------------------------------------------------- domains


def _table(use: Use, index: int) -> str:
    value = use.input(index)
    return f"{use.node.op_type} of {value.name!r}" if value is not None else use.node.op_type


def _exactly(words: str, *values: object) -> Domain:
    return Domain(kind="listed", listed=values, words=words)


def _integers(low: int, high: int, words: str) -> Domain:
    return Domain(kind="integers", low=low, high=high, words=words)


def _uniform(low: float, high: float, words: str) -> Domain:
    return Domain(kind="uniform", low=low, high=high, words=words)


# ---------------------------------------------------------------- rules: indices


def _rows(table: int, axis: int | str = 0, default_axis: int = 0) -> Rule:
    """Indices into an axis of another input; axis is a number or the name of the attribute that says which."""

    def rule(use: Use) -> Domain:
        at = axis if isinstance(axis, int) else attribute(use.node, axis, default_axis)
        size = use.size(table, at)
        if not size:
            return _integers(0, 0, f"0 (index for {_table(use, table)}, whose size is not known)")
        return _integers(0, size - 1, f"integers 0..{size - 1} (index for {_table(use, table)})")

    return rule


def _scatter(use: Use) -> Domain | None:
    size = use.size(0, attribute(use.node, "axis", 0))
    if not size:
        return _integers(0, 0, f"0 (index for {_table(use, 0)}, whose size is not known)")
    words = f"0..{size - 1} in turn (targets of {_table(use, 0)}, which must differ)"
    return Domain(kind="ascending", low=0, high=size - 1, words=words)


def _rows_of_many(use: Use) -> Domain:
    """GatherND and ScatterND: the last axis of the indices walks the first axes of the data."""
    depth, shape = use.size(1, -1), use.shape(0)
    first = attribute(use.node, "batch_dims", 0)
    sizes = shape[first : first + depth] if shape is not None and depth is not None else ()
    bounds = [size for size in sizes if size is not None]
    if not bounds or len(bounds) != len(sizes):
        return _integers(0, 0, f"0 (index for {_table(use, 0)}, whose size is not known)")
    limit = max(min(bounds) - 1, 0)
    if use.node.op_type == "ScatterND" and depth == 1:
        words = f"0..{limit} in turn (targets of {_table(use, 0)}, which must differ)"
        return Domain(kind="ascending", low=0, high=limit, words=words)
    return _integers(0, limit, f"integers 0..{limit} (index for {_table(use, 0)})")


def _one_hot(use: Use) -> Domain | None:
    depth = constant_number(use, 1)
    return (
        None if depth is None or depth < 1 else _integers(0, int(depth) - 1, f"integers 0..{int(depth) - 1} (OneHot)")
    )


def constant_number(use: Use, index: int) -> float | None:
    """The first element of a constant input of numbers, None where it is no such thing."""
    value = use.input(index)
    array = value.constant() if value is not None else None
    return float(array.reshape(-1)[0]) if array is not None and array.size and array.dtype.kind in "iuf" else None


def _unpooled(use: Use) -> Domain:
    count = use.length
    return Domain(kind="ascending", low=0, high=max(count - 1, 0), words="positions that differ (MaxUnpool)")


def _within(data: int, axis: int) -> Rule:
    """A length that lies within an axis of another input."""

    def rule(use: Use) -> Domain:
        at = attribute(use.node, "time_axis", axis) if use.node.op_type == "ReverseSequence" else axis
        size = use.size(data, at) or 1
        return _integers(1, size, f"lengths 1..{size} (within {_table(use, data)})")

    return rule


# ---------------------------------------------------------------- rules: shapes, axes and counts


def _target(use: Use) -> Domain | None:
    """A target shape: the output's where the model states it, else one that always fits."""
    wanted, output, data = use.length, use.output, settled(use.shape(0))
    words = f"a shape for {use.node.op_type}"
    if output is not None and len(output) == wanted:
        return _exactly(words, *output)
    if use.node.op_type == "Reshape":
        if data is not None and len(data) == wanted:
            return _exactly(words, *data)
        return _exactly(words, *[1] * (wanted - 1), -1)
    if use.node.op_type == "ConstantOfShape":
        return _exactly(words, *[2] * wanted)
    if use.node.op_type == "Resize" and data is not None and len(data) == wanted:
        return _exactly(words, *data)
    return _exactly(words, *[1] * wanted)


def _factors(use: Use) -> Domain:
    """Scales of Resize, repeats of Tile: what leads to the output stated, else ones."""
    wanted, output, data = use.length, use.output, settled(use.shape(0))
    words = f"factors of {use.node.op_type}"
    if output is None or data is None or len(output) != len(data) or len(data) != wanted or 0 in data:
        return _exactly(words, *[1] * wanted)
    if use.node.op_type == "Tile":
        return _exactly(words, *[out // size for out, size in zip(output, data, strict=True)])
    return _exactly(words, *[out / size for out, size in zip(output, data, strict=True)])


def _repeated(value: float, words: str) -> Rule:
    return lambda use: _exactly(words, *[value] * use.length)


def _counting(words: str) -> Rule:
    return lambda use: _exactly(words, *range(use.length))


def _axes_of_ones(use: Use) -> Domain:
    shape, wanted = use.shape(0) or (), use.length
    ones = [axis for axis, dim in enumerate(shape) if dim == 1][:wanted]
    return _exactly("axes of size 1", *(ones if len(ones) == wanted else range(wanted)))


def _shares(use: Use) -> Domain | None:
    size, parts = use.size(0, attribute(use.node, "axis", 0)), use.length
    if size is None:
        return None
    share = size // parts
    return _exactly("parts of equal size", *[share] * (parts - 1), size - share * (parts - 1))


def _top_k(use: Use) -> Domain:
    axis = attribute(use.node, "axis", -1)
    output = use.output
    size = output[axis] if output else min(use.size(0, axis) or 1, 3)
    return _exactly("k of TopK", size)


def _range_limit(use: Use) -> Domain:
    output = use.output
    return _exactly("limit of Range", output[0] if output else 5)


def _whole_axis(use: Use) -> Domain | None:
    size = use.size(0, 1)
    return None if size is None else _exactly("length of the signal", size)


def _frame(share: int) -> Rule:
    def rule(use: Use) -> Domain:
        output, size = use.output, use.size(0, 1) or 16
        if output is not None and len(output) == 4:
            frames, bins = output[1], output[2]
            length = (bins - 1) * 2 if attribute(use.node, "onesided", 1) else bins
            step = max((size - length) // max(frames - 1, 1), 1)
            return _exactly("frames of STFT", step if share == 2 else length)
        return _exactly("frames of STFT", max(size // 2 // share, 1))

    return rule


def _image_of_columns(use: Use) -> Domain:
    output = use.output
    return _exactly("image shape of Col2Im", *(output[2:] if output else [4] * use.length))


def _block_of_columns(use: Use) -> Domain:
    """The block whose area and number of positions in the image fit the columns."""
    output, rows, columns, rank = use.output, use.size(0, 1), use.size(0, 2), use.length
    area = rows // output[1] if output and rows else 1
    steps, spread = (attribute(use.node, name) or [1] * rank for name in ("strides", "dilations"))
    pads = attribute(use.node, "pads") or [0] * (2 * rank)
    image = output[2:] if output else ()
    for block in _factorizations(area, rank) if image else ():
        room = [size + pads[at] + pads[at + rank] - spread[at] * (block[at] - 1) - 1 for at, size in enumerate(image)]
        if min(room) >= 0 and math.prod(each // step + 1 for each, step in zip(room, steps, strict=True)) == columns:
            return _exactly("block shape of Col2Im", *block)
    return _exactly("block shape of Col2Im", *[1] * (rank - 1), area)


def _factorizations(number: int, count: int) -> Iterator[tuple[int, ...]]:
    """Every way to write a number as a product of so many factors."""
    if count <= 1:
        yield (number,) * count
        return
    for factor in range(1, min(number, 64) + 1):
        if number % factor == 0:
            yield from ((factor, *rest) for rest in _factorizations(number // factor, count - 1))


def _grid_size(use: Use) -> Domain | None:
    output = use.output
    return None if output is None else _exactly("size of AffineGrid", output[0], 2, *output[1:-1])


def _total_length(less: int) -> Rule:
    """com.microsoft GroupQueryAttention: past and new positions together."""

    def rule(use: Use) -> Domain:
        total = (use.size(0, 1) or 1) + (use.size(3, 2) or 0)
        return Domain(kind="constant", low=total - less, high=total - less, words=f"{total - less} (total length)")

    return rule


# ---------------------------------------------------------------- rules: numbers and words


def _range(low: float, high: float, words: str) -> Rule:
    return lambda use: _uniform(low, high, words)


def _fixed(value: float, words: str) -> Rule:
    return lambda use: Domain(kind="constant", low=value, high=value, words=words)


def _known_words(*names: str) -> Rule:
    """The keys or categories that the operator's attributes list."""

    def rule(use: Use) -> Domain | None:
        known = [each for name in names for each in attribute(use.node, name) or ()]
        if not known:
            return None
        texts = tuple(each.decode(errors="replace") if isinstance(each, bytes) else each for each in known)
        return Domain(kind="choice", listed=texts, words=f"values that {use.node.op_type} knows")

    return rule


def _compared_words(use: Use) -> Domain | None:
    other = use.input(1 - use.index)
    array = other.constant() if other is not None else None
    if array is None or array.dtype != object:
        return None
    return Domain(kind="choice", listed=tuple(array.reshape(-1)), words="words the model compares with")


_POSITIVE = _range(0.1, 1.0, "uniform 0.1..1 (must be positive)")
_SCALE = _range(0.02, 0.05, "uniform 0.02..0.05 (a scale)")
_ZERO = _fixed(0, "zeros (a zero point)")
_DIVISOR = _range(1, 9, "1..9 (a divisor)")


RULES: Mapping[tuple[str, int], Rule] = {
    ("Gather", 1): _rows(0, "axis"),
    ("GatherElements", 1): _rows(0, "axis"),
    ("GatherND", 1): _rows_of_many,
    ("GatherBlockQuantized", 1): _rows(0, "gather_axis"),
    ("ScatterND", 1): _rows_of_many,
    ("ScatterElements", 1): _scatter,
    ("Scatter", 1): _scatter,
    ("OneHot", 0): _one_hot,
    ("OneHot", 1): _fixed(10, "10 (depth of OneHot)"),
    ("ArrayFeatureExtractor", 1): _rows(0, -1),
    ("EmbedLayerNormalization", 0): _rows(2),
    ("EmbedLayerNormalization", 1): _rows(4),
    ("EmbedLayerNormalization", 8): _rows(3),
    ("NegativeLogLikelihoodLoss", 1): _rows(0, 1),
    ("SoftmaxCrossEntropyLoss", 1): _rows(0, 1),
    ("RoiAlign", 2): _rows(0, 0),
    ("MaxUnpool", 1): _unpooled,
    ("SequenceAt", 1): _fixed(0, "0 (a position in a sequence)"),
    ("SequenceErase", 1): _fixed(0, "0 (a position in a sequence)"),
    ("SequenceInsert", 2): _fixed(0, "0 (a position in a sequence)"),
    ("TensorScatter", 2): _fixed(0, "0 (a position in a cache)"),
    ("ReverseSequence", 1): _within(0, 0),
    **dict.fromkeys([("LSTM", 4), ("GRU", 4), ("RNN", 4)], _within(0, 0)),
    ("Attention", 6): _within(1, -2),
    ("GroupQueryAttention", 5): _total_length(1),
    ("GroupQueryAttention", 6): _total_length(0),
    **dict.fromkeys([("Reshape", 1), ("Expand", 1), ("ConstantOfShape", 0), ("CenterCropPad", 1)], _target),
    **dict.fromkeys([("Resize", 3), ("MaxUnpool", 2)], _target),
    **dict.fromkeys([("Resize", 2), ("Upsample", 1), ("Tile", 1)], _factors),
    ("Resize", 1): lambda use: _exactly("the whole", *[0.0] * (use.length // 2), *[1.0] * (use.length // 2)),
    ("Slice", 1): _repeated(0, "starts of Slice"),
    ("Slice", 2): _repeated(LARGE_INDEX, "ends of Slice"),
    ("Slice", 3): _counting("axes of Slice"),
    ("Slice", 4): _repeated(1, "steps of Slice"),
    ("Pad", 1): _repeated(0, "padding"),
    ("Pad", 3): _counting("axes of Pad"),
    ("CenterCropPad", 2): _counting("axes of CenterCropPad"),
    ("Squeeze", 1): _axes_of_ones,
    ("Unsqueeze", 1): _counting("axes of Unsqueeze"),
    **{(f"Reduce{name}", 1): _counting(f"axes of Reduce{name}") for name in ("Sum", "Mean", "Max", "Min", "Prod")},
    **{(f"Reduce{name}", 1): _counting(f"axes of Reduce{name}") for name in ("L1", "L2", "SumSquare")},
    **{(f"Reduce{name}", 1): _counting(f"axes of Reduce{name}") for name in ("LogSum", "LogSumExp")},
    ("Split", 1): _shares,
    ("SplitToSequence", 1): lambda use: _shares(use) if use.shape(1) else _exactly("size of the parts", 1),
    ("CumSum", 1): _fixed(0, "0 (an axis)"),
    ("CumProd", 1): _fixed(0, "0 (an axis)"),
    ("Trilu", 1): _fixed(0, "0 (a diagonal)"),
    ("TopK", 1): _top_k,
    ("Range", 0): _fixed(0, "0 (start of Range)"),
    ("Range", 1): _range_limit,
    ("Range", 2): _fixed(1, "1 (step of Range)"),
    ("Loop", 0): _fixed(3, "3 (trip count of Loop)"),
    ("Loop", 1): _fixed(1, "true (condition of Loop)"),
    ("If", 0): lambda use: Domain(kind="coin", words="true or false by the seed (condition of If)"),
    ("Dropout", 1): _fixed(0.5, "0.5 (ratio of Dropout)"),
    ("Dropout", 2): _fixed(0, "false (Dropout does not train)"),
    ("NonMaxSuppression", 2): _fixed(3, "3 (boxes per class)"),
    ("NonMaxSuppression", 3): _fixed(0.5, "0.5 (overlap threshold)"),
    ("NonMaxSuppression", 4): _fixed(0, "0 (score threshold)"),
    ("DFT", 1): _whole_axis,
    ("DFT", 2): _fixed(1, "1 (an axis)"),
    ("STFT", 1): _frame(2),
    ("STFT", 3): _frame(1),
    ("MelWeightMatrix", 0): _fixed(8, "8 (mel bins)"),
    ("MelWeightMatrix", 1): _fixed(16, "16 (length of the transform)"),
    ("MelWeightMatrix", 2): _fixed(8192, "8192 (sample rate)"),
    ("MelWeightMatrix", 3): _fixed(0, "0 (lower edge)"),
    ("MelWeightMatrix", 4): _fixed(4096, "4096 (upper edge)"),
    **{(name, 0): _fixed(10, "10 (window size)") for name in ("HannWindow", "HammingWindow", "BlackmanWindow")},
    ("Col2Im", 1): _image_of_columns,
    ("Col2Im", 2): _block_of_columns,
    ("AffineGrid", 1): _grid_size,
    ("GridSample", 1): _range(-1, 1, "uniform -1..1 (a sampling grid)"),
    **dict.fromkeys([("Div", 1), ("Mod", 1)], _DIVISOR),
    ("Pow", 0): _range(0.5, 2, "uniform 0.5..2 (a base)"),
    ("Pow", 1): _range(0, 3, "0..3 (an exponent)"),
    ("BitShift", 1): lambda use: _integers(0, 7, "integers 0..7 (a shift)"),
    **dict.fromkeys([("Log", 0), ("Sqrt", 0), ("BatchNormalization", 4)], _POSITIVE),
    ("Bernoulli", 0): _range(0, 1, "uniform 0..1 (probabilities)"),
    ("Acosh", 0): _range(1, 3, "uniform 1..3 (domain of acosh)"),
    **{
        (name, 0): _range(-0.9, 0.9, "uniform -0.9..0.9 (domain of the function)") for name in ("Asin", "Acos", "Atanh")
    },
    **dict.fromkeys([("QuantizeLinear", 1), ("DequantizeLinear", 1)], _SCALE),
    **dict.fromkeys([("QuantizeLinear", 2), ("DequantizeLinear", 2), ("ConvInteger", 2), ("ConvInteger", 3)], _ZERO),
    **dict.fromkeys([("MatMulInteger", 2), ("MatMulInteger", 3)], _ZERO),
    **dict.fromkeys([("QLinearMatMul", 1), ("QLinearMatMul", 4), ("QLinearMatMul", 6)], _SCALE),
    **dict.fromkeys([("QLinearMatMul", 2), ("QLinearMatMul", 5), ("QLinearMatMul", 7)], _ZERO),
    **dict.fromkeys([("QLinearConv", 1), ("QLinearConv", 4), ("QLinearConv", 6)], _SCALE),
    **dict.fromkeys([("QLinearConv", 2), ("QLinearConv", 5), ("QLinearConv", 7)], _ZERO),
    ("LabelEncoder", 0): _known_words("keys_strings", "keys_int64s", "keys_floats", "classes_strings"),
    ("CategoryMapper", 0): _known_words("cats_strings"),
    ("OneHotEncoder", 0): _known_words("cats_strings", "cats_int64s"),
    ("DictVectorizer", 0): _known_words("string_vocabulary", "int64_vocabulary"),
    ("TfIdfVectorizer", 0): _known_words("pool_strings", "pool_int64s"),
    ("Equal", 0): _compared_words,
    ("Equal", 1): _compared_words,
}
