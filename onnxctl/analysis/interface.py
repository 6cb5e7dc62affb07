"""What a model promises to whoever calls it, and in which of it two models differ."""

from __future__ import annotations

from typing import NamedTuple

from onnx import ModelProto

from onnxctl.analysis.scopes import walk_scopes
from onnxctl.model.loading import Model
from onnxctl.model.nodes import DEFAULT_DOMAINS


class Interface(NamedTuple):
    """Everything of a model that no optimization may change, and the domains beside ai.onnx that its operators are of.

    Messages are kept as their bytes: whatever fields they have, known to us or not, count.
    """

    inputs: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    overridable_inputs: tuple[str, ...]
    metadata: bytes
    domains: frozenset[str]


_WORDS = {
    "inputs": "inputs",
    "outputs": "outputs",
    "overridable_inputs": "inputs that have a default",
    "metadata": "metadata, opset imports or descriptions",
}


def describe_interface(model: Model) -> Interface:
    """The interface of a model; its indices must have been committed."""
    proto = model.proto
    rest = ModelProto()
    rest.CopyFrom(proto)
    rest.ClearField("functions")
    for field in ("node", "initializer", "sparse_initializer", "value_info", "input", "output"):
        rest.graph.ClearField(field)
    input_names = {value.name for value in proto.graph.input}
    return Interface(
        inputs=tuple(value.SerializeToString(deterministic=True) for value in proto.graph.input),
        outputs=tuple(value.SerializeToString(deterministic=True) for value in proto.graph.output),
        overridable_inputs=tuple(sorted(each.name for each in proto.graph.initializer if each.name in input_names)),
        metadata=rest.SerializeToString(deterministic=True),
        domains=frozenset(
            node.domain
            for scope in walk_scopes(proto)
            for node in scope.body.node
            if node.domain not in DEFAULT_DOMAINS
        ),
    )


def interface_change(before: Interface, after: Interface) -> str:
    """How the second breaks the promises of the first, in words; "" where it keeps them."""
    for field in Interface._fields:
        old, new = getattr(before, field), getattr(after, field)
        if field == "domains":
            added = sorted(new - old)
            if added:
                return f"the result has operators of {', '.join(added)}, which the original has not"
        elif old != new:
            return f"the result has other {_WORDS[field]} than the original"
    return ""
