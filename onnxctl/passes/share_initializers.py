"""Share initializers of equal content: readers of a second copy read the first, and the copy goes.

Equal means element type, shape and every byte (so that 0.0 and -0.0, or two kinds of NaN, differ). Tensors are
grouped by type, shape and size first, then by a few bytes sampled on disk, and only what is still together is read
whole, in chunks, for a cryptographic digest: a model without copies costs a few small reads for each weight. An
initializer of an inner scope is shared with one of an outer scope. Left alone: initializers that are graph inputs (a
caller may override them) or outputs, and those that annotations refer to.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from onnx import TensorProto

from onnxctl.model.graph import Graph
from onnxctl.model.tensors import Tensor
from onnxctl.passes.base import Context, is_shadowed

_Owned = tuple[Graph, Tensor]


def share_initializers(graph: Graph, context: Context) -> int:
    """Share what this scope and those inside it hold twice (from the outermost only); returns how many copies went."""
    if graph.parent is not None:
        return 0
    owned = [
        (scope, context.model.tensor(proto))
        for scope in graph.walk()
        for name, proto in scope.initializers.items()
        if not (scope.is_input(name) or scope.is_output(name) or name in context.pinned)
    ]
    found = 0
    for alike in _split(owned, _looks):
        for sampled in _split(alike, _sample):
            for equal in _split(sampled, _content):
                found += _share(equal)
    return found


def _split(owned: Iterable[_Owned], key: Callable[[Tensor], Hashable]) -> list[list[_Owned]]:
    """The groups of tensors with equal keys that have more than one member."""
    groups: dict[Hashable, list[_Owned]] = {}
    for scope, tensor in owned:
        groups.setdefault(key(tensor), []).append((scope, tensor))
    return [group for group in groups.values() if len(group) > 1]


def _looks(tensor: Tensor) -> Hashable:
    payload = tensor.payload
    stored = (payload.field, payload.length) if payload is not None else None
    return tensor.proto.data_type, tensor.shape, stored


def _sample(tensor: Tensor) -> Hashable:
    return b"" if tensor.payload is None else tensor.payload.sample()


def _content(tensor: Tensor) -> Hashable:
    return _inline_content(tensor) if tensor.payload is None else tensor.payload.digest()


def _inline_content(tensor: Tensor) -> Hashable:
    if tensor.proto.data_type == TensorProto.STRING:
        return tuple(tensor.proto.string_data)
    if len(tensor.proto.raw_data):
        return bytes(tensor.proto.raw_data)
    array = tensor.numpy()
    return array.tobytes() if tensor.dtype.bits >= 8 else array.astype("u1").tobytes()


def _share(equal: list[_Owned]) -> int:
    """Let readers of each tensor read the first one that its scope can see, outermost scopes first."""
    found = 0
    kept: list[_Owned] = []
    for scope, tensor in equal:
        for first_scope, first in kept:
            if scope.scope_of(first.name) is first_scope and not is_shadowed(scope, tensor.name, first.name):
                scope.replace_uses(tensor.name, first.name)
                scope.remove_initializer(tensor.name)
                found += 1
                break
        else:
            kept.append((scope, tensor))
    return found
