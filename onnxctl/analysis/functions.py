"""The model-local functions: each given once, none calling itself, and how much they grow when they are expanded."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import FunctionProto, ModelProto, NodeProto

from onnxctl.analysis.problems import Problem, Refuse, raise_problem
from onnxctl.analysis.wiring import FunctionKey
from onnxctl.errors import InvalidModel, ResourceLimit
from onnxctl.model.names import as_text
from onnxctl.model.nodes import plain_domain

MAXIMUM_CALL_DEPTH = 500
"""Functions calling functions, as deep as is worked with: runtimes expand them by recursion, on a limited stack."""

Calls = Mapping[FunctionKey, Mapping[FunctionKey, int]]
"""For each function, how often its body calls which others."""


def function_key(function: FunctionProto) -> FunctionKey:
    """What nodes call the function by."""
    domain = plain_domain(function.domain)
    return domain, function.name, function.overload


def called_key(node: NodeProto) -> FunctionKey:
    """The key of the function that the node calls, if there is one."""
    domain = plain_domain(node.domain)
    return domain, node.op_type, node.overload


def keys_of_functions(proto: ModelProto, refuse: Refuse = raise_problem) -> frozenset[FunctionKey]:
    """The keys of all functions. No two may have the same, none may be without a name."""
    keys: set[FunctionKey] = set()
    for function in proto.functions:
        key = function_key(function)
        if not function.name:
            refuse(Problem("missing-name", "a function has no name", in_words(key), "functions"))
        if key in keys:
            message = f"function {in_words(key)} is given twice: readers would differ on which one counts"
            refuse(Problem("duplicate-function", message, in_words(key), "functions"))
        keys.add(key)
    return frozenset(keys)


def in_words(key: FunctionKey) -> str:
    """The function's domain, name and overload."""
    domain, name, overload = map(as_text, key)
    return f"{domain or 'ai.onnx'}:{name}" + (f":{overload}" if overload else "")


def callees_first(calls: Calls) -> list[FunctionKey]:
    """The functions, each after all it calls. Raises InvalidModel where one calls itself, if by way of others.

    Raises ResourceLimit where calls are nested more than MAXIMUM_CALL_DEPTH deep. Walks without recursion.
    """
    depth: dict[FunctionKey, int] = {}
    open_keys: set[FunctionKey] = set()
    for start in calls:
        pending = [start]
        while pending:
            key = pending[-1]
            if key in depth:
                pending.pop()
                continue
            waiting = [callee for callee in calls[key] if callee not in depth]
            if not waiting:
                depth[key] = 1 + max((depth[callee] for callee in calls[key]), default=0)
                open_keys.discard(key)
                pending.pop()
                continue
            open_keys.add(key)
            for callee in waiting:
                if callee in open_keys:
                    raise InvalidModel(f"function {in_words(callee)} is recursive: it calls itself")
            pending += waiting
    deepest = max(depth.values(), default=0)
    if deepest > MAXIMUM_CALL_DEPTH:
        raise ResourceLimit(
            f"functions call each other {deepest} deep; {MAXIMUM_CALL_DEPTH} is the most that is worked with",
            hint="export the model with its functions expanded",
        )
    return list(depth)


def expanded_node_counts(
    calls: Calls, node_counts: Mapping[FunctionKey, int], order: list[FunctionKey]
) -> dict[FunctionKey, int]:
    """How many nodes stand for one call of each function once everything is expanded, the calling ones included.

    order is that of `callees_first`.
    """
    expanded: dict[FunctionKey, int] = {}
    for key in order:
        expanded[key] = node_counts[key] + sum(expanded[callee] * count for callee, count in calls[key].items())
    return expanded
