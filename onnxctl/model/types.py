"""Types as the model states them and as inference finds them."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import FunctionProto, GraphProto, TensorShapeProto, TypeProto

from onnxctl.model.names import as_text

Shape = tuple[int | str | None, ...]
"""Sizes, symbols, None where unknown."""


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


def has_shape(kind: TypeProto) -> bool:
    """Whether the type says all it can say of a shape: at least the rank, where it is a tensor's."""
    return not kind.HasField("tensor_type") or kind.tensor_type.HasField("shape")


_UNKNOWN_SYMBOL = "unk__"
"""How shape inference names the sizes that it does not know."""


def sharper(stated: TypeProto, inferred: TypeProto | None) -> TypeProto:
    """The stated type with what inference knows: sizes, and symbols of the model's inputs, which say more.

    Where they contradict each other inference is right: it starts from the inputs.
    """
    if inferred is None or not stated.HasField("tensor_type") or not inferred.HasField("tensor_type"):
        return stated
    mine, theirs = stated.tensor_type.shape.dim, inferred.tensor_type.shape.dim
    if not inferred.tensor_type.HasField("shape"):
        return stated
    if len(mine) != len(theirs):
        return inferred
    better = [
        known.HasField("dim_value")
        or (known.HasField("dim_param") and not known.dim_param.startswith(_UNKNOWN_SYMBOL))
        or (known.HasField("dim_param") and not dim.WhichOneof("value"))
        for dim, known in zip(mine, theirs, strict=True)
    ]
    if not any(better):
        return stated
    merged = TypeProto()
    merged.CopyFrom(stated)
    for dim, known, is_better in zip(merged.tensor_type.shape.dim, theirs, better, strict=True):
        if is_better:
            dim.CopyFrom(known)
    return merged


@dataclass(frozen=True, slots=True)
class KnownType:
    """A type and its tensor shape, None where there is no type, or the type tells no shape."""

    inferred: TypeProto | None
    kind: TypeProto | None
    shape: Shape | None


class ScopeTypes:
    """The types of a scope's values: what the scope states, with what inference knows. Worked out once for each."""

    def __init__(self, proto: GraphProto | FunctionProto) -> None:
        self._proto = proto
        self._stated: dict[str, TypeProto] | None = None
        self._known: dict[str, KnownType] = {}

    def find(self, name: str, inferred: TypeProto | None) -> KnownType:
        """What is known of the value of this name, for which inference found this."""
        known = self._known.get(name)
        if known is None or known.inferred is not inferred:
            known = self._known[name] = self._work_out(name, inferred)
        return known

    def _work_out(self, name: str, inferred: TypeProto | None) -> KnownType:
        if self._stated is None:
            values = list(self._proto.value_info)
            if isinstance(self._proto, GraphProto):
                values += [*self._proto.output, *self._proto.input]
            self._stated = {value.name: value.type for value in values if value.HasField("type")}
        stated = self._stated.get(name)
        if stated is None or (inferred is not None and not has_shape(stated)):
            kind = inferred
        else:
            kind = sharper(stated, inferred)
        shape = None
        if kind is not None and kind.HasField("tensor_type") and kind.tensor_type.HasField("shape"):
            shape = tuple(dimension(dim) for dim in kind.tensor_type.shape.dim)
        return KnownType(inferred, kind, shape)
