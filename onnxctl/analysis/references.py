"""Attributes that a function's body takes from its caller: they must have the type that the body takes them for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import AttributeProto, FunctionProto, ModelProto

from onnxctl.analysis.functions import called_key, function_key
from onnxctl.analysis.problems import Problem, Refuse
from onnxctl.analysis.scopes import Scope, function_path, walk_scope
from onnxctl.model.names import as_text, node_label


def check_references(proto: ModelProto, scopes: Sequence[Scope], refuse: Refuse) -> None:
    """Refuse attributes of calls and defaults of functions of other types than references in the body say."""
    if not proto.functions:
        return
    taken = {function_key(each): _types_taken(each, refuse) for each in proto.functions}
    for function in proto.functions:
        for default in function.attribute_proto:
            _compare(default, taken[function_key(function)], function_path(function), refuse)
    for scope in scopes:
        for node in scope.body.node:
            for given in node.attribute if called_key(node) in taken else ():
                _compare(given, taken[called_key(node)], node_label(scope.path, node), refuse)


def _types_taken(function: FunctionProto, refuse: Refuse) -> dict[str | bytes, int]:
    """The type of each of the function's attributes, as the first reference to it says; refuses others that differ."""
    types: dict[str | bytes, int] = {}
    for scope in walk_scope(function_path(function), function):
        for node in scope.body.node:
            for attribute in node.attribute:
                if attribute.ref_attr_name:
                    known = types.setdefault(attribute.ref_attr_name, attribute.type)
                    if known != attribute.type:
                        _refuse(attribute.ref_attr_name, attribute.type, known, node_label(scope.path, node), refuse)
    return types


def _compare(given: AttributeProto, taken: Mapping[str | bytes, int], where: str, refuse: Refuse) -> None:
    wanted = taken.get(given.name, given.type)
    if given.type != wanted:
        _refuse(given.name, given.type, wanted, where, refuse)


def _refuse(name: str | bytes, given: int, wanted: int, where: str, refuse: Refuse) -> None:
    names = AttributeProto.AttributeType
    message = (
        f"the function's attribute {as_text(name)!r} is of type {names.Name(given).lower()} here, "
        f"and {names.Name(wanted).lower()} elsewhere"
    )
    refuse(Problem("attribute-type", message, where, as_text(name), subject=f"node {where!r}"))
