"""Normalizations, recurrent layers, losses, quantization, signals and text: one rule per operator of these kinds."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import TensorProto

from onnxctl.model.dimensions import Dimension
from onnxctl.model.propagation.arithmetic import as_dimension
from onnxctl.model.propagation.call import Call, ShapeFunction, normalized_axis, same_as
from onnxctl.model.propagation.facts import Fact, Shape, tensor
from onnxctl.model.propagation.shaping import made_shape

# ---------------------------------------------------------------- normalization


def _batch_normalization(call: Call) -> list[Fact]:
    result, statistics = tensor(call.dtype(0), call.shape(0)), tensor(call.dtype(3) or call.dtype(0), call.shape(3))
    return [result, *[statistics] * 4]


def _layer_normalization(call: Call) -> list[Fact]:
    shape = call.shape(0)
    stash = call.integer("stash_type", TensorProto.FLOAT)
    statistics: Shape | None = None
    if shape is not None:
        axis = normalized_axis(call.integer("axis", -1), len(shape))
        statistics = (*shape[:axis], *(1 for _ in shape[axis:]))
    return [tensor(call.dtype(0), shape), *[tensor(stash, statistics)] * 2]


# ---------------------------------------------------------------- recurrence


def _recurrent(call: Call) -> list[Fact]:
    """RNN, GRU and LSTM: Y [seq, directions, batch, hidden], Y_h and Y_c [directions, batch, hidden]."""
    data, recurrence, dtype = call.shape(0), call.shape(2), call.dtype(0)
    directions = 2 if call.text("direction", "forward") == "bidirectional" else 1
    hidden: Dimension | None = call.integer("hidden_size", 0) or None
    if hidden is None:
        hidden = recurrence[2] if recurrence is not None and len(recurrence) == 3 else call.fresh(3)
    batch_first = bool(call.integer("layout", 0))
    if data is None or len(data) != 3:
        length, batch = call.fresh(0), call.fresh(2)
    else:
        length, batch = (data[1], data[0]) if batch_first else (data[0], data[1])
    if batch_first:
        every: Shape = (batch, length, directions, hidden)
        final: Shape = (batch, directions, hidden)
    else:
        every, final = (length, directions, batch, hidden), (directions, batch, hidden)
    return [tensor(dtype, every), tensor(dtype, final), tensor(dtype, final)]


# ---------------------------------------------------------------- losses


def _negative_log_likelihood(call: Call) -> Fact:
    unreduced = call.text("reduction", "mean") == "none"
    return tensor(call.dtype(0), call.shape(1) if unreduced else ())


def _cross_entropy(call: Call) -> list[Fact]:
    return [_negative_log_likelihood(call), tensor(call.dtype(0), call.shape(0))]


# ---------------------------------------------------------------- quantization


def _quantize(call: Call) -> Fact:
    given = call.integer("output_dtype", 0) or (call.dtype(2) if call.has(2) else TensorProto.UINT8)
    return tensor(given, call.shape(0))


def _dequantize(call: Call) -> Fact:
    return tensor(call.integer("output_dtype", 0) or call.dtype(1), call.shape(0))


def _dynamic_quantize(call: Call) -> list[Fact]:
    return [tensor(TensorProto.UINT8, call.shape(0)), tensor(TensorProto.FLOAT, ()), tensor(TensorProto.UINT8, ())]


# ---------------------------------------------------------------- signals


def _fourier(call: Call) -> Fact:
    shape = call.shape(0)
    if shape is None:
        return tensor(call.dtype(0))
    sizes = list(shape)
    sizes[-1] = 2
    axis: int | None
    if call.opset < 20:
        axis = call.integer("axis", 1)
    elif call.has(2):
        known = call.constant(2)
        axis = known[0] if known else None
    else:
        axis = -2
    onesided, inverse = call.integer("onesided", 0), call.integer("inverse", 0)
    if onesided and inverse:
        sizes[-1] = 1
    if axis is None:
        return tensor(call.dtype(0), [*(call.fresh(index) for index in range(len(shape) - 1)), sizes[-1]])
    axis = normalized_axis(axis, len(shape))
    length: Dimension | None = sizes[axis]
    if call.has(1):
        values = call.values(1)
        length = as_dimension(values[0]) if values else None
    if length is not None and onesided and not inverse:
        length = length // 2 + 1
    elif length is not None and onesided and not call.has(1):
        length = (length - 1) * 2
    sizes[axis] = call.fresh(axis) if length is None else length
    return tensor(call.dtype(0), sizes)


def _short_time_fourier(call: Call) -> Fact:
    shape, step, dtype = call.shape(0), call.constant(1), call.dtype(0)
    window = call.shape(2) if call.has(2) else None
    length: Dimension | None = window[0] if window else None
    if call.has(3):
        values = call.values(3)
        length = as_dimension(values[0]) if values else None
    if shape is None or len(shape) < 2 or length is None or not step or step[0] < 1:
        return tensor(dtype, call.unknown_shape(4))
    frames = (shape[1] - length) // step[0] + 1
    bins = length // 2 + 1 if call.integer("onesided", 1) else length
    return tensor(dtype, (shape[0], frames, bins, 2))


def _mel_weights(call: Call) -> Fact:
    bins, length = call.values(0), call.values(1)
    mels = as_dimension(bins[0]) if bins else None
    spectrum = as_dimension(length[0]) if length else None
    rows = None if spectrum is None else spectrum // 2 + 1
    return tensor(call.integer("output_datatype", TensorProto.FLOAT), made_shape(call, [rows, mels]))


# ---------------------------------------------------------------- text, pictures, chance


def _string_concat(call: Call) -> Fact:
    return tensor(TensorProto.STRING, call.broadcast(call.shape(0), call.shape(1)))


def _string_split(call: Call) -> list[Fact]:
    shape = call.shape(0)
    pieces = None if shape is None else (*shape, call.fresh(len(shape)))
    return [tensor(TensorProto.STRING, pieces), tensor(TensorProto.INT64, shape)]


def _string_normalizer(call: Call) -> Fact:
    """Stop words make the last axis shorter, by an amount that depends on the text."""
    shape = call.shape(0)
    if shape is None or not call.has_attribute("stopwords"):
        return tensor(TensorProto.STRING, shape)
    return tensor(TensorProto.STRING, (*shape[:-1], call.fresh(len(shape) - 1)))


def _tfidf(call: Call) -> Fact:
    shape, indexes = call.shape(0), call.integers("ngram_indexes")
    if shape is None or not indexes:
        return tensor(TensorProto.FLOAT)
    return tensor(TensorProto.FLOAT, (*shape[:-1], max(indexes) + 1))


def _image_decoder(call: Call) -> Fact:
    channels = 1 if call.text("pixel_format", "RGB") == "Grayscale" else 3
    return tensor(TensorProto.UINT8, (call.fresh(0), call.fresh(1), channels))


def _multinomial(call: Call) -> Fact:
    shape = call.shape(0)
    batch = call.fresh(0) if not shape else shape[0]
    return tensor(call.integer("dtype", TensorProto.INT32), (batch, call.integer("sample_size", 1)))


# ---------------------------------------------------------------- training


def _gradient_step(call: Call) -> list[Fact]:
    """Adagrad, Adam, Momentum: R and T, then tensors, gradients and states; outputs leave the gradients out."""
    groups = {"Adagrad": 3, "Momentum": 3, "Adam": 4}[call.op_type]
    count = (len(call.inputs) - 2) // groups
    tensors = call.inputs[2:]
    kept = [*tensors[:count], *tensors[2 * count :]]
    return [tensor(each.dtype, each.shape) for each in kept]


OPERATORS: Mapping[str, ShapeFunction] = {
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "RMSNormalization": same_as(0),
    "RotaryEmbedding": same_as(0),
    "RNN": _recurrent,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "NegativeLogLikelihoodLoss": _negative_log_likelihood,
    "SoftmaxCrossEntropyLoss": _cross_entropy,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "DFT": _fourier,
    "STFT": _short_time_fourier,
    "MelWeightMatrix": _mel_weights,
    "StringConcat": _string_concat,
    "StringSplit": _string_split,
    "StringNormalizer": _string_normalizer,
    "TfIdfVectorizer": _tfidf,
    "ImageDecoder": _image_decoder,
    "Multinomial": _multinomial,
}

TRAINING_OPERATORS: Mapping[str, ShapeFunction] = dict.fromkeys(("Adagrad", "Adam", "Momentum"), _gradient_step)
