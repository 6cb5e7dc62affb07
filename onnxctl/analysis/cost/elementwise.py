"""Operators that compute each output element from one element of each input.

The figure of an operator is the number of primitive operations in its definition (ONNX operator documentation): an
addition, multiplication, division, comparison, selection by comparison, or one evaluation of exp, log, sqrt, erf, tanh,
sin or another elementary function counts 1. Sigmoid, 1 / (1 + exp(-x)), is 4.
"""

from __future__ import annotations

from onnxctl.analysis.cost.work import Formula, Operation, Work

OPERATIONS_PER_ELEMENT: dict[str, int] = {
    # one operation
    **dict.fromkeys(("Abs", "Neg", "Ceil", "Floor", "Round", "Sign", "Not", "BitwiseNot", "IsNaN", "IsInf"), 1),
    **dict.fromkeys(("Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Relu", "BitShift"), 1),
    **dict.fromkeys(
        ("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh"), 1
    ),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Mod", "And", "Or", "Xor"), 1),
    **dict.fromkeys(("BitwiseAnd", "BitwiseOr", "BitwiseXor"), 1),
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"), 1),
    "Where": 1,  # a selection
    # activations, by their definitions
    "Clip": 2,  # min(max(x, low), high)
    "LeakyRelu": 2,  # x < 0 ? alpha * x : x
    "PRelu": 2,
    "ThresholdedRelu": 1,  # x > alpha ? x : 0
    "HardSigmoid": 4,  # max(0, min(1, alpha * x + beta))
    "HardSwish": 5,  # x * HardSigmoid(x)
    "Sigmoid": 4,  # 1 / (1 + exp(-x))
    "Swish": 6,  # x * Sigmoid(alpha * x)
    "Softplus": 3,  # log(exp(x) + 1)
    "Softsign": 3,  # x / (1 + abs(x))
    "Mish": 5,  # x * tanh(Softplus(x))
    "Elu": 4,  # x < 0 ? alpha * (exp(x) - 1) : x
    "Selu": 5,  # gamma * Elu(x)
    "Celu": 7,  # max(0, x) + min(0, alpha * (exp(x / alpha) - 1))
    "Shrink": 4,  # x < -lambd ? x + bias : x > lambd ? x - bias : 0
    "Gelu": 5,  # x / 2 * (1 + erf(x / sqrt 2)); the tanh form is counted below
    "SwiGLU": 6,
    # quantization
    "QuantizeLinear": 4,  # clamp(round(x / scale) + zero point): div, round, add, clamp as one saturating conversion
    "DequantizeLinear": 2,  # (x - zero point) * scale
    "Binarizer": 1,
    "Imputer": 1,
    "Scaler": 2,  # (x - offset) * scale
}

TANH_GELU = 9  # x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))


def per_element(figure: int) -> Formula:
    """So many operations for each output element."""

    def formula(operation: Operation) -> Work:
        return Work(others=figure * operation.output_elements())

    return formula


def _gelu(operation: Operation) -> Work:
    tanh = operation.text("approximate", "none") == "tanh"
    return Work(others=(TANH_GELU if tanh else OPERATIONS_PER_ELEMENT["Gelu"]) * operation.output_elements())


def _variadic(operation: Operation) -> Work:
    """Sum, Max, Min: n - 1 operations an element for n inputs; Mean: one division more."""
    extra = 1 if operation.op_type == "Mean" else 0
    return Work(others=(len(operation.node.input) - 1 + extra) * operation.output_elements())


def _dynamic_quantize(operation: Operation) -> Work:
    """DynamicQuantizeLinear: minimum and maximum of all elements, then QuantizeLinear of each."""
    return Work(others=(2 + OPERATIONS_PER_ELEMENT["QuantizeLinear"]) * operation.input_elements())


def _rotary(operation: Operation) -> Work:
    """RotaryEmbedding: each element is the sum of two products (real * cos - imaginary * sin and its twin)."""
    return Work(others=3 * operation.output_elements())


ELEMENTWISE: dict[str, Formula] = {name: per_element(figure) for name, figure in OPERATIONS_PER_ELEMENT.items()}
ELEMENTWISE |= {
    "Gelu": _gelu,
    "Sum": _variadic,
    "Max": _variadic,
    "Min": _variadic,
    "Mean": _variadic,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "RotaryEmbedding": _rotary,
}
