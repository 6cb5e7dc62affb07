"""Types in words: a TypeProto as the TensorSpec of reports, with sizes put in for symbols where they were given.

"float32[batch, ?, 3]" has a symbol, an unknown dimension and a size; "float32[]" is a scalar, "float32[...]" has an
unknown rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from onnx import GraphProto, TensorShapeProto, TypeProto, ValueInfoProto

from onnxctl.errors import UsageError
from onnxctl.model.names import as_text
from onnxctl.model.tensors import dtype_name
from onnxctl.model.types import innermost_tensor, unknown_dimension, unnamed_dimensions
from onnxctl.reports import Dim, TensorSpec

Dims = Mapping[str, int]
"""Sizes for symbolic dimensions, by symbol."""


class _Described(NamedTuple):
    kind: str
    words: str
    dtype: str | None
    shape: tuple[Dim, ...] | None


def tensor_spec(value: ValueInfoProto, dims: Dims, *, has_default: bool = False) -> TensorSpec:
    """A graph input or output as a report shows it."""
    described = _describe(value.type, dims)
    return TensorSpec(
        name=as_text(value.name),
        kind=described.kind,
        type=described.words,
        dtype=described.dtype,
        shape=described.shape,
        has_default=has_default,
    )


def type_in_words(kind: TypeProto) -> str:
    """The type as reports write it: "float32[batch, 3]", "seq(map(int64, float32))", or "unknown"."""
    return _describe(kind, {}).words


def _describe(kind: TypeProto, dims: Dims) -> _Described:
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return _describe_tensor("tensor", kind.tensor_type, dims)
    if which == "sparse_tensor_type":
        inner = _describe_tensor("sparse_tensor", kind.sparse_tensor_type, dims)
        return _Described(inner.kind, f"sparse({inner.words})", inner.dtype, inner.shape)
    if which == "sequence_type":
        inner = _describe(kind.sequence_type.elem_type, dims)
        return _Described("sequence", f"seq({inner.words})", inner.dtype, inner.shape)
    if which == "optional_type":
        inner = _describe(kind.optional_type.elem_type, dims)
        return _Described("optional", f"optional({inner.words})", inner.dtype, inner.shape)
    if which == "map_type":
        inner = _describe(kind.map_type.value_type, dims)
        value = inner.words.removesuffix("[...]")  # runtimes make maps of plain numbers and never say so
        words = f"map({dtype_name(kind.map_type.key_type)}, {value})"
        return _Described("map", words, inner.dtype, inner.shape)
    return _Described("unknown", "unknown", None, None)


def _describe_tensor(kind: str, tensor: TypeProto.Tensor | TypeProto.SparseTensor, dims: Dims) -> _Described:
    dtype = dtype_name(tensor.elem_type)
    if not tensor.HasField("shape"):
        return _Described(kind, f"{dtype}[...]", dtype, None)
    shape = tuple(_dim(dim, dims) for dim in tensor.shape.dim)
    words = ", ".join("?" if dim is None else str(dim) for dim in shape)
    return _Described(kind, f"{dtype}[{words}]", dtype, shape)


def _dim(dim: TensorShapeProto.Dimension, dims: Dims) -> Dim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    symbol = as_text(dim.dim_param)
    return dims.get(symbol, symbol) if symbol else None


# ---------------------------------------------------------------- symbols


def symbols(graph: GraphProto) -> list[str]:
    """The symbolic dimensions of the graph's inputs and outputs, each once, in order of appearance."""
    found = (dim for value in (*graph.input, *graph.output) for dim in dimensions(value.type))
    return list(dict.fromkeys(as_text(dim.dim_param) for dim in found if dim.dim_param))


def refuse_unknown_symbols(graph: GraphProto, dims: Dims) -> None:
    """Raises UsageError where a size is given for a symbol that no input or output has, or a size below 0."""
    known = [*symbols(graph), *unnamed_dimensions(graph)]
    for symbol, size in dims.items():
        if symbol not in known:
            raise unknown_dimension(symbol, known)
        if size < 0:
            raise UsageError(f"dimension {symbol!r} can't have the size {size}", hint="give a size of 0 or more")


def dimensions(kind: TypeProto) -> Iterator[TensorShapeProto.Dimension]:
    """The dimensions of the tensor in the type."""
    tensor = innermost_tensor(kind)
    if tensor is not None:
        yield from tensor.shape.dim


def element_types(kind: TypeProto) -> Iterator[int]:
    """The element type of the tensor in the type, and before it the key type of a map."""
    if kind.WhichOneof("value") == "map_type":
        yield kind.map_type.key_type
    tensor = innermost_tensor(kind)
    if tensor is not None:
        yield tensor.elem_type
