"""What is known of one value: its kind, element type, symbolic shape and, if small, its symbolic contents.

Contents are flat and row-major. An element is an int or bool, a float (already rounded to its type), an `Expression`,
a `Ratio` (a float that is a quotient of symbolic integers), or None where it is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import onnx
from onnx import SparseTensorProto, TensorProto, TypeProto

from onnxctl.errors import ModelError
from onnxctl.model.dimensions import Dimension, is_known, sole_symbol, symbols
from onnxctl.model.loading import Model
from onnxctl.model.tensors import DTYPES, dtype_name

MAXIMUM_RANK = 64
"""Shapes of more dimensions count as unknown: numpy and the runtimes go no further."""
MAXIMUM_ELEMENTS = 1024
"""Integer and bool tensors of more elements carry no shapes: their contents are not followed."""
MAXIMUM_FLOAT_ELEMENTS = 64
"""The same for floats: scales of Resize and the like are short."""
MAXIMUM_NAME = 200
"""Longer symbol names are taken for unnamed dimensions."""

INTEGER_TYPES = frozenset(
    {
        TensorProto.INT8,
        TensorProto.INT16,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.UINT8,
        TensorProto.UINT16,
        TensorProto.UINT32,
        TensorProto.UINT64,
    }
)
FLOAT_TYPES = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16})
_FOLLOWED = INTEGER_TYPES | FLOAT_TYPES | {TensorProto.BOOL}

Shape = tuple[Dimension, ...]
Kind = Literal["tensor", "sparse_tensor", "sequence", "optional", "map", "unknown", "absent"]


class Ratio(NamedTuple):
    """The float numerator / denominator, exact: taken to be one as long as sizes stay below 2**24."""

    numerator: Dimension
    denominator: Dimension


Element = Dimension | float | Ratio | None
Values = tuple[Element, ...]


class Fact(NamedTuple):
    """What is known of a value; dtype is TensorProto.DataType's number, None (or a shape of None) is unknown.

    values are the contents, row-major, only where shape is all numbers. element is the type of what a sequence or an
    optional holds, length how many a sequence does.
    """

    kind: Kind = "tensor"
    dtype: int | None = None
    shape: Shape | None = None
    values: Values | None = None
    element: Fact | None = None
    length: Dimension | None = None


UNKNOWN = Fact("unknown")
ABSENT = Fact("absent")
"""The optional input that a function was called without."""


def tensor(
    dtype: int | None, shape: Sequence[Dimension] | None = None, values: Sequence[Element] | None = None
) -> Fact:
    """A tensor's fact, kept within bounds: too high a rank or too many elements count as unknown.

    Raises ValueError for a negative size.
    """
    if shape is None:
        return Fact("tensor", dtype)
    shape = tuple(int(size) if isinstance(size, bool) else size for size in shape)
    for size in shape:
        if isinstance(size, int) and size < 0:
            raise ValueError(f"a dimension of {size}")
    if len(shape) > MAXIMUM_RANK:
        return Fact("tensor", dtype)
    if values is not None:
        limit = MAXIMUM_FLOAT_ELEMENTS if dtype in FLOAT_TYPES else MAXIMUM_ELEMENTS
        if len(values) > limit or all(each is None for each in values):
            values = None if len(values) else ()
        elif math.prod(each if isinstance(each, int) else -1 for each in shape) != len(values):
            values = None
    return Fact("tensor", dtype, shape, None if values is None else tuple(values))


def static_shape(shape: Shape | None) -> tuple[int, ...] | None:
    """The shape as plain ints, where all of it is known."""
    if shape is None or not all(isinstance(each, int) for each in shape):
        return None
    return shape  # type: ignore[return-value]


# ---------------------------------------------------------------- joining and sharpening

Fresh = Callable[[int], Dimension]
"""An unknown symbol for the axis given."""


def byte_count(fact: Fact) -> Dimension | None:
    """The bytes of a tensor, elements of less than a byte packed; None where shape or type is unknown, or strings."""
    dtype = DTYPES.get(fact.dtype or 0)
    if fact.shape is None or dtype is None or not dtype.bits:
        return None
    whole = dtype.bits % 8 == 0
    size: Dimension = dtype.bits // 8 if whole else dtype.bits
    for dimension in fact.shape:
        size = size * dimension
    return size if whole else (size + 7) // 8


def join(first: Fact, second: Fact, fresh: Fresh) -> Fact:
    """What holds whichever of the two it is; dimensions that differ become fresh symbols."""
    if first == second:
        return first
    if first.kind != second.kind:
        return UNKNOWN
    dtype = first.dtype if first.dtype == second.dtype else None
    element = join(first.element, second.element, fresh) if first.element and second.element else None
    shape = _join_shapes(first.shape, second.shape, fresh)
    values: Values | None = None
    if first.values is not None and second.values is not None and static_shape(shape) is not None:
        values = tuple(one if one == other else None for one, other in zip(first.values, second.values, strict=True))
    if values is not None and all(each is None for each in values):
        values = None
    return Fact(first.kind, dtype, shape, values, element, first.length if first.length == second.length else None)


def _join_shapes(first: Shape | None, second: Shape | None, fresh: Fresh) -> Shape | None:
    if first is None or second is None or len(first) != len(second):
        return None
    return tuple(
        one if one == other else fresh(axis) for axis, (one, other) in enumerate(zip(first, second, strict=True))
    )


def sharpen(computed: Fact, stated: Fact, conflict: Callable[[str], None]) -> Fact:
    """The better of what we computed and what the model states, dimension by dimension.

    What we computed from the model's own symbols and numbers is provable and wins; contradictions are told.
    """
    if computed.kind == "unknown" or stated.kind == "unknown":
        return stated if computed.kind == "unknown" else computed
    if computed.kind != stated.kind:
        conflict(f"computed {computed.kind}, stated {stated.kind}")
        return computed
    dtype = computed.dtype if computed.dtype is not None else stated.dtype
    if stated.dtype is not None and dtype != stated.dtype:
        conflict(f"computed {dtype_name(dtype or 0)}, stated {dtype_name(stated.dtype)}")
    element = computed.element or stated.element
    if computed.element is not None and stated.element is not None:
        element = sharpen(computed.element, stated.element, conflict)
    shape = computed.shape
    if shape is None:
        shape = stated.shape
    elif stated.shape is not None and len(shape) != len(stated.shape):
        conflict(f"computed rank {len(shape)}, stated {len(stated.shape)}")
    elif stated.shape is not None and shape != stated.shape:
        shape = tuple(_sharper(one, other, conflict) for one, other in zip(shape, stated.shape, strict=True))
    if dtype == computed.dtype and element == computed.element and shape == computed.shape:
        return computed
    return Fact(computed.kind, dtype, shape, computed.values, element, computed.length)


def _sharper(computed: Dimension, stated: Dimension, conflict: Callable[[str], None]) -> Dimension:
    if computed == stated or isinstance(computed, int) or is_known(computed):
        if isinstance(stated, int) and computed != stated:
            conflict(f"computed {computed}, stated {stated}")
        return computed
    if isinstance(stated, int):
        return stated
    named = sole_symbol(stated)
    bare = sole_symbol(computed)
    return stated if named is not None and (not named.unknown or (bare is not None and bare.unknown)) else computed


# ---------------------------------------------------------------- from protobuf


def fact_of_type(kind: TypeProto, dims: Callable[[int, str], Dimension], depth: int = 0) -> Fact:
    """The fact a TypeProto states; dims gives the dimension for an axis and its dim_param ("" where unnamed)."""
    which = kind.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        held = kind.tensor_type if which == "tensor_type" else kind.sparse_tensor_type
        name: Kind = "tensor" if which == "tensor_type" else "sparse_tensor"
        dtype = held.elem_type or None
        if not held.HasField("shape") or len(held.shape.dim) > MAXIMUM_RANK:
            return Fact(name, dtype)
        return Fact(name, dtype, tuple(_dimension(axis, dim, dims) for axis, dim in enumerate(held.shape.dim)))
    if which in ("sequence_type", "optional_type") and depth < 8:
        inner = kind.sequence_type.elem_type if which == "sequence_type" else kind.optional_type.elem_type
        element = fact_of_type(inner, dims, depth + 1)
        return Fact("sequence" if which == "sequence_type" else "optional", element=element)
    return Fact("map") if which == "map_type" else UNKNOWN


def _dimension(axis: int, dim: onnx.TensorShapeProto.Dimension, dims: Callable[[int, str], Dimension]) -> Dimension:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else dims(axis, "")
    name = str(dim.dim_param)
    return dims(axis, name if len(name) <= MAXIMUM_NAME else "")


def fact_of_tensor(model: Model, proto: TensorProto) -> Fact:
    """The fact of a constant, with its contents where it is small and they lie in the message itself."""
    dtype, shape = proto.data_type or None, tuple(proto.dims)
    if len(shape) > MAXIMUM_RANK or any(size < 0 for size in shape):
        return Fact("tensor", dtype)
    count = math.prod(shape)
    limit = MAXIMUM_FLOAT_ELEMENTS if dtype in FLOAT_TYPES else MAXIMUM_ELEMENTS
    if count > limit or dtype not in _FOLLOWED:
        return Fact("tensor", dtype, shape)
    try:
        values = tuple(model.tensor(proto).numpy().reshape(-1).tolist())
    except (ModelError, ValueError, TypeError):
        return Fact("tensor", dtype, shape)
    return Fact("tensor", dtype, shape, values)


def fact_of_sparse(proto: SparseTensorProto) -> Fact:
    """The fact of a sparse constant, as the dense tensor it stands for."""
    return tensor(proto.values.data_type or None, tuple(proto.dims))


def rename_symbols(fact: Fact, is_local: Callable[[str], bool], fresh: Fresh) -> Fact:
    """The fact without local symbols: dimensions that hold one become fresh, contents that do unknown."""

    def is_free(item: Element) -> bool:
        if isinstance(item, Ratio):
            return is_free(item.numerator) and is_free(item.denominator)
        return item is None or isinstance(item, int | float) or not any(is_local(s.name) for s in symbols(item))

    if fact.element is not None:
        fact = fact._replace(element=rename_symbols(fact.element, is_local, fresh))
    if not is_free(fact.length):
        fact = fact._replace(length=None)
    if fact.shape is not None and not all(map(is_free, fact.shape)):
        fact = fact._replace(
            shape=tuple(each if is_free(each) else fresh(axis) for axis, each in enumerate(fact.shape))
        )
    if fact.values is not None and not all(map(is_free, fact.values)):
        fact = fact._replace(values=tuple(each if is_free(each) else None for each in fact.values))
    return fact
