"""Attention, by itself and fused with the projections, caches and rotations around it.

Sources: the ONNX operator documentation, and onnxruntime's ContribOperators.md for those of com.microsoft. Masks save
nothing: kernels compute masked scores too.
"""

from __future__ import annotations

from onnxctl.analysis.cost.work import Formula, Operation, UnknownShapeError, Work, product
from onnxctl.model.dimensions import Dimension
from onnxctl.model.propagation import Shape

SOFTMAX_OPERATIONS = 5
"""For each element: find the maximum, subtract it, exp, sum, divide."""

_REQUANTIZED = 4
"""Operations that bring a sum back to 8 bits: scale, round, shift, clip."""


def attention_work(queries: Dimension, keys: Dimension, key_width: Dimension, value_width: Dimension) -> Work:
    """Scaled dot-product attention: `queries` rows (over batch and heads) against `keys` positions each.

    Q * K' takes key_width MACs a score, the mix of the values value_width; a score is scaled and goes through a
    softmax.
    """
    scores = queries * keys
    return Work(macs=scores * (key_width + value_width), others=(1 + SOFTMAX_OPERATIONS) * scores)


def _heads(operation: Operation, attribute: str = "num_heads") -> int:
    heads = operation.integer(attribute, 0)
    if heads < 1:
        raise ValueError(f"{attribute} is {heads}")
    return heads


def _rotations(operation: Operation, elements: Dimension) -> Dimension:
    """Rotary embedding inside the operator: two products and a sum for each element of query and key."""
    return 3 * elements if operation.integer("do_rotary", 0) else 0


def _positions(operation: Operation, present: Dimension, past: int) -> Dimension:
    """The positions attended to: those given now, after those of the past, an input of [..., positions, width].

    A past that shares its buffer with the present counts as full: how much of it is in use is only known at run time.
    """
    if not operation.has(past):
        return present
    cached = operation.input_shape(past)[-2]
    return cached if operation.integer("past_present_share_buffer", 0) else cached + present


# ---------------------------------------------------------------- ai.onnx


def _attention(operation: Operation) -> Work:
    """Attention (opset 23): Q, K, V of [batch, heads, sequence, width], or [batch, sequence, heads * width]."""
    query, key, value = (operation.input_shape(index) for index in range(3))
    if len(query) == 4:
        rows, positions, key_width, value_width = product(query[:3]), key[2], query[3], value[3]
    else:
        heads, key_heads = _heads(operation, "q_num_heads"), _heads(operation, "kv_num_heads")
        rows, positions = query[0] * heads * query[1], key[1]
        key_width, value_width = query[2] // heads, value[2] // key_heads
    return attention_work(rows, _positions(operation, positions, past=4), key_width, value_width)


def _linear_attention(operation: Operation) -> Work:
    """LinearAttention: at each position and head, a [key width, value width] state is updated and read.

    The update adds an outer product; the delta rules first read the state at the key, the gated ones scale it.
    """
    query, value = operation.input_shape(0), operation.input_shape(2)
    heads, value_heads = _heads(operation, "q_num_heads"), _heads(operation, "kv_num_heads")
    if len(query) != 3:
        raise UnknownShapeError
    rule = operation.text("update_rule", "gated_delta")
    state = (query[2] // heads) * (value[2] // value_heads)
    visits = query[0] * query[1] * max(heads, value_heads) * state
    return Work(macs=(3 if "delta" in rule else 2) * visits, others=visits if "gated" in rule else 0)


# ---------------------------------------------------------------- com.microsoft


def _projected_attention(past: int, *, quantized: bool = False) -> Formula:
    """Attention and its like: input [batch, sequence, width] by weights [width, query + key + value], then attention.

    past is the input with the cache. A bias is added; quantized, each projected element is scaled too.
    """

    def formula(operation: Operation) -> Work:
        batch, sequence, width = operation.input_shape(0)
        columns, heads = operation.input_shape(1)[1], _heads(operation)
        sizes: Shape = tuple(operation.integers("qkv_hidden_sizes") or [columns // 3] * 3)
        projected = batch * sequence * columns
        inner = attention_work(
            batch * heads * sequence, _positions(operation, sequence, past), sizes[0] // heads, sizes[2] // heads
        )
        others = (int(operation.has(2)) + int(quantized)) * projected
        rotations = _rotations(operation, batch * sequence * (sizes[0] + sizes[1]))
        return Work(macs=projected * width + inner.macs, others=others + rotations + inner.others)

    return formula


def _multi_head_attention(bias: int, past: int) -> Formula:
    """MultiHeadAttention and its like: query [batch, sequence, heads * width], key and value beside it or inside."""

    def formula(operation: Operation) -> Work:
        query, heads = operation.input_shape(0), _heads(operation)
        rows = query[0] * heads * query[1]
        given: Dimension = query[1]  # positions of key and value that take a bias
        if len(query) == 5:  # packed: [batch, sequence, heads, 3, width]
            width = value_width = query[4]
            positions = given
        elif not operation.has(1):  # packed: [batch, sequence, 3 * heads * width]
            width = value_width = query[2] // (3 * heads)
            positions = given
        else:
            key, width = operation.input_shape(1), query[2] // heads
            positions = key[2] if len(key) == 4 else key[1]
            given = 0 if len(key) == 4 else positions  # cross attention to a cache: it has its bias
            if len(key) == 5:  # packed: [batch, positions, heads, 2, width]
                value_width = key[4]
            else:
                value = operation.input_shape(2)
                value_width = value[2] // heads if len(value) == 3 else value[3]
        inner = attention_work(rows, _positions(operation, positions, past), width, value_width)
        biased = rows * width + query[0] * heads * given * (width + value_width) if operation.has(bias) else 0
        return Work(macs=inner.macs, others=inner.others + biased)

    return formula


def _group_query_attention(operation: Operation) -> Work:
    """GroupQueryAttention: queries against the present keys, output 1 of [batch, kv heads, positions, width]."""
    output, present = operation.output_shape(0), operation.output_shape(1)
    heads, key_heads = _heads(operation), _heads(operation, "kv_num_heads")
    width = output[2] // heads
    inner = attention_work(output[0] * heads * output[1], present[2], width, width)
    rotations = _rotations(operation, output[0] * output[1] * (heads + key_heads) * width)
    return Work(macs=inner.macs, others=inner.others + rotations)


def _unpadded_attention(operation: Operation) -> Work:
    """PackedAttention: tokens without padding [tokens, width] are projected, and attend within their sequences.

    token_offset [batch, sequence] tells the padded sizes; sequences may be shorter, so this is an upper bound.
    """
    tokens, width = operation.input_shape(0)
    batch, sequence = operation.input_shape(3)
    columns, heads = operation.input_shape(1)[1], _heads(operation)
    sizes: Shape = tuple(operation.integers("qkv_hidden_sizes") or [columns // 3] * 3)
    inner = attention_work(batch * heads * sequence, sequence, sizes[0] // heads, sizes[2] // heads)
    return Work(macs=tokens * columns * width + inner.macs, others=tokens * columns + inner.others)


def _unpadded_multi_head_attention(operation: Operation) -> Work:
    """PackedMultiHeadAttention: the same without projection; query [tokens, hidden] or [tokens, heads, 3, width]."""
    query, heads = operation.input_shape(0), _heads(operation)
    batch, sequence = operation.input_shape(4)
    width = query[3] if len(query) == 4 else query[1] // heads
    value_width = width if len(query) == 4 else operation.input_shape(2)[1] // heads
    inner = attention_work(batch * heads * sequence, sequence, width, value_width)
    biased = query[0] * heads * (2 * width + value_width) if operation.has(3) else 0
    return Work(macs=inner.macs, others=inner.others + biased)


def _ordered_attention(operation: Operation) -> Work:
    """QOrderedAttention: three 8-bit projections, and each product's and the softmax's results are scaled anew."""
    batch, sequence, width = operation.input_shape(0)
    heads = _heads(operation)
    query, key, value = (operation.input_shape(index)[1] for index in (5, 6, 7))
    projected, rows = batch * sequence * (query + key + value), batch * heads * sequence
    inner = attention_work(rows, sequence, query // heads, value // heads)
    scaled = (1 + _REQUANTIZED) * projected + _REQUANTIZED * (2 * rows * sequence + batch * sequence * value)
    return Work(macs=projected * width + inner.macs, others=scaled + inner.others)


ATTENTION: dict[str, Formula] = {"Attention": _attention, "LinearAttention": _linear_attention}

CONTRIB_ATTENTION: dict[str, Formula] = {
    "Attention": _projected_attention(past=4),
    "QAttention": _projected_attention(past=8, quantized=True),
    "DecoderMaskedSelfAttention": _projected_attention(past=4),
    "MultiHeadAttention": _multi_head_attention(bias=3, past=6),
    "DecoderMaskedMultiHeadAttention": _multi_head_attention(bias=10, past=5),
    "GroupQueryAttention": _group_query_attention,
    "PackedAttention": _unpadded_attention,
    "PackedMultiHeadAttention": _unpadded_multi_head_attention,
    "QOrderedAttention": _ordered_attention,
    "LinearAttention": _linear_attention,
}
