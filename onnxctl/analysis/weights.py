"""The stored tensors of a model: initializers, sparse initializers and Constant nodes, wherever they stand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from onnx import AttributeProto, GraphProto, SparseTensorProto, TensorProto

from onnxctl.analysis.scopes import Scope, walk_scopes
from onnxctl.model.attributes import VALUE_FIELDS
from onnxctl.model.loading import Model
from onnxctl.model.names import as_text
from onnxctl.model.nodes import DEFAULT_DOMAINS
from onnxctl.model.tensors import DTYPES, dtype_name, raw_byte_count

if TYPE_CHECKING:
    from onnxctl.reports import DtypeParameters, WeightInfo

STRING = TensorProto.STRING

_SINGLE = {
    AttributeProto.FLOAT: TensorProto.FLOAT,
    AttributeProto.INT: TensorProto.INT64,
    AttributeProto.STRING: TensorProto.STRING,
}
_PLAIN = _SINGLE | {
    AttributeProto.FLOATS: TensorProto.FLOAT,
    AttributeProto.INTS: TensorProto.INT64,
    AttributeProto.STRINGS: TensorProto.STRING,
}
"""Element types of the plain attributes that a Constant may have for its value."""


class Weight(NamedTuple):
    """One stored tensor: its data_type, how many elements are stored, and the bytes they take in raw_data.

    A sparse tensor stores its non-zero values; the indices beside them count among its bytes. `stored` is the message
    that has the values, None where they are the node's attribute itself.
    """

    scope: str
    name: str
    source: str
    data_type: int
    shape: tuple[int, ...]
    element_count: int
    byte_count: int
    stored: TensorProto | None
    is_sparse: bool = False


def weights_of(model: Model) -> Iterator[Weight]:
    """Every stored tensor of the graph, its subgraphs and the function bodies; training graphs are left out."""
    for scope in walk_scopes(model.proto):
        yield from weights_of_scope(scope)


def weights_of_scope(scope: Scope) -> Iterator[Weight]:
    """The stored tensors of this very scope."""
    body, path = scope.body, scope.path
    if isinstance(body, GraphProto):
        for tensor in body.initializer:
            yield _dense(path, tensor.name, "initializer", tensor)
        for sparse in body.sparse_initializer:
            yield _sparse(path, sparse.values.name, "sparse_initializer", sparse)
    for node, attribute in scope.held:
        if node.op_type == "Constant" and node.domain in DEFAULT_DOMAINS and not attribute.ref_attr_name:
            yield from _constant(path, node.output[0] if node.output else "", attribute)


def _constant(path: str, name: str, attribute: AttributeProto) -> Iterator[Weight]:
    if attribute.HasField("t"):
        yield _dense(path, name, "constant", attribute.t)
    elif attribute.HasField("sparse_tensor"):
        yield _sparse(path, name, "constant", attribute.sparse_tensor)
    elif attribute.type in _PLAIN:
        yield _plain(path, name, attribute.type, attribute)


def _dense(path: str, name: str, source: str, tensor: TensorProto) -> Weight:
    data_type, shape = tensor.data_type, tuple(tensor.dims)
    count = math.prod(shape)
    return Weight(path, name, source, data_type, shape, count, _byte_count(tensor, data_type, count), tensor)


def _sparse(path: str, name: str, source: str, sparse: SparseTensorProto) -> Weight:
    values, indices = sparse.values, sparse.indices
    count = math.prod(values.dims)
    byte_count = _byte_count(values, values.data_type, count)
    byte_count += _byte_count(indices, indices.data_type, math.prod(indices.dims))
    return Weight(path, name, source, values.data_type, tuple(sparse.dims), count, byte_count, values, True)


def _plain(path: str, name: str, kind: AttributeProto.AttributeType, attribute: AttributeProto) -> Weight:
    """A Constant whose value is a plain attribute: value_int, value_floats, value_strings, ..."""
    data_type, value = _PLAIN[kind], getattr(attribute, VALUE_FIELDS[kind])
    single = kind in _SINGLE
    items = [value] if single else list(value)
    size = sum(map(len, items)) if data_type == STRING else raw_byte_count(len(items), DTYPES[data_type].bits)
    return Weight(path, name, "constant", data_type, () if single else (len(items),), len(items), size, None)


def _byte_count(tensor: TensorProto, data_type: int, count: int) -> int:
    if data_type == STRING:
        return sum(map(len, tensor.string_data))
    known = DTYPES.get(data_type)
    return raw_byte_count(count, known.bits) if known else 0


# ---------------------------------------------------------------- as reports


def weight_info(model: Model, weight: Weight) -> WeightInfo:
    """The tensor as a report shows it; its storage is "inline" or the external data file's location."""
    from onnxctl.reports import WeightInfo

    payload = None if weight.stored is None else model.payload(weight.stored)
    return WeightInfo(
        scope=weight.scope,
        name=as_text(weight.name),
        source=weight.source,
        dtype=dtype_name(weight.data_type),
        shape=weight.shape,
        element_count=weight.element_count,
        byte_count=weight.byte_count,
        storage=as_text(payload.file.location) if payload is not None and payload.file.location else "inline",
    )


def count_parameters(weights: Iterable[Weight]) -> tuple[DtypeParameters, ...]:
    """What the weights add up to by dtype, the dtype with the most bytes first."""
    from onnxctl.reports import DtypeParameters

    by_type: dict[int, list[Weight]] = {}
    for weight in weights:
        by_type.setdefault(weight.data_type, []).append(weight)
    rows = [
        DtypeParameters(
            dtype=dtype_name(data_type),
            tensor_count=len(each),
            element_count=sum(weight.element_count for weight in each),
            byte_count=sum(weight.byte_count for weight in each),
        )
        for data_type, each in by_type.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.byte_count, row.dtype)))


def place_of(model: Model, weight: Weight) -> object:
    """What tells where the bytes lie and how they are understood; a tensor that is not on disk stands alone."""
    payload = None if weight.stored is None else model.payload(weight.stored)
    if payload is None:
        return id(weight)
    return id(payload.file), payload.offset, payload.length, payload.field, weight.data_type, weight.shape
