"""The fused and quantized operators of com.microsoft that optimizers and exporters write.

Source: onnxruntime's ContribOperators.md. Operators not listed keep the types that the model states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import TensorProto

from onnxctl.model.dimensions import Dimension
from onnxctl.model.propagation import generation, layers, shaping
from onnxctl.model.propagation.call import Call, ShapeFunction, normalized_axes, normalized_axis, same_as
from onnxctl.model.propagation.convolution import OPERATORS as CONVOLUTIONS
from onnxctl.model.propagation.facts import Fact, Shape, tensor
from onnxctl.model.propagation.multiplication import gemm_shape, multiplied

# ---------------------------------------------------------------- matrix products


def _turned(shape: Shape | None, *, last: bool, batch: bool) -> Shape | None:
    """As FusedMatMul reads it: transBatch moves the first axis before the last, trans swaps the last two."""
    if shape is None or len(shape) < 2:
        return shape
    if batch:
        shape = (*shape[1:-1], shape[0], shape[-1])
    return (*shape[:-2], shape[-1], shape[-2]) if last else shape


def _fused_matmul(call: Call) -> Fact:
    first = _turned(call.shape(0), last=bool(call.integer("transA", 0)), batch=bool(call.integer("transBatchA", 0)))
    second = _turned(call.shape(1), last=bool(call.integer("transB", 0)), batch=bool(call.integer("transBatchB", 0)))
    return tensor(call.dtype(0) or call.dtype(1), multiplied(call, first, second))


def _block_matmul(call: Call) -> Fact:
    """MatMulNBits, MatMulBnb4: B is packed; its size [K, N] is in the attributes."""
    shape = call.shape(0)
    if shape is None:
        return tensor(call.dtype(0))
    call.equal(shape[-1], call.integer("K", 0))
    return tensor(call.dtype(0), (*shape[:-1], call.integer("N", 0)))


def _block_matmul_of_shape(call: Call) -> Fact:
    """MatMulFpQ4: the size [K, N] of the packed B is an input."""
    shape, packed = call.shape(0), call.constant(2)
    if shape is None or packed is None or len(packed) != 2:
        return tensor(call.dtype(0))
    call.equal(shape[-1], packed[0])
    return tensor(call.dtype(0), (*shape[:-1], packed[1]))


def _matmul_as(source: int | None, dtype: int | None = None) -> ShapeFunction:
    def shape_function(call: Call) -> Fact:
        kind = dtype if source is None else call.dtype(source)
        return tensor(kind, multiplied(call, call.shape(0), call.shape(1)))

    return shape_function


def _quantized_gemm(call: Call) -> Fact:
    dtype = call.dtype(8) if call.has(8) else TensorProto.FLOAT
    return tensor(dtype, gemm_shape(call, call.shape(0), call.shape(3)))


def _fused_gemm(call: Call) -> Fact:
    return tensor(call.dtype(0), gemm_shape(call, call.shape(0), call.shape(1)))


# ---------------------------------------------------------------- attention


def _packed_attention(call: Call) -> list[Fact]:
    """Attention and QAttention: one weight [input, 3 * hidden] makes query, key and value."""
    quantized = call.op_type == "QAttention"
    data, weight, past = call.shape(0), call.shape(1), call.shape(8 if quantized else 4)
    dtype = call.dtype(3) if quantized else call.dtype(0)
    heads, sizes = call.integer("num_heads", 1), call.integers("qkv_hidden_sizes")
    if data is None or len(data) != 3 or weight is None or len(weight) != 2:
        return [tensor(dtype, call.unknown_shape(3))]
    width: Dimension = sizes[2] if sizes and len(sizes) == 3 else weight[1] // 3
    present: Shape | None = None
    if past is None and not call.has(8 if quantized else 4):
        present = (2, data[0], heads, data[1], width // heads)
    elif past is not None and len(past) == 5 and not call.integer("past_present_share_buffer", 0):
        present = (2, data[0], heads, past[3] + data[1], width // heads)
    return [tensor(dtype, (data[0], data[1], width)), tensor(dtype, present)]


def _multi_head_attention(call: Call) -> list[Fact]:
    query, key, value = call.shape(0), call.shape(1), call.shape(2)
    dtype, heads = call.dtype(0), call.integer("num_heads", 1)
    if query is None or len(query) < 3:
        return [tensor(dtype, call.unknown_shape(3))]
    if len(query) == 5:  # packed query, key and value
        return [tensor(dtype, (query[0], query[1], query[2] * query[4]))]
    width = query[2]
    if value is not None and len(value) in (3, 4):
        width = value[2] if len(value) == 3 else value[1] * value[3]
    result = tensor(dtype, (query[0], query[1], width))
    if key is None or value is None or call.has(6) or len(key) not in (3, 4):
        return [result]
    length = key[1] if len(key) == 3 else key[2]
    presents = [
        tensor(dtype, (query[0], heads, length, part[2] // heads if len(part) == 3 else part[3]))
        for part in (key, value)
    ]
    return [result, *presents]


def _group_query_attention(call: Call) -> list[Fact]:
    query, past = call.shape(0), call.shape(3)
    dtype, heads, kv_heads = call.dtype(0), call.integer("num_heads", 1), call.integer("kv_num_heads", 1)
    if query is None or len(query) != 3:
        return [tensor(dtype, call.unknown_shape(3))]
    size = query[2] // heads if call.has(1) else query[2] // (heads + 2 * kv_heads)
    results = [tensor(dtype, (query[0], query[1], size * heads))]
    if past is not None and len(past) == 4:
        for output in (1, 2):
            results.append(tensor(call.dtype(3), (query[0], kv_heads, call.fresh(2, output), past[3])))
    return results


def _unpadded_attention(call: Call) -> Fact:
    """PackedAttention: [tokens, width of value]."""
    data, weight, sizes = call.shape(0), call.shape(1), call.integers("qkv_hidden_sizes")
    if not data or weight is None or len(weight) != 2:
        return tensor(call.dtype(0), call.unknown_shape(2))
    return tensor(call.dtype(0), (data[0], sizes[2] if sizes and len(sizes) == 3 else weight[1] // 3))


def _unpadded_multi_head_attention(call: Call) -> Fact:
    """PackedMultiHeadAttention: [tokens, width of value], which the query holds where it is packed."""
    query, value = call.shape(0), call.shape(2)
    if query is not None and len(query) == 4:
        return tensor(call.dtype(0), (query[0], query[1] * query[3]))
    return tensor(call.dtype(0), value if value is not None and len(value) == 2 else call.unknown_shape(2))


def _masked_attention(call: Call) -> Fact:
    """DecoderMaskedMultiHeadAttention: one position at a time."""
    query, value = call.shape(0), call.shape(2)
    if query is None or len(query) != 3:
        return tensor(call.dtype(0), call.unknown_shape(3))
    if not call.has(1):
        return tensor(call.dtype(0), (query[0], query[1], query[2] // 3))
    if value is None or len(value) not in (3, 4):
        return tensor(call.dtype(0), call.unknown_shape(3))
    return tensor(call.dtype(0), (query[0], query[1], value[2] if len(value) == 3 else value[1] * value[3]))


# ---------------------------------------------------------------- normalization and embedding


def _skip_normalization(call: Call) -> list[Fact]:
    shape, dtype = call.shape(0), call.dtype(0)
    statistics = tensor(TensorProto.FLOAT, None if shape is None else (*shape[:-1], 1))
    return [tensor(dtype, shape), statistics, statistics, tensor(dtype, shape)]


def _embedding(call: Call) -> list[Fact]:
    ids, words = call.shape(0), call.shape(2)
    dtype = TensorProto.FLOAT if call.op_type == "QEmbedLayerNormalization" else call.dtype(2)
    if ids is None or words is None or len(ids) != 2 or len(words) != 2:
        return [tensor(dtype, call.unknown_shape(3)), tensor(TensorProto.INT32)]
    result = tensor(dtype, (ids[0], ids[1], words[1]))
    return [result, tensor(TensorProto.INT32, (ids[0],)), result]


def _quantized_lstm(call: Call) -> Sequence[Fact]:
    """As LSTM, but with the recurrence weights laid out another way: their shape does not give hidden_size."""
    if not call.has_attribute("hidden_size"):
        return [tensor(call.dtype(0), call.unknown_shape(4)), *[tensor(call.dtype(0), call.unknown_shape(3))] * 2]
    facts = layers.OPERATORS["LSTM"](call)
    return [facts] if isinstance(facts, Fact) else facts


def _bias_split_gelu(call: Call) -> Fact:
    shape = call.shape(0)
    return tensor(call.dtype(0), None if not shape else (*shape[:-1], shape[-1] // 2))


def _bias_dropout(call: Call) -> list[Fact]:
    return [tensor(call.dtype(0), call.shape(0)), tensor(TensorProto.BOOL, call.shape(0))]


# ---------------------------------------------------------------- quantized element by element


def _broadcast_of(*indices: int) -> ShapeFunction:
    def shape_function(call: Call) -> Fact:
        return tensor(call.dtype(indices[-1]), call.broadcast(*(call.shape(index) for index in indices)))

    return shape_function


def _quantized_concat(call: Call) -> Fact:
    """Y_scale and Y_zero_point, then each input as tensor, scale and zero point."""
    shapes = [fact.shape for fact in call.inputs[2::3]]
    known = [shape for shape in shapes if shape is not None]
    if len(known) != len(shapes) or not known or len({len(shape) for shape in known}) != 1:
        return tensor(call.dtype(1))
    axis = normalized_axis(call.integer("axis", 0), len(known[0]))
    total: Dimension = 0
    for shape in known:
        total = total + shape[axis]
    return tensor(call.dtype(1), (*known[0][:axis], total, *known[0][axis + 1 :]))


def _channels_last(rule: ShapeFunction) -> ShapeFunction:
    """The rule for [batch, channels, spatial...], told [batch, spatial..., channels]; weights stay as they are."""

    def shape_function(call: Call) -> Fact:
        data = call.shape(0)
        turned = call if not data else call.with_shape(0, (data[0], data[-1], *data[1:-1]))
        fact = _first(rule(turned))
        if fact.shape is None or len(fact.shape) < 2:
            return fact
        return tensor(fact.dtype, (fact.shape[0], *fact.shape[2:], fact.shape[1]))

    return shape_function


def _first(facts: Fact | Sequence[Fact]) -> Fact:
    return facts if isinstance(facts, Fact) else facts[0]


def _in_either_layout(rule: ShapeFunction) -> ShapeFunction:
    """The rule of an operator whose attribute channels_last tells the layout."""
    turned = _channels_last(rule)
    return lambda call: turned(call) if call.integer("channels_last", 0) else _first(rule(call))


def _quantized_global_pool(call: Call) -> Fact:
    shape = call.shape(0)
    if shape is None or len(shape) < 3:
        return tensor(call.dtype(0))
    ones = tuple(1 for _ in shape[2:])
    channels_last = call.integer("channels_last", 0)
    return tensor(call.dtype(0), (shape[0], *ones, shape[-1]) if channels_last else (*shape[:2], *ones))


def _quantized_mean(call: Call) -> Fact:
    shape, axes = call.shape(0), call.integers("axes")
    if shape is None:
        return tensor(call.dtype(0))
    reduced = set(normalized_axes(axes, len(shape)) if axes else range(len(shape)))
    keep = call.integer("keepdims", 1)
    sizes = [1 if axis in reduced else size for axis, size in enumerate(shape) if keep or axis not in reduced]
    return tensor(call.dtype(0), sizes)


def _distances(call: Call) -> Fact:
    first, second = call.shape(0), call.shape(1)
    return tensor(call.dtype(0), (first[0], second[0]) if first and second else call.unknown_shape(2))


_SAME = (
    "BiasAdd BiasSoftmax FastGelu Gelu GroupNorm Inverse LongformerAttention MoE QLinearLeakyRelu QLinearSigmoid "
    "QLinearSoftmax QMoE QOrderedAttention QOrderedGelu QOrderedLayerNormalization QuickGelu RotaryEmbedding "
    "ScaledSiLU SwiGLU Trilu"
)

OPERATORS: Mapping[str, ShapeFunction] = {
    **dict.fromkeys(_SAME.split(), same_as(0)),
    **dict.fromkeys(("FusedMatMul", "TransposeMatMul", "FusedMatMulActivation"), _fused_matmul),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4"), _block_matmul),
    "MatMulFpQ4": _block_matmul_of_shape,
    **dict.fromkeys(
        ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "SkipGroupNorm"), _skip_normalization
    ),
    **dict.fromkeys(("EmbedLayerNormalization", "QEmbedLayerNormalization"), _embedding),
    **dict.fromkeys(("Attention", "QAttention", "DecoderMaskedSelfAttention"), _packed_attention),
    "PackedAttention": _unpadded_attention,
    "PackedMultiHeadAttention": _unpadded_multi_head_attention,
    "DecoderMaskedMultiHeadAttention": _masked_attention,
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), _broadcast_of(3, 0)),
    "QLinearWhere": _broadcast_of(0, 4, 1),
    "BiasGelu": _broadcast_of(1, 0),
    "GemmFastGelu": _matmul_as(0),
    "DynamicQuantizeMatMul": _matmul_as(0),
    "MatMulIntegerToFloat": _matmul_as(2),
    "MatMulInteger16": _matmul_as(None, TensorProto.INT32),
    "FusedGemm": _fused_gemm,
    "QGemm": _quantized_gemm,
    "FusedConv": CONVOLUTIONS["Conv"],
    "QLinearConv": _in_either_layout(CONVOLUTIONS["QLinearConv"]),
    **dict.fromkeys(("NhwcConv", "NhwcFusedConv"), _channels_last(CONVOLUTIONS["Conv"])),
    "NhwcMaxPool": _channels_last(CONVOLUTIONS["MaxPool"]),
    "GridSample": CONVOLUTIONS["GridSample"],
    "MultiHeadAttention": _multi_head_attention,
    "GroupQueryAttention": _group_query_attention,
    "BiasSplitGelu": _bias_split_gelu,
    "DynamicQuantizeLSTM": _quantized_lstm,
    "BiasDropout": _bias_dropout,
    "BitmaskBiasDropout": lambda call: tensor(call.dtype(0), call.shape(0)),
    "MulInteger": lambda call: tensor(TensorProto.INT32, call.broadcast(call.shape(0), call.shape(2))),
    **dict.fromkeys(("ComplexMul", "ComplexMulConj"), _broadcast_of(1, 0)),
    "QLinearConcat": _quantized_concat,
    "QLinearAveragePool": _in_either_layout(CONVOLUTIONS["AveragePool"]),
    "QLinearGlobalAveragePool": _quantized_global_pool,
    "QLinearReduceMean": _quantized_mean,
    "QuantizeLinear": layers.OPERATORS["QuantizeLinear"],
    "DequantizeLinear": layers.OPERATORS["DequantizeLinear"],
    "CDist": _distances,
    "Pad": shaping.OPERATORS["Pad"],
    "Range": generation.OPERATORS["Range"],
}
