"""Element types that an operator does not take, or that it wants to be one and are not: every node that has some.

onnx's own inference tells only the first. Types are those that propagation follows; what has none is taken on trust, as
is what a function is called with in different ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import onnx.defs
from onnx import NodeProto, TensorProto

from onnxctl.analysis.operator_table import ONNX_DOMAINS
from onnxctl.analysis.problems import Problem
from onnxctl.model.names import as_text
from onnxctl.model.nodes import plain_domain
from onnxctl.model.tensors import DTYPES, dtype_name

if TYPE_CHECKING:
    from onnx.defs import OpSchema

    from onnxctl.model.graph import Graph, ModelGraphs
    from onnxctl.model.propagation import Propagation, ScopeFacts


def find_wrong_types(graphs: ModelGraphs, found: Propagation) -> Iterator[Problem]:
    """The first input of every node, wherever it is, whose element type can't be; found is what propagation found."""
    for scope in graphs.scopes():
        facts = found.of(scope)
        for node in scope.nodes if facts is not None else ():
            assert facts is not None
            message = _wrong_type(scope, facts, node)
            if message:
                yield Problem("type-error", message, as_text(scope.node_label(node)), field="input")


def _wrong_type(scope: Graph, facts: ScopeFacts, node: NodeProto) -> str:
    domain = plain_domain(node.domain)
    schema = _schema(domain, node.op_type, scope.opset(domain)) if domain in ("", *ONNX_DOMAINS) else None
    if schema is None or not schema.inputs:
        return ""
    first: dict[str, tuple[str, int]] = {}
    for index, name in enumerate(node.input):
        formal = schema.inputs[min(index, len(schema.inputs) - 1)]
        fact = facts.fact(name)
        if not name or fact.kind != "tensor" or fact.dtype not in DTYPES or fact.dtype == TensorProto.UNDEFINED:
            continue
        shown = f"input {index} {as_text(name)!r} is {dtype_name(fact.dtype)}"
        allowed = _allowed_types(schema, formal.type_str)
        if fact.dtype not in allowed:
            return f"{shown}, but {as_text(node.op_type)} takes {_in_words(allowed)} there"
        other, dtype = first.setdefault(formal.type_str, (name, fact.dtype))
        if formal.is_homogeneous and dtype != fact.dtype:
            return f"{shown}, but {as_text(other)!r} is {dtype_name(dtype)}: {as_text(node.op_type)} takes one type"
    return ""


@cache
def _schema(domain: str, op_type: str, version: int) -> OpSchema | None:
    try:
        return onnx.defs.get_schema(op_type, version, domain)
    except (onnx.defs.SchemaError, TypeError, UnicodeEncodeError, OverflowError):
        return None


def _allowed_types(schema: OpSchema, type_str: str) -> frozenset[int]:
    """The element types of tensors that the formal parameter takes, by TensorProto.DataType's numbers."""
    return _numbers((*_constraint(schema, type_str),))


def _constraint(schema: OpSchema, type_str: str) -> Sequence[str]:
    for each in schema.type_constraints:
        if each.type_param_str == type_str:
            return each.allowed_type_strs
    return (type_str,)


@cache
def _numbers(types: tuple[str, ...]) -> frozenset[int]:
    tensors = {f"tensor({name.lower()})": number for name, number in TensorProto.DataType.items()}
    return frozenset(tensors[each] for each in types if each in tensors)


_NAMED = 4


def _in_words(types: frozenset[int]) -> str:
    names = [dtype_name(number) for number in sorted(types)]
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} other types"
    return " or ".join(names) or "no tensor"
