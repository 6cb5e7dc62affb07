"""Layers as networks have them, and operators written out in parts as exporters do."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.passes.random_models.builder import FLOATS, Builder, RefusedError, Value
from tests.passes.random_models.shape_recipes import broadcastable, on_axes, transpose

SINGLE = (np.float32,)


def image(b: Builder) -> Value:
    """A value of rank 4, or a new one of three channels."""
    found = b.pick(SINGLE, (4,))
    return found if min(found.array.shape, default=0) > 0 else b.input([1, 3, 4, 4], np.float32)


def channel_arithmetic(b: Builder, value: Value) -> Value:
    """BatchNormalization, or a product or sum with something of one number per channel."""
    channels = value.array.shape[1]
    per_channel = [channels, *[1] * (value.array.ndim - 2)]
    if b.chance(0.4):
        parts = [b.parameter([channels], np.float32) for _ in range(3)]
        variance = b.constant(b.random.uniform(0.3, 2, channels), np.float32)
        return b.one("BatchNormalization", value, *parts, variance)
    shape = b.choose([per_channel, [1, *per_channel], [1], [], broadcastable(b, value.array.shape)])
    name = b.choose(("Mul", "Add", "Sub", "Div"))
    constant = b.constant(b.random.uniform(0.5, 2, shape), np.float32)
    sides = (value, constant) if b.chance(0.8) else (constant, value)
    return b.one(name, *sides)


def convolution(b: Builder) -> None:
    """Pad, Conv or ConvTranspose, and arithmetic before and behind."""
    value = image(b)
    if b.chance(0.3):
        amounts = [0, 0, *b.random.integers(0, 2, 2), 0, 0, *b.random.integers(0, 2, 2)]
        value = b.one("Pad", value, b.constant(amounts))
    if b.chance(0.3):
        value = channel_arithmetic(b, value)
    channels, made = value.array.shape[1], int(b.random.integers(1, 4))
    is_transposed, group = b.chance(0.3), 1
    if b.chance(0.2):
        group, made = channels, channels
    rows = [channels, made // group] if is_transposed else [made, channels // group]
    weight = b.parameter([*rows, *b.random.integers(1, 3, 2)], np.float32)
    inputs = [value, weight, *([b.parameter([made], np.float32)] if b.chance(0.5) else [])]
    attributes: dict[str, Any] = {"group": group} if group > 1 else {}
    if b.chance(0.2):
        attributes |= {"auto_pad": b.choose(("SAME_UPPER", "VALID", "SAME_LOWER"))}
    elif b.chance(0.4):
        attributes |= {"pads": [int(each) for each in b.random.integers(0, 2, 4)]}
    if b.chance(0.3):
        attributes |= {"strides": [2, 1]}
    made_value = b.one("ConvTranspose" if is_transposed else "Conv", *inputs, **attributes)
    for _ in range(b.choose((0, 1, 2))):
        made_value = channel_arithmetic(b, made_value)


def pool(b: Builder) -> None:
    value = image(b)
    if b.chance(0.5):
        amounts = [0, 0, *b.random.integers(0, 2, 2), 0, 0, *b.random.integers(0, 2, 2)]
        value = b.one("Pad", value, b.constant(amounts))
    name = b.choose(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"))
    if name.startswith("Global"):
        b.one(name, value)
        return
    attributes: dict[str, Any] = {"count_include_pad": int(b.chance(0.5))} if name == "AveragePool" else {}
    if b.chance(0.3):
        attributes["ceil_mode"] = 1
    if b.chance(0.5):
        attributes["strides"] = [2, 1]
    if b.chance(0.5):
        attributes["pads"] = [int(each) for each in b.random.integers(0, 2, 4)]
    b.one(name, value, kernel_shape=[2, 2], **attributes)


def resize(b: Builder) -> None:
    value = image(b)
    scales = b.constant([1, 1, *b.choose(((1, 1), (2, 2), (1, 2)))], np.float32)
    modes = ("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel")
    mode = b.choose(("nearest", "linear"))
    b.one("Resize", value, None, scales, mode=mode, coordinate_transformation_mode=b.choose(modes))


def channel_blocks(b: Builder) -> None:
    value = b.input([1, 4, 2, 2], np.float32)
    if b.chance(0.4):
        b.one(b.choose(("DepthToSpace", "SpaceToDepth")), value, blocksize=2)
        return
    six = b.one("Reshape", value, b.constant([1, *b.choose(((2, 2, 1), (1, 2, 2))), 2, 2]))
    orders = ([0, 1, 4, 2, 5, 3], [0, 3, 4, 1, 5, 2], [0, 3, 1, 4, 2, 5])
    b.one("Reshape", b.one("Transpose", six, perm=b.choose(orders)), b.constant([1, 1, 4, 4]))


def product(b: Builder, value: Value) -> Value:
    """MatMul or Gemm with a constant, with or without what goes before and behind."""
    width = value.array.shape[-1]
    weight = b.parameter([width, int(b.random.integers(1, 4))], value.array.dtype)
    if value.array.ndim == 2 and b.chance(0.4):
        turned = b.one("Transpose", value, perm=[1, 0]) if b.chance(0.4) else value
        flags = {"transA": 1} if turned is not value else {}
        bias = [b.parameter(b.choose(([], [1], weight.array.shape[1:])), value.array.dtype)] if b.chance(0.6) else []
        factors = {"alpha": 0.5, "beta": 2.0} if b.chance(0.3) else {}
        return b.one("Gemm", turned, weight, *bias, **flags, **factors)
    return b.one("MatMul", value, weight)


def products(b: Builder) -> None:
    value = b.pick(FLOATS, (2, 2, 3, 4))
    for _ in range(b.choose((1, 1, 2, 3))):
        made = product(b, value)
        if b.chance(0.5):
            bias = b.parameter(broadcastable(b, made.array.shape), made.array.dtype)
            made = b.one(b.choose(("Add", "Add", "Mul", "Sub")), *((made, bias) if b.chance(0.7) else (bias, made)))
        if b.chance(0.3):
            made = b.one("Mul", made, b.constant(0.25, made.array.dtype))
        if b.chance(0.4):
            transpose(b, made)


def square_product(b: Builder) -> None:
    """A product of two values, transposed as attention does."""
    value = b.pick(FLOATS, (2, 3, 4))
    order = [*range(value.array.ndim - 2), value.array.ndim - 1, value.array.ndim - 2]
    turned = b.one("Transpose", value, perm=order)
    sides = (value, turned) if b.chance(0.5) else (turned, value)
    scores = b.one("MatMul", *sides)
    b.one("Softmax", b.one("Mul", scores, b.constant(0.5, scores.array.dtype)), axis=-1)


def heads(b: Builder) -> None:
    """Reshape and Transpose into heads and back, as attention does."""
    value = b.input([2, 3, 4], np.float32)
    parts = [product(b, value) for _ in range(2)] if b.chance(0.5) else [value]
    for each in parts:
        width = each.array.shape[-1]
        split = b.one("Reshape", each, b.constant([b.choose((0, 2, -1)), 3, 1, width]))
        turned = b.one("Transpose", split, perm=b.choose(([0, 2, 1, 3], [0, 2, 3, 1], [2, 0, 1, 3])))
        scaled = b.one("Mul", turned, b.constant(0.5, np.float32)) if b.chance(0.6) else b.one("Relu", turned)
        back = b.one("Transpose", scaled, perm=[0, 2, 1, 3])
        b.one("Reshape", back, b.constant([b.choose((0, 2)), b.choose((3, -1)), width]))


def gelu(b: Builder) -> None:
    x = b.pick(SINGLE)
    half, one, root = (b.constant(each, np.float32) for each in (0.5, 1, 2**0.5))
    gate = b.one("Add", b.one("Erf", b.one("Div", x, root)), one)
    b.one("Mul", b.one("Mul", x, gate), half) if b.chance(0.5) else b.one("Mul", b.one("Mul", x, half), gate)


def hard_gate(b: Builder) -> None:
    x = b.pick(SINGLE)
    clamped = b.one("Clip", b.one("Add", x, b.constant(3, np.float32)), *(b.constant(n, np.float32) for n in (0, 6)))
    if b.chance(0.5):
        b.one("Div", b.one("Mul", x, clamped), b.constant(6, np.float32))
    else:
        b.one("Mul", x, b.one("Div", clamped, b.constant(6, np.float32)))


def mish(b: Builder) -> None:
    x = b.pick(SINGLE)
    b.one("Mul", x, b.one("Tanh", b.one("Softplus", x)))


def normalization(b: Builder) -> None:
    """LayerNormalization or RMSNormalization written out."""
    x = b.pick(SINGLE, (2, 3, 4))
    centred = x
    if b.chance(0.6):
        centred = b.one("Sub", x, on_axes(b, "ReduceMean", x, [-1], 18))
    square = b.one("Pow", centred, b.constant(2, np.float32)) if b.chance(0.5) else b.one("Mul", centred, centred)
    variance = b.one("Add", on_axes(b, "ReduceMean", square, [-1], 18), b.constant(1e-5, np.float32))
    made = b.one("Div", centred, b.one("Sqrt", variance))
    width = x.array.shape[-1]
    if b.chance(0.7):
        made = b.one("Mul", made, b.parameter([width], np.float32))
    if b.chance(0.7):
        b.one("Add", made, b.parameter([width], np.float32))


def length(b: Builder) -> None:
    """ReduceL2 written out."""
    x = b.pick(SINGLE, (1, 2, 3, 4))
    square = b.one("Mul", x, x) if b.chance(0.5) else b.one("Pow", x, b.constant(2, np.float32))
    total = on_axes(b, "ReduceSum", square, [-1], 13, keepdims=int(b.chance(0.5)))
    b.one("Sqrt", total)


def recurrent(b: Builder) -> None:
    """An LSTM or GRU with initial states of zeros, in one or both directions."""
    x = b.input([2, 1, 3], np.float32)
    name, gates = b.choose((("LSTM", 4), ("GRU", 3)))
    directions = b.choose((1, 2))
    weights = [b.parameter([directions, gates * 2, width], np.float32) for width in (3, 2)]
    zeros = b.constant(np.zeros((directions, 1, 2)), np.float32)
    states = [zeros, zeros] if name == "LSTM" else [zeros]
    kind = "bidirectional" if directions == 2 else "forward"
    outputs = b.add(name, [x, *weights, None, None, *states], output_count=2, hidden_size=2, direction=kind)
    b.one("Squeeze", outputs[0]) if directions == 1 else transpose(b, outputs[0])


def top(b: Builder) -> None:
    value = b.pick(SINGLE, (1, 2, 3))
    if not value.array.shape[-1]:
        raise RefusedError("nothing to choose from")
    b.add("TopK", [value, b.constant([1])], output_count=2, axis=-1)


def quantized(b: Builder) -> None:
    value = b.pick(SINGLE)
    scale, zero = b.constant(0.1, np.float32), b.constant(3, np.uint8)
    b.one("DequantizeLinear", b.one("QuantizeLinear", value, scale, zero), scale, zero)


RECIPES = (
    *(convolution,) * 4,
    *(pool,) * 2,
    resize,
    channel_blocks,
    *(products,) * 3,
    square_product,
    *(heads,) * 2,
    gelu,
    hard_gate,
    mish,
    normalization,
    length,
    recurrent,
    top,
    quantized,
)
