"""Whether a well-formed message is a valid model: the checks of the ONNX specification that need no execution.

Streaming over the skeleton; no weight is read. What breaks the specification is a Problem: the first is raised as
InvalidModel, or all are gathered. What is merely odd, or broken in a file beside the model, is a Finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import onnx
from onnx import GraphProto, ModelProto, OperatorSetIdProto, TensorProto, ValueInfoProto

from onnxctl.analysis.functions import callees_first, expanded_node_counts, function_key, in_words, keys_of_functions
from onnxctl.analysis.operator_table import read_table
from onnxctl.analysis.operators import NEWEST_OPSETS, OperatorRules
from onnxctl.analysis.problems import Problem, Refuse, raise_problem
from onnxctl.analysis.references import check_references
from onnxctl.analysis.scopes import Scope, function_path, walk_scopes
from onnxctl.analysis.storage import check_storage, require_storage
from onnxctl.analysis.types import dimensions, element_types
from onnxctl.analysis.wiring import FunctionKey, Wiring
from onnxctl.errors import InvalidModel, ResourceLimit, UnsupportedModel
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import Model
from onnxctl.model.names import as_text
from onnxctl.model.nodes import DEFAULT_DOMAINS
from onnxctl.model.tensors import DTYPES
from onnxctl.reports import Finding

MAXIMUM_EXPANDED_NODES = 1_000_000
"""Nodes a model may have once its functions are expanded, for it to be optimized or run."""

MAXIMUM_PROBLEMS = 10_000
"""Problems that are gathered of one model; a file may be made to have millions."""

_FIRST_IR_WITH_OPSETS = 3


def check_structure(model: Model, scopes: Sequence[Scope] | None = None) -> tuple[Finding, ...]:
    """Everything odd about the model that can be told from its skeleton.

    scopes are all of the model, where the caller has them at hand. Raises InvalidModel for the first thing that breaks
    the specification, ResourceLimit for functions nested too deep.
    """
    return _checked(model, scopes=scopes).findings


def require_usable(model: Model, *, for_running: bool = True, custom_operators: bool = False) -> tuple[Finding, ...]:
    """The findings of `check_structure`, for a model that is to be rewritten and (for_running) run.

    Raises UnsupportedModel for an operator or opset that onnx does not know; for_running, for an operator of another
    runtime (unless custom_operators come from a library), one that carries native code, or an IR version that is too
    new; what `Payload.check` raises where external data can't be had, InvalidModel where its checksum is wrong;
    ResourceLimit where functions would expand to more than MAXIMUM_EXPANDED_NODES nodes.
    """
    checked = _checked(model)
    refused = _REFUSED | _REFUSED_FOR_RUNNING if for_running else _REFUSED
    for finding in checked.findings:
        if finding.code in refused and not (custom_operators and finding.code == "custom-operator"):
            where = f" (at {finding.where})" if finding.where else ""
            raise UnsupportedModel(f"{model.path}: {finding.message}{where}", hint=finding.hint)
    require_storage(model)
    if checked.expanded_nodes > MAXIMUM_EXPANDED_NODES:
        raise ResourceLimit(
            f"the model has {checked.expanded_nodes} nodes once its functions are expanded; "
            f"{MAXIMUM_EXPANDED_NODES} is the most that is worked with"
        )
    return checked.findings


_REFUSED = frozenset({"unknown-operator", "opset-too-new"})
_REFUSED_FOR_RUNNING = frozenset({"custom-operator", "native-operator", "ir-version-too-new"})


def find_problems(model: Model) -> tuple[list[Problem], tuple[Finding, ...]]:
    """Everything that breaks the specification, at most MAXIMUM_PROBLEMS, and everything odd; data files are hashed."""
    problems: list[Problem] = []

    def gather(problem: Problem) -> None:
        if len(problems) < MAXIMUM_PROBLEMS:
            problems.append(problem)

    findings = _checked(model, gather, hash_all=True).findings
    return problems, findings


class _Checked(NamedTuple):
    findings: tuple[Finding, ...]
    expanded_nodes: int


def _checked(
    model: Model, refuse: Refuse = raise_problem, *, scopes: Sequence[Scope] | None = None, hash_all: bool = False
) -> _Checked:
    proto = model.proto
    findings = [*_check_header(proto, refuse), *_check_interface(proto.graph, refuse)]
    opsets = _opsets(proto, refuse)
    findings += _new_opsets(opsets)
    keys = keys_of_functions(proto, refuse)
    table = read_table()
    rules = OperatorRules(table, opsets, proto.ir_version)
    wirings = [Wiring(rules, keys, refuse)]
    wirings[0].check("", proto.graph)
    calls: dict[FunctionKey, Counter[FunctionKey]] = {}
    node_counts: dict[FunctionKey, int] = {}
    for function in proto.functions:
        key = function_key(function)
        imported = _merged_opsets(function.opset_import, f"function {as_text(function.name)!r}", refuse)
        wiring = Wiring(OperatorRules(table, imported, proto.ir_version, in_function=True), keys, refuse)
        wiring.check(function_path(function), function)
        findings += (*_new_opsets(imported, function_path(function)), *_shadowing(key, rules))
        calls[key], node_counts[key] = wiring.calls, len(function.node)
        wirings.append(wiring)
    in_top = _expanded_calls(wirings[0].calls, calls, node_counts, refuse)
    if any(wiring.unsorted for wiring in wirings):
        _refuse_cycles(model, refuse)
    findings += [finding for wiring in wirings for finding in wiring.findings]
    scopes = list(walk_scopes(proto)) if scopes is None else scopes
    check_references(proto, scopes, refuse)
    findings += check_storage(model, scopes, refuse, hash_all=hash_all)
    return _Checked(tuple(findings), len(proto.graph.node) + in_top)


def _expanded_calls(
    in_top: Mapping[FunctionKey, int],
    calls: Mapping[FunctionKey, Counter[FunctionKey]],
    node_counts: Mapping[FunctionKey, int],
    refuse: Refuse,
) -> int:
    """How many nodes the calls in the top graph stand for; 0 where functions call themselves."""
    try:
        order = callees_first(calls)
    except InvalidModel as error:
        refuse(Problem("recursive-function", error.message, field="functions"))
        return 0
    except ResourceLimit as error:
        if refuse is raise_problem:
            raise
        refuse(Problem("functions-too-deep", error.message, field="functions", hint=error.hint))
        return 0
    expanded = expanded_node_counts(calls, node_counts, order)
    return sum(expanded[key] * count for key, count in in_top.items())


def _refuse_cycles(model: Model, refuse: Refuse) -> None:
    for scope in ModelGraphs(model).scopes():
        try:
            assert scope.nodes is not None  # sorts, and raises InvalidModel where that is impossible
        except InvalidModel as error:
            refuse(Problem("cycle", error.message, scope.path, "node", error.hint))


# ---------------------------------------------------------------- the model's header


def _check_header(proto: ModelProto, refuse: Refuse) -> Iterator[Finding]:
    if not proto.HasField("ir_version"):
        hint = "the file may be truncated, or no ONNX model at all"
        refuse(Problem("invalid-ir-version", "the model has no ir_version", field="ir_version", hint=hint))
    elif proto.ir_version < 1:
        message = f"ir_version is {proto.ir_version}; versions begin at 1"
        refuse(Problem("invalid-ir-version", message, field="ir_version"))
    if not proto.HasField("graph") or not proto.graph.ListFields():
        what = "an empty graph" if proto.HasField("graph") else "no graph"
        hint = "the file may be truncated: compare its size with the original"
        refuse(Problem("missing-graph", f"the model has {what}", field="graph", hint=hint))
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


def _opsets(proto: ModelProto, refuse: Refuse) -> dict[str, int]:
    """The model's opset imports by domain ("" for ai.onnx), which may not contradict each other."""
    if not proto.opset_import and proto.ir_version < _FIRST_IR_WITH_OPSETS:
        return {"": 1}
    if not proto.opset_import:
        message = "the model has no opset_import, so its operators have no meaning"
        refuse(Problem("missing-opset-import", message, field="opset_import"))
    return _merged_opsets(proto.opset_import, "the model", refuse)


def _merged_opsets(imports: Iterable[OperatorSetIdProto], who: str, refuse: Refuse) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for each in imports:
        domain, shown = each.domain, as_text(each.domain) or "ai.onnx"
        if domain in DEFAULT_DOMAINS:
            domain = ""
        if each.version < 1:
            message = f"opset_import of {shown!r} in {who} is version {each.version}; opsets begin at 1"
            refuse(Problem("invalid-opset-import", message, field="opset_import"))
        if opsets.setdefault(domain, each.version) != each.version:
            message = f"opset_import of {shown!r} in {who} is both version {opsets[domain]} and {each.version}"
            refuse(Problem("invalid-opset-import", message, field="opset_import"))
    return opsets


def _new_opsets(opsets: Mapping[str, int], where: str = "") -> Iterator[Finding]:
    for domain, newest in NEWEST_OPSETS.items():
        if opsets.get(domain, 0) > newest:
            yield Finding(
                code="opset-too-new",
                severity="warning",
                message=f"opset {opsets[domain]} of {domain or 'ai.onnx'} is newer than {newest}, the newest that onnx "
                f"{onnx.__version__} knows; its operators were not checked",
                hint="update onnx",
                where=where,
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


def _check_interface(graph: GraphProto, refuse: Refuse) -> Iterator[Finding]:
    for value in graph.input:
        _check_input_type(value, refuse)
    if not graph.output:
        yield Finding(code="no-outputs", severity="warning", message="the graph has no output: it computes nothing")
    for name, count in Counter(as_text(value.name) for value in graph.output).items():
        if not name:
            refuse(Problem("missing-name", "a graph output has no name", field="output"))
        elif count > 1:
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


def _check_input_type(value: ValueInfoProto, refuse: Refuse) -> None:
    name = as_text(value.name)
    if not value.HasField("type") or value.type.WhichOneof("value") is None:
        refuse(Problem("missing-type", f"the graph input {name!r} has no type", name, "type"))
    for number in element_types(value.type):
        if number == TensorProto.UNDEFINED or number not in DTYPES:
            message = f"the graph input {name!r} has an unknown element type: elem_type = {number}"
            refuse(Problem("unknown-element-type", message, name, "elem_type"))
