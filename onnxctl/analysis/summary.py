"""What is in a model: the report of `onnxctl inspect`, from the skeleton alone; no weight is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from onnx import GraphProto, ModelProto

from onnxctl.analysis.attributes import attribute_in_words
from onnxctl.analysis.figures import (
    Operator,
    count_calls,
    initializer_count,
    operator_counts,
    stored_bytes,
)
from onnxctl.analysis.learned import learned_nodes
from onnxctl.analysis.scopes import Scope, walk_scopes
from onnxctl.analysis.types import refuse_unknown_symbols, tensor_spec
from onnxctl.analysis.weights import count_parameters, weight_info, weights_of_scope
from onnxctl.errors import ModelError, UnsafePath
from onnxctl.model.loading import Model
from onnxctl.model.names import as_text
from onnxctl.model.nodes import DEFAULT_DOMAINS, shown_domain
from onnxctl.reports import FileInfo, Finding, FunctionInfo, ModelSummary, TensorSpec

if TYPE_CHECKING:
    from onnxctl.reports import NodeInfo


def summarize(
    model: Model,
    *,
    nodes: bool = False,
    weights: bool = False,
    text: bool = False,
    whole_text: bool = False,
    dims: Mapping[str, int] | None = None,
    findings: tuple[Finding, ...] = (),
    scopes: Sequence[Scope] | None = None,
) -> ModelSummary:
    """The summary of an open model; `nodes`, `weights` and `text` add what takes room, `findings` are passed through.

    `scopes` are all of the model, where the caller has them at hand. `dims` gives sizes for symbolic dimensions. Raises
    UsageError for a symbol that the model does not have.
    """
    proto = model.proto
    sizes = dims or {}
    refuse_unknown_symbols(proto.graph, sizes)
    scopes = list(walk_scopes(proto)) if scopes is None else scopes
    calls = count_calls(scopes)
    stored = [weight for scope in scopes for weight in weights_of_scope(scope)]
    parameters = count_parameters(stored)
    files = tuple(_files(model))
    return ModelSummary(
        path=model.path,
        files=files,
        total_bytes=stored_bytes(model),
        ir_version=proto.ir_version,
        opset_imports=tuple((shown_domain(each.domain), each.version) for each in proto.opset_import),
        producer_name=as_text(proto.producer_name),
        producer_version=as_text(proto.producer_version),
        domain=as_text(proto.domain),
        model_version=proto.model_version,
        doc_string=as_text(proto.doc_string),
        graph_name=as_text(proto.graph.name),
        metadata=tuple((as_text(entry.key), as_text(entry.value)) for entry in proto.metadata_props),
        inputs=tuple(_inputs(proto.graph, sizes)),
        outputs=tuple(tensor_spec(value, sizes) for value in proto.graph.output),
        node_count=sum(calls.values()),
        top_node_count=len(proto.graph.node),
        subgraph_count=sum(isinstance(scope.body, GraphProto) for scope in scopes) - 1,
        functions=tuple(_functions(proto, calls)),
        operators=operator_counts(calls),
        parameters=parameters,
        parameter_count=sum(row.element_count for row in parameters),
        parameter_bytes=sum(row.byte_count for row in parameters),
        initializer_count=initializer_count(scopes),
        learned=tuple(learned_nodes(scopes)),
        findings=findings,
        nodes=tuple(_nodes(scopes)) if nodes else None,
        weights=tuple(weight_info(model, weight) for weight in stored) if weights else None,
        text=_text(model, whole_text) if text or whole_text else None,
    )


def _text(model: Model, whole: bool) -> str:
    from onnxctl.analysis.text import model_text

    return model_text(model, whole=whole)


# ---------------------------------------------------------------- files


def _files(model: Model) -> Iterator[FileInfo]:
    yield FileInfo(path=model.path, role="model", file_bytes=model.source.size)
    unsafe = {id(p.file): p.problem for p in model.payloads if isinstance(p.problem, UnsafePath)}
    for file in model.data_files:
        path, size, problem = as_text(file.location), None, ""
        try:
            if (reason := unsafe.get(id(file))) is not None:
                raise reason
            size = file.source().size
        except ModelError as error:
            problem = error.message
        yield FileInfo(path=path, role="data", file_bytes=size, problem=problem)


# ---------------------------------------------------------------- inputs


def _inputs(graph: GraphProto, dims: Mapping[str, int]) -> Iterator[TensorSpec]:
    defaults = {tensor.name for tensor in graph.initializer} if graph.input else set()
    defaults.update(sparse.values.name for sparse in graph.sparse_initializer)
    for value in graph.input:
        yield tensor_spec(value, dims, has_default=value.name in defaults)


# ---------------------------------------------------------------- nodes


def _functions(proto: ModelProto, calls: Counter[Operator]) -> Iterator[FunctionInfo]:
    for function in proto.functions:
        domains = DEFAULT_DOMAINS if function.domain in DEFAULT_DOMAINS else (function.domain,)
        yield FunctionInfo(
            domain=shown_domain(function.domain),
            name=as_text(function.name),
            overload=as_text(function.overload),
            node_count=len(function.node),
            call_count=sum(calls[domain, function.name, function.overload] for domain in domains),
        )


def _nodes(scopes: Sequence[Scope]) -> Iterator[NodeInfo]:
    from onnxctl.reports import NodeInfo

    for scope in scopes:
        for node in scope.body.node:
            yield NodeInfo(
                scope=scope.path,
                name=as_text(node.name),
                op_type=as_text(node.op_type),
                domain=shown_domain(node.domain),
                inputs=tuple(map(as_text, node.input)),
                outputs=tuple(map(as_text, node.output)),
                attributes=tuple((as_text(each.name), attribute_in_words(each)) for each in node.attribute),
            )
