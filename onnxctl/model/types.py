"""Types as the model states them and as they are worked out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from onnx import FunctionProto, GraphProto, TensorShapeProto, TypeProto

from onnxctl.errors import UsageError, did_you_mean
from onnxctl.model.names import as_text

Shape = tuple[int | str | None, ...]
"""Sizes, symbols, None where unknown."""

_MOST_NAMED = 12


def dimension(dim: TensorShapeProto.Dimension) -> int | str | None:
    """A size, a symbol's name, or None where nothing is said (or -1, as old exporters do)."""
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return str(dim.dim_param) if dim.dim_param else None


def unnamed_dimensions(graph: GraphProto) -> dict[str, TensorShapeProto.Dimension]:
    """The inputs' dimensions that have neither size nor symbol, as reports and --dim call them: "x.0" is x's first."""
    return {
        f"{as_text(value.name)}.{axis}": dim
        for value in graph.input
        for axis, dim in enumerate(value.type.tensor_type.shape.dim)
        if not dim.dim_param and not dim.HasField("dim_value")
    }


def unknown_dimension(name: str, known: Sequence[str]) -> UsageError:
    """The error for a size given to a dimension that there is not; its hint names those there are."""
    hint = "all its dimensions are fixed"
    if known:
        more = f", … {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
        hint = f"{did_you_mean(name, known)}it has: {', '.join(known[:_MOST_NAMED])}{more}"
    return UsageError(f"the model has no symbolic dimension {name!r}", hint=hint)


def innermost_tensor(kind: TypeProto) -> TypeProto.Tensor | TypeProto.SparseTensor | None:
    """The tensor type that a sequence, optional or map consists of in the end; the type itself where it is one."""
    match kind.WhichOneof("value"):
        case "tensor_type":
            return kind.tensor_type
        case "sparse_tensor_type":
            return kind.sparse_tensor_type
        case "sequence_type":
            return innermost_tensor(kind.sequence_type.elem_type)
        case "optional_type":
            return innermost_tensor(kind.optional_type.elem_type)
        case "map_type":
            return innermost_tensor(kind.map_type.value_type)
    return None


class TensorType(NamedTuple):
    """A tensor's TensorProto.DataType number and shape; None where unknown."""

    element_type: int | None
    shape: Shape | None


class StatedTypes:
    """The types that a scope states for its values, read once and only when asked for."""

    def __init__(self, proto: GraphProto | FunctionProto) -> None:
        self._proto = proto
        self._types: dict[str, TypeProto] | None = None
        self._tensors: dict[str, TensorType | None] = {}

    def find(self, name: str) -> TypeProto | None:
        """The type stated for the value of this name."""
        if self._types is None:
            values = [*self._proto.value_info]
            if isinstance(self._proto, GraphProto):
                values += [*self._proto.output, *self._proto.input]
            self._types = {value.name: value.type for value in values if value.HasField("type")}
        return self._types.get(name)

    def tensor(self, name: str) -> TensorType | None:
        """The same as a tensor's type; None where it is no tensor's."""
        if name not in self._tensors:
            kind = self.find(name)
            self._tensors[name] = None if kind is None or not kind.HasField("tensor_type") else _tensor_type(kind)
        return self._tensors[name]


def _tensor_type(kind: TypeProto) -> TensorType:
    held = kind.tensor_type
    return TensorType(held.elem_type or None, tuple(map(dimension, held.shape.dim)) if held.HasField("shape") else None)
