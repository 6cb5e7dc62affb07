"""Matrix products: MatMul, Gemm, Einsum and attention, which is two of them."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import TensorProto

from onnxctl.model.dimensions import Dimension
from onnxctl.model.propagation.call import Call, ShapeFunction
from onnxctl.model.propagation.facts import Fact, Shape, tensor


def multiplied(call: Call, first: Shape | None, second: Shape | None) -> Shape | None:
    """numpy.matmul's shape."""
    if first is None or second is None:
        return None
    if not first or not second:
        raise ValueError("a scalar in a matrix product")
    rows, columns = first[-2:-1], second[-1:] if len(second) > 1 else ()
    call.equal(first[-1], second[-2] if len(second) > 1 else second[0])
    stacked = call.broadcast(first[:-2], second[:-2])
    return None if stacked is None else (*stacked, *rows, *columns)


def _matmul(call: Call) -> Fact:
    return tensor(call.dtype(0) or call.dtype(1), multiplied(call, call.shape(0), call.shape(1)))


def _matmul_integer(call: Call) -> Fact:
    return tensor(TensorProto.INT32, multiplied(call, call.shape(0), call.shape(1)))


def _qlinear_matmul(call: Call) -> Fact:
    return tensor(call.dtype(7) or call.dtype(0), multiplied(call, call.shape(0), call.shape(3)))


def gemm_shape(call: Call, first: Shape | None, second: Shape | None) -> Shape:
    """[rows, columns] after the transpositions transA and transB ask for."""
    rows, columns = call.fresh(0), call.fresh(1)
    if first is not None and len(first) == 2:
        rows = first[1 if call.integer("transA", 0) else 0]
    if second is not None and len(second) == 2:
        columns = second[0 if call.integer("transB", 0) else 1]
    if first is not None and second is not None and len(first) == len(second) == 2:
        call.equal(first[0 if call.integer("transA", 0) else 1], second[1 if call.integer("transB", 0) else 0])
    return rows, columns


def _gemm(call: Call) -> Fact:
    return tensor(call.dtype(0) or call.dtype(1), gemm_shape(call, call.shape(0), call.shape(1)))


def _einsum(call: Call) -> Fact:
    terms, _, result = call.text("equation").replace(" ", "").partition("->")
    parts = terms.split(",")
    if len(parts) != len(call.inputs):
        raise ValueError("the equation does not fit the inputs")
    sizes: dict[str, Dimension] = {}
    shared: Shape | None = ()
    for part, fact in zip(parts, call.inputs, strict=True):
        if fact.shape is None:
            return tensor(call.dtype(0), call.unknown_shape(len(result) if result and "." not in result else None))
        before, dots, after = part.partition("...")
        extra = len(fact.shape) - len(before) - len(after)
        if extra < 0 or (extra and not dots):
            raise ValueError("the equation does not fit an input's rank")
        named = [*zip(before, fact.shape, strict=False), *zip(after, fact.shape[len(before) + extra :], strict=True)]
        for letter, size in named:
            sizes[letter] = call.broadcast_dimension(sizes[letter], size) if letter in sizes else size
        if dots:
            shared = call.broadcast(shared, fact.shape[len(before) : len(before) + extra])
    if "->" not in call.text("equation"):
        once = sorted(letter for letter in sizes if terms.count(letter) == 1)
        result = ("..." if "..." in terms else "") + "".join(once)
    before, dots, after = result.partition("...")
    middle = shared if dots else ()
    if middle is None:
        return tensor(call.dtype(0))
    return tensor(call.dtype(0), (*(sizes[each] for each in before), *middle, *(sizes[each] for each in after)))


def _attention(call: Call) -> list[Fact]:
    """Attention of opset 23 on: heads in an axis of their own (rank 4), or packed into the last (rank 3)."""
    query, key, value = call.shape(0), call.shape(1), call.shape(2)
    dtype = call.dtype(0)
    heads, key_heads = call.integer("q_num_heads", 0), call.integer("kv_num_heads", 0)
    if query is None or key is None or value is None or len({len(query), len(key), len(value)}) != 1:
        return [tensor(dtype), tensor(call.dtype(1)), tensor(call.dtype(2)), tensor(dtype)]
    if len(query) == 4:
        batch, count, length, _ = query
        kv_count, kv_length, key_size, value_size = key[1], key[2], key[3], value[3]
        result: Shape = (batch, count, length, value_size)
    elif len(query) == 3 and heads > 0 and key_heads > 0:
        batch, count, length, kv_count, kv_length = query[0], heads, query[1], key_heads, key[1]
        key_size, value_size = key[2] // key_heads, value[2] // key_heads
        result = (batch, length, value_size * heads)
    else:
        raise ValueError("attention needs inputs of rank 4, or of rank 3 with the number of heads")
    past = call.shape(4) if call.has(4) else None
    total = kv_length
    if call.has(4):
        total = call.fresh(2, 1) if past is None or len(past) != 4 else past[2] + kv_length
    return [
        tensor(dtype, result),
        tensor(call.dtype(1), (batch, kv_count, total, key_size)),
        tensor(call.dtype(2), (batch, kv_count, total, value_size)),
        tensor(dtype, (batch, count, length, total)),
    ]


def _flex_attention(call: Call) -> Fact:
    query, value = call.shape(0), call.shape(2)
    known = query is not None and value is not None and len(query) == len(value) == 4
    return tensor(call.dtype(0), (*query[:3], value[3]) if known and query and value else None)


def _linear_attention(call: Call) -> list[Fact]:
    query, key, value = call.shape(0), call.shape(1), call.shape(2)
    heads, kv_heads = call.integer("q_num_heads", 0), call.integer("kv_num_heads", 0)
    state_type = call.dtype(3) if call.has(3) else call.dtype(0)
    if query is None or key is None or value is None or len(query) != 3 or heads < 1 or kv_heads < 1:
        return [tensor(call.dtype(0)), tensor(state_type, call.shape(3))]
    key_size, value_size = key[2] // kv_heads, value[2] // kv_heads
    return [
        tensor(call.dtype(0), (query[0], query[1], value_size * heads)),
        tensor(state_type, (query[0], kv_heads, key_size, value_size)),
    ]


def _determinant(call: Call) -> Fact:
    shape = call.shape(0)
    return tensor(call.dtype(0), None if shape is None or len(shape) < 2 else shape[:-2])


OPERATORS: Mapping[str, ShapeFunction] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "QLinearMatMul": _qlinear_matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Attention": _attention,
    "LinearAttention": _linear_attention,
    "Det": _determinant,
}

PREVIEW_OPERATORS: Mapping[str, ShapeFunction] = {"FlexAttention": _flex_attention}
