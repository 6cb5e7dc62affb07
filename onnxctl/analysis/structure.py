"""Whether a well-formed message is a valid model: the checks of the ONNX specification that need no execution.

Streaming over the skeleton; no weight is read. The first thing that breaks the specification is an InvalidModel; what
is merely odd, or broken in a file beside the model, is a Finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import onnx
from onnx import GraphProto, ModelProto, OperatorSetIdProto, TensorProto, ValueInfoProto

from onnxctl.analysis.functions import callees_first, expanded_node_counts, function_key, in_words, keys_of_functions
from onnxctl.analysis.operator_table import read_table
from onnxctl.analysis.operators import NEWEST_OPSETS, OperatorRules
from onnxctl.analysis.scopes import as_text, function_path
from onnxctl.analysis.storage import check_storage, require_storage
from onnxctl.analysis.types import dimensions, element_types
from onnxctl.analysis.wiring import FunctionKey, Wiring
from onnxctl.errors import InvalidModel, ResourceLimit, UnsupportedModel
from onnxctl.model.graph import DEFAULT_DOMAINS, ModelGraphs
from onnxctl.model.loading import Model
from onnxctl.model.tensors import DTYPES
from onnxctl.reports import Finding

MAXIMUM_EXPANDED_NODES = 1_000_000
"""Nodes a model may have once its functions are expanded, for it to be optimized or run."""

_FIRST_IR_WITH_OPSETS = 3


def check_structure(model: Model) -> tuple[Finding, ...]:
    """Everything odd about the model that can be told from its skeleton.

    Raises InvalidModel for the first thing that breaks the specification, ResourceLimit for functions nested too deep.
    """
    return _checked(model).findings


def require_usable(model: Model, *, for_running: bool = True) -> tuple[Finding, ...]:
    """The findings of `check_structure`, for a model that is to be rewritten and (for_running) run.

    Raises UnsupportedModel for an operator or opset that onnx does not know; for_running, for an operator of another
    runtime, one that carries native code, or an IR version that is too new; what `Payload.check` raises where external
    data can't be had, InvalidModel where its checksum is wrong; ResourceLimit where functions would expand to more than
    MAXIMUM_EXPANDED_NODES nodes.
    """
    checked = _checked(model)
    refused = _REFUSED | _REFUSED_FOR_RUNNING if for_running else _REFUSED
    for finding in checked.findings:
        if finding.code in refused:
            where = f" (at {finding.where})" if finding.where else ""
            raise UnsupportedModel(finding.message + where, hint=finding.hint)
    require_storage(model)
    if checked.expanded_nodes > MAXIMUM_EXPANDED_NODES:
        raise ResourceLimit(
            f"the model has {checked.expanded_nodes} nodes once its functions are expanded; "
            f"{MAXIMUM_EXPANDED_NODES} is the most that is worked with"
        )
    return checked.findings


_REFUSED = frozenset({"unknown-operator", "opset-too-new"})
_REFUSED_FOR_RUNNING = frozenset({"custom-operator", "native-operator", "ir-version-too-new"})


class _Checked(NamedTuple):
    findings: tuple[Finding, ...]
    expanded_nodes: int


def _checked(model: Model) -> _Checked:
    proto = model.proto
    findings = [*_check_header(proto), *_check_interface(proto.graph)]
    opsets = _opsets(proto)
    findings += _new_opsets(opsets)
    keys = keys_of_functions(proto)
    table = read_table()
    rules = OperatorRules(table, opsets, proto.ir_version)
    wirings = [Wiring(rules, keys)]
    wirings[0].check("", proto.graph)
    calls: dict[FunctionKey, Counter[FunctionKey]] = {}
    node_counts: dict[FunctionKey, int] = {}
    for function in proto.functions:
        key = function_key(function)
        imported = _merged_opsets(function.opset_import, f"function {as_text(function.name)!r}")
        wiring = Wiring(OperatorRules(table, imported, proto.ir_version, in_function=True), keys)
        wiring.check(function_path(function), function)
        findings += _shadowing(key, rules)
        calls[key], node_counts[key] = wiring.calls, len(function.node)
        wirings.append(wiring)
    expanded = expanded_node_counts(calls, node_counts, callees_first(calls))
    if any(wiring.unsorted for wiring in wirings):
        _refuse_cycles(model)
    findings += [finding for wiring in wirings for finding in wiring.findings]
    findings += check_storage(model)
    in_top = sum(expanded[key] * count for key, count in wirings[0].calls.items())
    return _Checked(tuple(findings), len(proto.graph.node) + in_top)


def _refuse_cycles(model: Model) -> None:
    for scope in ModelGraphs(model).scopes():
        assert scope.nodes is not None  # sorts, and raises InvalidModel where that is impossible


# ---------------------------------------------------------------- the model's header


def _check_header(proto: ModelProto) -> Iterator[Finding]:
    if not proto.HasField("ir_version"):
        raise InvalidModel("the model has no ir_version", hint="the file may be truncated, or no ONNX model at all")
    if proto.ir_version < 1:
        raise InvalidModel(f"ir_version is {proto.ir_version}; versions begin at 1")
    if not proto.HasField("graph") or not proto.graph.ListFields():
        what = "an empty graph" if proto.HasField("graph") else "no graph"
        raise InvalidModel(
            f"the model has {what}", hint="the file may be truncated: compare its size with the original"
        )
    if proto.ir_version > onnx.IR_VERSION:
        yield Finding(
            code="ir-version-too-new",
            severity="warning",
            message=f"ir_version {proto.ir_version} is newer than {onnx.IR_VERSION}, the newest that onnx "
            f"{onnx.__version__} knows",
            hint="update onnx, or export the model with an older IR version",
        )
    keys = Counter(as_text(entry.key) for entry in proto.metadata_props)
    for key, count in keys.items():
        if count > 1:
            yield Finding(
                code="duplicate-metadata-key",
                severity="warning",
                message=f"the metadata key {key!r} is given {count} times: readers differ on which one counts",
            )
    if proto.training_info:
        yield Finding(
            code="training-info",
            severity="info",
            message="the model carries training graphs, which inference does not use and figures leave out",
        )


def _opsets(proto: ModelProto) -> dict[str, int]:
    """The model's opset imports by domain ("" for ai.onnx). Raises InvalidModel where they contradict each other."""
    if not proto.opset_import and proto.ir_version < _FIRST_IR_WITH_OPSETS:
        return {"": 1}
    if not proto.opset_import:
        raise InvalidModel("the model has no opset_import, so its operators have no meaning")
    return _merged_opsets(proto.opset_import, "the model")


def _merged_opsets(imports: Iterable[OperatorSetIdProto], who: str) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for each in imports:
        domain, shown = each.domain, as_text(each.domain) or "ai.onnx"
        if domain in DEFAULT_DOMAINS:
            domain = ""
        if each.version < 1:
            raise InvalidModel(f"opset_import of {shown!r} in {who} is version {each.version}; opsets begin at 1")
        if opsets.setdefault(domain, each.version) != each.version:
            raise InvalidModel(
                f"opset_import of {shown!r} in {who} is both version {opsets[domain]} and {each.version}"
            )
    return opsets


def _new_opsets(opsets: Mapping[str, int]) -> Iterator[Finding]:
    for domain, newest in NEWEST_OPSETS.items():
        if opsets.get(domain, 0) > newest:
            yield Finding(
                code="opset-too-new",
                severity="warning",
                message=f"opset {opsets[domain]} of {domain or 'ai.onnx'} is newer than {newest}, the newest that onnx "
                f"{onnx.__version__} knows; its operators were not checked",
                hint="update onnx",
            )


def _shadowing(key: FunctionKey, rules: OperatorRules) -> Iterator[Finding]:
    domain, name, _ = key
    if rules.rule(domain, name) is not None:
        yield Finding(
            code="function-shadows-operator",
            severity="warning",
            message=f"a model-local function redefines the standard operator {as_text(name)}",
            where=f"function:{in_words(key)}",
        )


# ---------------------------------------------------------------- inputs and outputs of the top graph


def _check_interface(graph: GraphProto) -> Iterator[Finding]:
    for value in graph.input:
        _check_input_type(value)
    if not graph.output:
        yield Finding(code="no-outputs", severity="warning", message="the graph has no output: it computes nothing")
    for name, count in Counter(as_text(value.name) for value in graph.output).items():
        if not name:
            raise InvalidModel("a graph output has no name")
        if count > 1:
            yield Finding(
                code="duplicate-output",
                severity="warning",
                message=f"the graph gives out {name!r} {count} times",
                where=name,
            )
    values = (*graph.input, *graph.output)
    negative = [as_text(each.name) for each in values if any(dim.dim_value < 0 for dim in dimensions(each.type))]
    if negative:
        yield Finding(
            code="negative-dimension",
            severity="warning",
            message=f"{len(negative)} inputs or outputs have a negative dimension, which is treated as unknown",
            where=negative[0],
            hint="ONNX says unknown dimensions by a symbol, or by nothing",
        )


def _check_input_type(value: ValueInfoProto) -> None:
    name = as_text(value.name)
    if not value.HasField("type") or value.type.WhichOneof("value") is None:
        raise InvalidModel(f"the graph input {name!r} has no type")
    for number in element_types(value.type):
        if number == TensorProto.UNDEFINED or number not in DTYPES:
            raise InvalidModel(f"the graph input {name!r} has an unknown element type: elem_type = {number}")
