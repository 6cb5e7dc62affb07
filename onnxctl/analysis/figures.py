"""How large a model is, in a few numbers: nodes by operator, tensors, parameters and bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnx import GraphProto

from onnxctl.analysis.scopes import Scope, walk_scopes
from onnxctl.analysis.weights import weights_of_scope
from onnxctl.model.loading import Model
from onnxctl.model.names import as_text
from onnxctl.model.nodes import shown_domain
from onnxctl.reports import OperatorCount

if TYPE_CHECKING:
    from onnxctl.reports import ModelFigures

Operator = tuple[str, str, str]
"""Domain ("" for ai.onnx), op_type and overload."""


def figures_of(model: Model, file_bytes: int | None = None) -> ModelFigures:
    """The figures an optimization is judged by; the bytes are those of the model's own files where none are given."""
    from onnxctl.reports import ModelFigures

    scopes = list(walk_scopes(model.proto))
    operators = operator_counts(count_calls(scopes))
    return ModelFigures(
        node_count=sum(each.count for each in operators),
        initializer_count=initializer_count(scopes),
        parameter_count=sum(weight.element_count for scope in scopes for weight in weights_of_scope(scope)),
        file_bytes=stored_bytes(model) if file_bytes is None else file_bytes,
        operators=operators,
    )


def count_calls(scopes: Sequence[Scope]) -> Counter[Operator]:
    """How many nodes there are of each operator, as the nodes name it."""
    counts: Counter[Operator] = Counter()
    for scope in scopes:
        counts.update((node.domain, node.op_type, node.overload) for node in scope.body.node)
    return counts


def operator_counts(calls: Counter[Operator]) -> tuple[OperatorCount, ...]:
    """The same as reports show it: the most frequent operator first, overloads as one."""
    merged: Counter[tuple[str, str]] = Counter()
    for (domain, op_type, _), count in calls.items():
        merged[shown_domain(domain), as_text(op_type)] += count
    rows = (OperatorCount(domain=key[0], op_type=key[1], count=count) for key, count in merged.items())
    return tuple(sorted(rows, key=lambda row: (-row.count, row.domain, row.op_type)))


def initializer_count(scopes: Sequence[Scope]) -> int:
    """The initializers of all graphs, sparse ones included."""
    bodies = [scope.body for scope in scopes if isinstance(scope.body, GraphProto)]
    return sum(len(body.initializer) + len(body.sparse_initializer) for body in bodies)


def stored_bytes(model: Model) -> int:
    """Bytes on disk, each file once, by whatever names the model calls it."""
    sources = [model.source, *(file.opened for file in model.data_files if file.opened is not None)]
    return sum({source.identity: source.size for source in sources}.values())
