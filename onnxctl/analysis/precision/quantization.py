"""How nodes come to compute on quantized numbers: in operators of their own, between quantizers, or weights only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from onnx import NodeProto

from onnxctl.analysis.precision.quantized_weights import factors, is_packed, is_quantized_operator, packed_bits
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.model.propagation import ScopeFacts
from onnxctl.model.tensors import dtype_name

Scheme = Literal["none", "QDQ", "QOperator", "weights"]


class Arithmetic(NamedTuple):
    """The type a node computes in, and how it comes to be quantized."""

    type: str
    scheme: Scheme


_NARROW = ("int8", "uint8", "int4", "uint4", "int16", "uint16", "int2", "uint2", "float8", "float4")

_VIEWS = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
"""Between a DequantizeLinear and the node that multiplies, as exporters leave them there."""


def arithmetic_of(scope: Graph, node: NodeProto, facts: ScopeFacts | None) -> Arithmetic:
    """The type of the node's multiply-accumulates."""
    own = [_dtype(facts, name) for name in node.input if name]
    widest = next((name for name in own if name.startswith(("float", "bfloat", "complex"))), own[0] if own else "")
    if is_packed(node):
        return Arithmetic(f"{widest}, {packed_bits(node)}-bit weights", "weights")
    if is_quantized_operator(node):
        multiplied = [_dtype(facts, node.input[at]) for at in factors(node) if at < len(node.input) and node.input[at]]
        return Arithmetic(_pair(each for each in multiplied if each.startswith(_NARROW)) or widest, "QOperator")
    sources = [_dequantizer(scope, name) for name in node.input[:2]]
    if sources and all(sources):
        return Arithmetic(_pair(_source_type(each, facts) for each in sources), "QDQ")
    weights = [each for each in sources if each is not None and _is_constant(scope, each)]
    if weights:
        return Arithmetic(f"{widest}, {_source_type(weights[0], facts)} weights", "weights")
    return Arithmetic(widest or "unknown", "none")


def _dtype(facts: ScopeFacts | None, name: str) -> str:
    number = facts.element_type(name) if facts is not None else None
    return dtype_name(number) if number else "unknown"


def _pair(types: Iterable[str]) -> str:
    """What is multiplied with what: "int8", or "int8 x int4"."""
    return " x ".join(dict.fromkeys(types))


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
