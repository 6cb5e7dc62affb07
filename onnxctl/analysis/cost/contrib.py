"""The fused and quantized operators of com.microsoft, attention apart.

Source: onnxruntime's ContribOperators.md. A fused operator costs what its parts cost one by one; a quantized one also
dequantizes what it reads and quantizes what it writes.
"""

from __future__ import annotations

import math
from dataclasses import replace

from onnxctl.analysis.cost.attention import SOFTMAX_OPERATIONS
from onnxctl.analysis.cost.elementwise import ELEMENTWISE, OPERATIONS_PER_ELEMENT, TANH_GELU, per_element
from onnxctl.analysis.cost.products import PRODUCTS
from onnxctl.analysis.cost.reductions import REDUCTIONS
from onnxctl.analysis.cost.work import Formula, Operation, UnknownShapeError, Work, product

_QUANTIZE = OPERATIONS_PER_ELEMENT["QuantizeLinear"]
_DEQUANTIZE = OPERATIONS_PER_ELEMENT["DequantizeLinear"]
_SIGMOID = OPERATIONS_PER_ELEMENT["Sigmoid"]
_SWISH = OPERATIONS_PER_ELEMENT["Swish"]
_SILU = _SWISH - 1  # Swish with alpha 1
_SWIGLU = _SWISH + 2  # of the gate, times the other half shifted; the clamps of a limit aside
_GELU = OPERATIONS_PER_ELEMENT["Gelu"]
_LAYER_NORMALIZATION = 7
_RMS_NORMALIZATION = 4


# ---------------------------------------------------------------- matrix products


_ACTIVATIONS = {name.lower(): figure for name, figure in OPERATIONS_PER_ELEMENT.items()} | {
    **dict.fromkeys(("", "none", "identity"), 0),
    "relu2": 2,  # the square of Relu
    "silu": _SILU,
}


def _activation(operation: Operation, name: str) -> int:
    """Operations an element of a fused activation, named in any case."""
    if name.lower() not in _ACTIVATIONS:
        raise ValueError(f"{operation.op_type} has no activation {name}")
    return _ACTIVATIONS[name.lower()]


def _activated(formula: Formula) -> Formula:
    """The formula, and the activation that is fused into it, if any."""

    def activated(operation: Operation) -> Work:
        work, figure = formula(operation), _activation(operation, operation.text("activation"))
        return replace(work, others=work.others + figure * operation.output_elements()) if figure else work

    return activated


def _fused_matmul(operation: Operation) -> Work:
    """FusedMatMul: MatMul with either operand transposed first, times alpha where that is not 1.

    transBatchA moves the first axis before the last, and transA then swaps the last two.
    """
    shape, elements = operation.input_shape(0), operation.output_elements()
    if not operation.integer("transA", 0) or len(shape) == 1:
        depth = shape[-1]
    else:
        depth = shape[0] if operation.integer("transBatchA", 0) else shape[-2]
    return Work(macs=elements * depth, others=elements if operation.real("alpha", 1.0) != 1.0 else 0)


def _quantized_gemm(operation: Operation) -> Work:
    """QGemm: Gemm on quantized operands, and each output element is scaled, rounded and clamped."""
    shape, elements = operation.input_shape(0), operation.output_elements()
    depth = shape[0] if operation.integer("transA", 0) else shape[1]
    return Work(macs=elements * depth, others=5 * elements)


def _gemm_of_float8(operation: Operation) -> Work:
    """GemmFloat8: Gemm, the result scaled by alpha and the operands' scales, which are one factor."""
    shape, elements = operation.input_shape(0), operation.output_elements()
    depth = shape[0] if operation.integer("transA", 0) else shape[1]
    return Work(macs=elements * depth, others=(2 if operation.has(2) else 1) * elements)


def _matmul_to_float(operation: Operation) -> Work:
    """MatMulIntegerToFloat: MatMulInteger, the sums scaled once, and a bias."""
    elements = operation.output_elements()
    return Work(elements * operation.input_shape(0)[-1], (2 if operation.has(6) else 1) * elements)


def _dynamic_quantize_matmul(operation: Operation) -> Work:
    """DynamicQuantizeMatMul: DynamicQuantizeLinear of A, MatMulInteger, the sums scaled once, and a bias."""
    elements, given = operation.output_elements(), operation.input_elements()
    others = (2 if operation.has(4) else 1) * elements + (2 + _QUANTIZE) * given
    return Work(elements * operation.input_shape(0)[-1], others)


def _ordered_matmul(operation: Operation) -> Work:
    """QOrderedMatMul: A * B, scaled anew, with a bias and another matrix added."""
    elements = operation.output_elements()
    added = int(operation.has(5)) + (2 if operation.has(6) else 0)
    return Work(elements * operation.input_shape(0)[-1], (_QUANTIZE + added) * elements)


def _packed_matmul(per_weight: int, bias: int | None = None) -> Formula:
    """MatMulNBits, MatMulBnb4: A of [..., K] by N columns of K packed weights, each scaled (and shifted) first."""

    def formula(operation: Operation) -> Work:
        depth, columns = operation.integer("K", 0), operation.integer("N", 0)
        elements = operation.output_elements()
        biased = elements if bias is not None and operation.has(bias) else 0
        return Work(macs=elements * depth, others=per_weight * depth * columns + biased)

    return formula


def _packed_matmul_of_shape(operation: Operation) -> Work:
    """MatMulFpQ4: the same with the weights' shape as an input; one of its three layouts has an offset."""
    shape = operation.constant(2)
    if shape is None or len(shape) != 2:
        raise UnknownShapeError
    figure = 2 if operation.integer("blk_quant_type", 1) == 1 else 1
    return Work(macs=operation.output_elements() * shape[0], others=figure * shape[0] * shape[1])


def _packed_projections(operation: Operation) -> Work:
    """MatMulNBitsQkv: RMSNormalization (of a sum, where there is a skip), and three MatMulNBits with biases."""
    given, depth = operation.input_elements(), operation.integer("K", 0)
    columns = operation.integer("Nq", 0) + 2 * operation.integer("Nkv", 0)
    rows = product(operation.input_shape(0)[:-1])
    normalized = (_RMS_NORMALIZATION + int(operation.has(1))) * given
    biased = operation.integer("Nq", 0) * int(operation.has(5))
    biased += operation.integer("Nkv", 0) * (int(operation.has(8)) + int(operation.has(11)))
    return Work(macs=rows * depth * columns, others=2 * depth * columns + normalized + rows * biased)


def _packed_gate(operation: Operation) -> Work:
    """MatMulNBitsMlp: the same normalization where asked for, two MatMulNBits, activation(gate) * up."""
    given, depth, columns = operation.input_elements(), operation.integer("K", 0), operation.integer("N", 0)
    rows = product(operation.input_shape(0)[:-1])
    normalized = (_RMS_NORMALIZATION if operation.has(2) else 0) + int(operation.has(1))
    figure = _activation(operation, operation.text("activation")) + 1 + int(operation.has(5)) + int(operation.has(8))
    return Work(
        macs=2 * rows * depth * columns,
        others=4 * depth * columns + normalized * given + figure * rows * columns,
    )


def _experts(operation: Operation) -> Work:
    """MoE, QMoE: a softmax routes each token to k experts: fc1 (fc3 its gate), an activation, fc2, a weighted sum.

    Weights are [experts, outputs, inputs], those of QMoE packed into bytes. Unpacking them is not counted: which
    experts are chosen depends on the values.
    """
    *rows, hidden = operation.input_shape(0)
    tokens, quantized = product(rows), operation.op_type == "QMoE"
    stride, k = 3 if quantized else 2, operation.integer("k", 1)
    weights, biased = [], []
    for layer in range(3):
        at = 2 + stride * layer
        shape = operation.input_shape(at) if layer < 2 or operation.has(at) else (0, 0)
        stored = product(shape[1:])
        weights.append(stored * 8 // _bits(operation, layer + 1) if quantized else stored)
        biased.append(int(operation.has(at + stride - 1)))
    inner = weights[1] // hidden
    added = biased[0] * (weights[0] // hidden) + biased[1] * hidden + biased[2] * inner
    gated = {"swiglu": _SWIGLU, "geglu": TANH_GELU + 1}
    name = operation.text("activation_type", "relu")
    gate = 1 if operation.has(2 + 2 * stride) else 0
    figure = gated[name] if name in gated else _activation(operation, name) + gate
    routing = SOFTMAX_OPERATIONS * tokens * operation.input_shape(1)[-1]
    return Work(
        macs=tokens * k * (weights[0] + weights[1] + weights[2] + hidden),
        others=routing + tokens * k * (figure * inner + added),
    )


def _bits(operation: Operation, layer: int) -> int:
    """Bits of a weight of QMoE's layer fc1, fc2 or fc3."""
    if operation.text("quant_type", "int") == "fp8":
        return 8
    return operation.integer(f"fc{layer}_expert_weight_bits", operation.integer("expert_weight_bits", 4))


# ---------------------------------------------------------------- convolutions and recurrent networks


def _fused_convolution(operation: Operation) -> Work:
    """FusedConv: Conv, and another tensor added."""
    work = PRODUCTS["Conv"](operation)
    return replace(work, others=work.others + operation.output_elements()) if operation.has(3) else work


def _padded_conv_transpose(operation: Operation) -> Work:
    """ConvTransposeWithDynamicPads: ConvTranspose with its pads before its bias."""
    window = product(operation.input_shape(1)[1:])
    biased = operation.output_elements() if operation.has(3) else 0
    return Work(macs=operation.input_elements() * window, others=biased)


def _quantized_lstm(operation: Operation) -> Work:
    """DynamicQuantizeLSTM: LSTM with weights [directions, input, 4 * hidden].

    Input and hidden state are quantized for each step and direction, and both sums of the gates scaled.
    """
    sequence, batch, width = operation.input_shape(0)
    directions, hidden, gates = operation.input_shape(2)
    steps = sequence * batch * directions
    cell = 26 * hidden  # as LSTM's
    others = steps * (cell + 2 * gates + (2 + _QUANTIZE) * (width + hidden))
    return Work(macs=steps * gates * (width + hidden), others=others)


# ---------------------------------------------------------------- normalization


def _skip_normalization(per_element_figure: int) -> Formula:
    """A skip connection (and bias) added, then a normalization of so many operations an element."""

    def formula(operation: Operation) -> Work:
        bias = 4 if operation.op_type == "SkipLayerNormalization" else 3
        added = 1 + int(operation.has(bias))
        return Work(others=(per_element_figure + added) * operation.output_elements())

    return formula


def _group_normalization(operation: Operation) -> Work:
    """GroupNorm: GroupNormalization, and SiLU where asked for. SkipGroupNorm adds skip and bias first."""
    added = int(operation.has(3)) + int(operation.has(4))
    activation = _SILU if operation.integer("activation", 0) else 0
    return Work(others=(_LAYER_NORMALIZATION + added + activation) * operation.output_elements())


def _embedding(operation: Operation) -> Work:
    """EmbedLayerNormalization: two or three embeddings (quantized ones dequantized) added and normalized."""
    embeddings = 3 if operation.has(4) else 2
    quantized = _DEQUANTIZE * embeddings if operation.op_type == "QEmbedLayerNormalization" else 0
    return Work(others=(embeddings - 1 + quantized + _LAYER_NORMALIZATION) * operation.output_elements())


# ---------------------------------------------------------------- reductions


def _quantized_pool(operation: Operation) -> Work:
    """QLinearAveragePool: AveragePool, each result scaled anew."""
    return Work(others=REDUCTIONS["AveragePool"](operation).others + _QUANTIZE * operation.output_elements())


def _quantized_mean(operation: Operation) -> Work:
    """The mean of a quantized tensor: each element is added once, each result is scaled anew."""
    return Work(others=operation.input_elements() + _QUANTIZE * operation.output_elements())


def _distances(operation: Operation) -> Work:
    """CDist: differences of each row of A and of B, squared and added up, and a root where it is Euclidean."""
    first, second = operation.input_shape(0), operation.input_shape(1)
    pairs = first[0] * second[0]
    euclidean = operation.text("metric", "sqeuclidean") == "euclidean"
    return Work(macs=pairs * first[1], others=pairs * first[1] + (pairs if euclidean else 0))


def _inverse(operation: Operation) -> Work:
    """Inverse by elimination: 2 n^3 operations a matrix."""
    shape = operation.input_shape(0)
    return Work(others=product(shape[:-2]) * 2 * shape[-1] * shape[-1] * shape[-1])


def _real_fourier(operation: Operation) -> Work:
    """Rfft, Irfft: half of DFT's 5 n log2 n for each signal of n real numbers, the last axis of the longer side."""
    shape = operation.input_shape(0)
    backward = operation.op_type == "Irfft"
    length = operation.output_shape()[-1] if backward else shape[-1]
    if operation.integer("signal_ndim", 1) != 1 or not isinstance(length, int) or length < 1:
        raise UnknownShapeError
    signals = product(shape[:-2] if backward else shape[:-1])
    return Work(others=signals * round(2.5 * length * math.log2(length)))


# ---------------------------------------------------------------- element by element


def _bias_dropout(operation: Operation) -> Work:
    """BiasDropout as at inference: a bias and, where there is one, a residual are added."""
    return Work(others=(1 + int(operation.has(2))) * operation.output_elements())


def _fast_gelu(operation: Operation) -> Work:
    """FastGelu: Gelu by tanh, of a sum where there is a bias."""
    return Work(others=(TANH_GELU + int(operation.has(1))) * operation.output_elements())


def _gemm_fast_gelu(operation: Operation) -> Work:
    """GemmFastGelu: MatMul, a bias where there is one, Gelu by tanh."""
    figure = TANH_GELU + int(operation.has(2))
    return Work(PRODUCTS["MatMul"](operation).macs, figure * operation.output_elements())


CONTRIB: dict[str, Formula] = {
    # matrix products
    "FusedMatMul": _fused_matmul,
    "TransposeMatMul": _fused_matmul,
    "FusedMatMulActivation": _activated(_fused_matmul),
    "FusedGemm": _activated(PRODUCTS["Gemm"]),
    "GemmFastGelu": _gemm_fast_gelu,
    "GemmFloat8": _activated(_gemm_of_float8),
    "QGemm": _quantized_gemm,
    "MatMulInteger16": PRODUCTS["MatMulInteger"],
    "MatMulIntegerToFloat": _matmul_to_float,
    "DynamicQuantizeMatMul": _dynamic_quantize_matmul,
    "QOrderedMatMul": _ordered_matmul,
    "MatMulNBits": _packed_matmul(2, bias=5),
    "MatMulBnb4": _packed_matmul(1),  # a look-up, which moves data, and a scale
    "MatMulFpQ4": _packed_matmul_of_shape,
    "MatMulNBitsQkv": _packed_projections,
    "MatMulNBitsMlp": _packed_gate,
    "MoE": _experts,
    "QMoE": _experts,
    # convolutions and recurrent networks
    "FusedConv": _activated(_fused_convolution),
    "NhwcFusedConv": _activated(_fused_convolution),
    "NhwcConv": PRODUCTS["Conv"],
    "QLinearConv": PRODUCTS["QLinearConv"],
    "ConvTransposeWithDynamicPads": _padded_conv_transpose,
    "CausalConvWithState": _activated(PRODUCTS["CausalConvWithState"]),
    "DynamicQuantizeLSTM": _quantized_lstm,
    # normalization
    "SkipLayerNormalization": _skip_normalization(_LAYER_NORMALIZATION),
    "SkipSimplifiedLayerNormalization": _skip_normalization(_RMS_NORMALIZATION),
    "EmbedLayerNormalization": _embedding,
    "QEmbedLayerNormalization": _embedding,
    "GroupNorm": _group_normalization,
    "SkipGroupNorm": _group_normalization,
    "QOrderedLayerNormalization": per_element(_DEQUANTIZE + _LAYER_NORMALIZATION + _QUANTIZE),
    # reductions
    "BiasSoftmax": per_element(SOFTMAX_OPERATIONS + 1),
    "QLinearSoftmax": per_element(_DEQUANTIZE + SOFTMAX_OPERATIONS + _QUANTIZE),
    "QLinearAveragePool": _quantized_pool,
    "QLinearGlobalAveragePool": _quantized_mean,
    "QLinearReduceMean": _quantized_mean,
    "NhwcMaxPool": REDUCTIONS["MaxPool"],
    "ReduceSumInteger": lambda operation: Work(others=operation.input_elements()),
    "IsAllFinite": lambda operation: Work(others=sum(map(operation.input_elements, range(len(operation.node.input))))),
    "CDist": _distances,
    "Inverse": _inverse,
    "Rfft": _real_fourier,
    "Irfft": _real_fourier,
    "GridSample": REDUCTIONS["GridSample"],
    "Range": REDUCTIONS["Range"],
    # element by element
    "Gelu": per_element(_GELU),
    "FastGelu": _fast_gelu,
    "QuickGelu": per_element(_SWISH),  # x * sigmoid(alpha * x)
    "ScaledSiLU": per_element(_SWISH),
    "SwiGLU": per_element(_SWIGLU),
    "BiasGelu": per_element(_GELU + 1),
    "BiasAdd": per_element(2),  # bias and skip
    "BiasSplitGelu": per_element(2 + _GELU + 1),  # two biases, Gelu of one half, product
    "BiasDropout": _bias_dropout,
    "BitmaskBiasDropout": _bias_dropout,
    "ComplexMul": per_element(3),  # (a + bi) * (c + di): four products and two sums for two elements
    "ComplexMulConj": per_element(3),
    "MulInteger": per_element(3),  # two shifts and a product
    "RotaryEmbedding": ELEMENTWISE["RotaryEmbedding"],
    "QLinearAdd": per_element(2 * _DEQUANTIZE + 1 + _QUANTIZE),
    "QLinearMul": per_element(2 * _DEQUANTIZE + 1 + _QUANTIZE),
    "QLinearWhere": per_element(2 * _DEQUANTIZE + 1 + _QUANTIZE),
    "QLinearSigmoid": per_element(_DEQUANTIZE + _SIGMOID + _QUANTIZE),
    "QLinearLeakyRelu": per_element(_DEQUANTIZE + OPERATIONS_PER_ELEMENT["LeakyRelu"] + _QUANTIZE),
    "QOrderedGelu": per_element(_DEQUANTIZE + _GELU + _QUANTIZE),
    "QuantizeLinear": per_element(_QUANTIZE),
    "DequantizeLinear": per_element(_DEQUANTIZE),
    "QuantizeWithOrder": per_element(3),  # without a zero point: divide, round, clamp
    "DequantizeWithOrder": per_element(1),
}
