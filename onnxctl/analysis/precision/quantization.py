"""How nodes come to compute on quantized numbers: in operators of their own, between quantizers, or weights only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from onnx import NodeProto, TensorProto

from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.model.propagation import ScopeFacts
from onnxctl.model.tensors import DTYPES, dtype_name

Scheme = Literal["none", "QDQ", "QOperator", "weights"]


class Arithmetic(NamedTuple):
    """The type a node computes in, and how it comes to be quantized."""

    type: str
    scheme: Scheme


_VIEWS = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
"""Between a DequantizeLinear and the node that multiplies, as exporters leave them there."""

_BITS_DEFAULT = 4
_NOT_QUANTIZED = frozenset({TensorProto.BOOL, TensorProto.STRING, TensorProto.UNDEFINED})


def arithmetic_of(scope: Graph, node: NodeProto, facts: ScopeFacts | None) -> Arithmetic:
    """The type of the node's multiply-accumulates."""
    own = [_dtype(facts, name) for name in node.input if name]
    widest = next((name for name in own if name.startswith(("float", "bfloat", "complex"))), own[0] if own else "")
    if _has_packed_weights(node):
        bits = int(attribute(node, "bits", _BITS_DEFAULT) or _BITS_DEFAULT)
        return Arithmetic(f"{widest}, {bits}-bit weights", "weights")
    if _is_quantized_operator(node):
        narrow = (name for name in own if name.startswith(("int8", "uint8", "int4", "uint4", "float8")))
        return Arithmetic(next(narrow, widest), "QOperator")
    sources = [_dequantizer(scope, name) for name in node.input[:2]]
    if sources and all(sources):
        return Arithmetic(_source_type(sources[0], facts), "QDQ")
    weights = [each for each in sources if each is not None and _is_constant(scope, each)]
    if weights:
        return Arithmetic(f"{widest}, {_source_type(weights[0], facts)} weights", "weights")
    return Arithmetic(widest or "unknown", "none")


def _dtype(facts: ScopeFacts | None, name: str) -> str:
    number = facts.element_type(name) if facts is not None else None
    return dtype_name(number) if number else "unknown"


def _has_packed_weights(node: NodeProto) -> bool:
    """Operators of onnxruntime that unpack weights of a few bits while they multiply."""
    return node.domain == "com.microsoft" and node.op_type in ("MatMulNBits", "MatMulBnb4", "QMoE", "MatMulFpQ4")


def _is_quantized_operator(node: NodeProto) -> bool:
    name = node.op_type
    return name.startswith(("QLinear", "QGemm", "QAttention", "DynamicQuantize")) or "Integer" in name


def _dequantizer(scope: Graph, name: str) -> NodeProto | None:
    """The DequantizeLinear that makes the value, views between left out."""
    for _ in range(4):
        owner = scope.scope_of(name)
        node = owner.producer(name) if owner is not None else None
        if node is None:
            return None
        if node.op_type == "DequantizeLinear":
            return node
        if not is_standard(node, *_VIEWS):
            return None
        name = node.input[0]
    return None


def _is_constant(scope: Graph, dequantizer: NodeProto) -> bool:
    return scope.constant(dequantizer.input[0]) is not None


def _source_type(dequantizer: NodeProto | None, facts: ScopeFacts | None) -> str:
    return _dtype(facts, dequantizer.input[0]) if dequantizer is not None else "unknown"


# ---------------------------------------------------------------- weights


def quantized_weights(graphs: ModelGraphs) -> frozenset[tuple[str, str]]:
    """The stored tensors, by scope and name, of at most 8 bits that a quantized operator or a dequantizer reads."""
    return frozenset(_quantized(graphs))


def _quantized(graphs: ModelGraphs) -> Iterator[tuple[str, str]]:
    for scope in graphs.scopes():
        for node in scope.nodes:
            reads_quantized = "uantize" in node.op_type or _is_quantized_operator(node) or _has_packed_weights(node)
            for name in node.input if reads_quantized else ():
                owner = scope.scope_of(name)
                tensor = scope.constant(name)
                if owner is None or tensor is None:
                    continue
                dtype = DTYPES.get(tensor.proto.data_type)
                if dtype is not None and 0 < dtype.bits <= 8 and dtype.number not in _NOT_QUANTIZED:
                    yield owner.path, name


def unpacked_counts(graphs: ModelGraphs) -> dict[tuple[str, str], int]:
    """How many weights the tensors hold that pack several into a byte, by scope and name: K times N of a MatMul.

    Source: MatMulNBits and MatMulBnb4 in https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
    """
    found: dict[tuple[str, str], int] = {}
    for scope in graphs.scopes():
        for node in scope.nodes:
            if node.domain == "com.microsoft" and node.op_type in ("MatMulNBits", "MatMulBnb4") and len(node.input) > 1:
                depth, width = attribute(node, "K", 0), attribute(node, "N", 0)
                owner = scope.scope_of(node.input[1])
                if owner is not None and isinstance(depth, int) and isinstance(width, int) and depth * width > 0:
                    found[owner.path, node.input[1]] = depth * width
    return found
