"""Names as text, whether or not they are UTF-8, and how reports name a node."""

from __future__ import annotations

from onnx import NodeProto


def as_text(value: str | bytes) -> str:
    """A string field as str: protobuf gives bytes where it is not UTF-8; those become lone surrogates, reversibly."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def node_label(path: str, node: NodeProto) -> str:
    """How reports name a node: its name, or its operator and first output, with the scope before it."""
    own = own_label(node)
    return f"{path}/{own}" if path else own


def own_label(node: NodeProto) -> str:
    """How reports name the node within its scope."""
    own = as_text(node.name)
    return own or f"{as_text(node.op_type)}({as_text(next((name for name in node.output if name), ''))})"
