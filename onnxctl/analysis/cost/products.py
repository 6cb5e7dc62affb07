"""Operators whose work is multiply-accumulates: matrix products, convolutions, recurrent networks.

A multiply-accumulate (MAC) is one product added to a running sum, which is how papers and datasheets count networks. A
bias that the operator adds is one other operation for each output element.
"""

from __future__ import annotations

import re

from onnxctl.analysis.cost.work import Formula, Operation, Work, product
from onnxctl.model.dimensions import Dimension

# ---------------------------------------------------------------- matrices


def _matmul(operation: Operation) -> Work:
    """MatMul: each output element is a dot product over the last axis of the first operand."""
    return Work(macs=operation.output_elements() * operation.input_shape(0)[-1])


def _quantized_matmul(operation: Operation) -> Work:
    """QLinearMatMul and its like: MatMul, and each output element is scaled, rounded and clamped."""
    elements = operation.output_elements()
    return Work(macs=elements * operation.input_shape(0)[-1], others=4 * elements)


def _gemm(operation: Operation) -> Work:
    """Gemm: alpha * A' * B' + beta * C; products with alpha and beta count only where these are not 1."""
    shape = operation.input_shape(0)
    depth = shape[0] if operation.integer("transA", 0) else shape[1]
    elements = operation.output_elements()
    scaled = [name for name in ("alpha", "beta") if operation.real(name, 1.0) != 1.0]
    return Work(macs=elements * depth, others=(len(scaled) + (1 if operation.has(2) else 0)) * elements)


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
}
