"""Operators whose work is multiply-accumulates: matrix products, convolutions, recurrent networks, attention.

A multiply-accumulate (MAC) is one product added to a running sum, which is how papers and datasheets count networks. A
bias that the operator adds is one other operation for each output element.
"""

from __future__ import annotations

import re

from onnxctl.analysis.cost.work import Formula, Operation, UnknownShapeError, Work, product
from onnxctl.model.dimensions import Dimension

SOFTMAX_OPERATIONS = 5
"""For each element: find the maximum, subtract it, exp, sum, divide."""


# ---------------------------------------------------------------- matrices


def _matmul(operation: Operation) -> Work:
    """MatMul: each output element is a dot product over the last axis of the first operand."""
    return Work(macs=operation.output_elements() * operation.input_shape(0)[-1])


def _quantized_matmul(operation: Operation) -> Work:
    """QLinearMatMul and its like: MatMul, and each output element is scaled, rounded and clamped."""
    elements = operation.output_elements()
    return Work(macs=elements * operation.input_shape(0)[-1], others=4 * elements)


def _fused_matmul(operation: Operation) -> Work:
    """FusedMatMul: MatMul with either operand transposed first, times alpha."""
    shape = operation.input_shape(0)
    depth = shape[-2] if operation.integer("transA", 0) and len(shape) > 1 else shape[-1]
    return Work(macs=operation.output_elements() * depth, others=operation.output_elements())


def _gemm(operation: Operation) -> Work:
    """Gemm: alpha * A' * B' + beta * C; products with alpha and beta count only where these are not 1."""
    shape = operation.input_shape(0)
    depth = shape[0] if operation.integer("transA", 0) else shape[1]
    elements = operation.output_elements()
    scaled = [name for name in ("alpha", "beta") if operation.real(name, 1.0) != 1.0]
    return Work(macs=elements * depth, others=(len(scaled) + (1 if operation.has(2) else 0)) * elements)


def _quantized_gemm(operation: Operation) -> Work:
    """QGemm: Gemm on quantized operands, and each output element is scaled, rounded and clamped."""
    shape, elements = operation.input_shape(0), operation.output_elements()
    depth = shape[0] if operation.integer("transA", 0) else shape[1]
    return Work(macs=elements * depth, others=5 * elements)


def _matmul_n_bits(operation: Operation) -> Work:
    """MatMulNBits: A of [..., K] by N columns of K packed weights, each of which is scaled (and shifted) first."""
    depth, columns = operation.integer("K", 0), operation.integer("N", 0)
    return Work(macs=operation.output_elements() * depth, others=2 * depth * columns)


def _einsum(operation: Operation) -> Work:
    """Einsum as one loop over all its labels: each step multiplies the operands and adds the product up.

    Cheaper orders exist for three operands and more; this counts the plain definition.
    """
    equation = operation.text("equation").replace(" ", "")
    sizes: dict[str, Dimension] = {}
    terms = equation.split("->")[0].split(",")
    batch: Dimension = 1
    for index, term in enumerate(terms):
        shape = operation.input_shape(index)
        labels = re.findall(r"\.\.\.|[A-Za-z]", term)
        hidden = len(shape) - (len(labels) - 1 if "..." in labels else len(labels))
        at = 0
        for label in labels:
            if label == "...":
                batch = _larger(batch, product(shape[at : at + hidden]))
                at += hidden
            else:
                sizes[label] = _larger(sizes.get(label, 1), shape[at])
                at += 1
    steps = batch * product(list(sizes.values()))
    if len(terms) == 1:
        return Work(others=steps)
    return Work(macs=steps, others=(len(terms) - 2) * steps)


def _larger(first: Dimension, second: Dimension) -> Dimension:
    """Of two sizes that broadcast, the one that is not 1."""
    return second if first == 1 else first


# ---------------------------------------------------------------- convolutions


def _convolution(operation: Operation) -> Work:
    """Conv with weight [M, C/group, kernel...]: C/group * kernel MACs for each output element."""
    elements, window = operation.output_elements(), product(operation.input_shape(1)[1:])
    biased = operation.has(2) and operation.op_type != "ConvInteger"
    return Work(macs=elements * window, others=elements if biased else 0)


def _quantized_convolution(operation: Operation) -> Work:
    """QLinearConv: Conv, and each output element is scaled, rounded and clamped."""
    elements = operation.output_elements()
    window = product(operation.input_shape(3)[1:])
    return Work(macs=elements * window, others=(5 if operation.has(8) else 4) * elements)


def _conv_transpose(operation: Operation) -> Work:
    """ConvTranspose with weight [C, M/group, kernel...]: each input element is spread over M/group * kernel outputs."""
    window = product(operation.input_shape(1)[1:])
    biased = operation.output_elements() if operation.has(2) else 0
    return Work(macs=operation.input_elements() * window, others=biased)


def _deformable_convolution(operation: Operation) -> Work:
    """DeformConv: Conv, and each sample of the window is interpolated from four (2^n) neighbours."""
    output, weight = operation.output_shape(), operation.input_shape(1)
    elements, window = product(output), product(weight[1:])
    spatial = output[:1] + output[2:]
    samples = product(spatial) * operation.input_shape(0)[1] * product(weight[2:])
    corners = 2 ** (len(output) - 2)
    return Work(macs=elements * window + corners * samples, others=elements if operation.has(3) else 0)


def _causal_convolution(operation: Operation) -> Work:
    """CausalConvWithState: a depthwise convolution along the sequence."""
    elements = operation.output_elements()
    return Work(macs=elements * product(operation.input_shape(1)[1:]), others=elements if operation.has(2) else 0)


# ---------------------------------------------------------------- recurrent networks

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_CELL_OPERATIONS = {
    "LSTM": 26,  # 8 bias additions, 3 sigmoids of 4, 2 tanh, 3 products and a sum
    "GRU": 20,  # 6 bias additions, 2 sigmoids of 4, 1 tanh, 1 - z, 3 products and a sum
    "RNN": 3,  # 2 bias additions, 1 tanh
}


def _recurrent(operation: Operation) -> Work:
    """LSTM, GRU, RNN: for each step, direction and gate, input and hidden state by their weights; then the cell."""
    kind = operation.op_type
    shape = operation.input_shape(0)  # [sequence, batch, input], or batch first: the product is the same
    directions, _, width = operation.input_shape(1)
    hidden = operation.input_shape(2)[-1]
    steps = shape[0] * shape[1] * directions
    macs = steps * _GATES[kind] * hidden * (width + hidden)
    return Work(macs=macs, others=steps * hidden * _CELL_OPERATIONS[kind])


# ---------------------------------------------------------------- attention


def attention_work(queries: Dimension, keys: Dimension, key_width: Dimension, value_width: Dimension) -> Work:
    """Scaled dot-product attention: `queries` rows (over batch and heads) against `keys` positions each.

    Q * K' takes key_width MACs a score, the mix of the values value_width; a score is scaled and goes through a
    softmax.
    """
    scores = queries * keys
    return Work(macs=scores * (key_width + value_width), others=(1 + SOFTMAX_OPERATIONS) * scores)


def _attention(operation: Operation) -> Work:
    """Attention (opset 23): Q, K, V of [batch, heads, sequence, width], or [batch, sequence, heads * width]."""
    query, key, value = (operation.input_shape(index) for index in range(3))
    if len(query) == 4:
        rows, positions, key_width, value_width = product(query[:3]), key[2], query[3], value[3]
    else:
        heads, key_heads = operation.integer("q_num_heads", 0), operation.integer("kv_num_heads", 0)
        if not heads or not key_heads:
            raise UnknownShapeError
        rows, positions = query[0] * heads * query[1], key[1]
        key_width, value_width = query[2] // heads, value[2] // key_heads
    if operation.has(4):
        positions = positions + operation.input_shape(4)[2]  # past keys
    return attention_work(rows, positions, key_width, value_width)


def _multi_head_attention(operation: Operation) -> Work:
    """MultiHeadAttention: query [batch, sequence, width] with key and value beside it; packed forms are not counted."""
    query, key, value = (operation.input_shape(index) for index in range(3))
    heads = operation.integer("num_heads", 0)
    if len(query) != 3 or not heads:
        raise UnknownShapeError
    positions = key[1] if len(key) == 3 else key[2]
    value_width = value[2] // heads if len(value) == 3 else value[3]
    return attention_work(query[0] * heads * query[1], positions, query[2] // heads, value_width)


def _group_query_attention(operation: Operation) -> Work:
    """GroupQueryAttention: queries against the present keys, output 1 of [batch, kv heads, positions, width]."""
    output, present = operation.output_shape(0), operation.output_shape(1)
    heads = operation.integer("num_heads", 0)
    if not heads:
        raise UnknownShapeError
    width = output[2] // heads
    return attention_work(output[0] * heads * output[1], present[2], width, width)


def _packed_attention(operation: Operation) -> Work:
    """com.microsoft Attention: input [batch, sequence, width] by weights [width, 3 * hidden], then attention."""
    batch, sequence, width = operation.input_shape(0)
    columns = operation.input_shape(1)[1]
    heads = operation.integer("num_heads", 0)
    if not heads:
        raise UnknownShapeError
    hidden = operation.output_shape()[2]
    inner = attention_work(batch * heads * sequence, sequence, hidden // heads, hidden // heads)
    projection = batch * sequence * columns
    return Work(macs=projection * width + inner.macs, others=projection + inner.others)


def _linear_attention(operation: Operation) -> Work:
    """LinearAttention: at each position and head a rank-one update of the [key, value] width state, and a read."""
    query, value = operation.input_shape(0), operation.input_shape(2)
    heads = operation.integer("q_num_heads", 0)
    if not heads or len(query) != 3:
        raise UnknownShapeError
    state = (query[2] // heads) * (value[2] // heads)
    return Work(macs=2 * query[0] * query[1] * heads * state)


PRODUCTS: dict[str, Formula] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _quantized_matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Conv": _convolution,
    "ConvInteger": _convolution,
    "QLinearConv": _quantized_convolution,
    "ConvTranspose": _conv_transpose,
    "DeformConv": _deformable_convolution,
    "CausalConvWithState": _causal_convolution,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "Attention": _attention,
    "LinearAttention": _linear_attention,
}

CONTRIB_PRODUCTS: dict[str, Formula] = {
    "FusedConv": _convolution,
    "NhwcFusedConv": _convolution,
    "FusedMatMul": _fused_matmul,
    "TransposeMatMul": _fused_matmul,
    "FusedGemm": _gemm,
    "MatMulNBits": _matmul_n_bits,
    "MatMulIntegerToFloat": _quantized_matmul,
    "DynamicQuantizeMatMul": _quantized_matmul,
    "QGemm": _quantized_gemm,
    "QLinearConv": _quantized_convolution,
    "MultiHeadAttention": _multi_head_attention,
    "GroupQueryAttention": _group_query_attention,
    "Attention": _packed_attention,
}
