"""Nodes against the rules of their operators: how many inputs and outputs, and which attributes of which type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx.defs
from onnx import AttributeProto, NodeProto

from onnxctl.analysis.attributes import type_of_value, value_fields
from onnxctl.analysis.operator_table import (
    ONNX_DOMAINS,
    UNBOUNDED,
    OperatorRule,
    newest_version,
    rule_in_table,
    rule_of_schema,
)
from onnxctl.analysis.problems import Trouble
from onnxctl.model.attributes import SINGLE_FIELDS, VALUE_FIELDS
from onnxctl.model.names import as_text

NEWEST_OPSETS = {"": onnx.defs.onnx_opset_version(), "ai.onnx.ml": onnx.defs.onnx_ml_opset_version()}
"""The newest operator set the installed onnx knows, by domain."""

RUNTIME_DOMAINS = frozenset({"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"})
"""The domains of onnxruntime's own operators."""

_TYPE_NAMES: dict[int, str] = {number: name.lower() for name, number in AttributeProto.AttributeType.items()}


class OperatorRules:
    """The rules for the nodes of a graph or function body; opsets are its imports, "" standing for ai.onnx.

    table is the text of `operator_table`.
    """

    def __init__(self, table: str, opsets: Mapping[str, int], ir_version: int, *, in_function: bool = False) -> None:
        self.opsets = opsets
        self.ir_version = ir_version
        self.in_function = in_function
        self._table = table
        self._known: dict[tuple[str, str], OperatorRule | None] = {}

    def rule(self, domain: str, op_type: str) -> OperatorRule | None:
        """The operator's rule; None where the specification has no such operator, or not in a version known here."""
        key = domain, op_type
        if key not in self._known:
            self._known[key] = self._look_up(domain, op_type)
        return self._known[key]

    def is_too_new(self, domain: str) -> bool:
        """Whether the imported version of the domain is newer than the installed onnx knows."""
        return self.opsets.get(domain, 0) > NEWEST_OPSETS.get(domain, UNBOUNDED)

    def _look_up(self, domain: str, op_type: str) -> OperatorRule | None:
        version = self.opsets.get(domain, 0)
        if domain not in ONNX_DOMAINS or not 0 < version < UNBOUNDED or self.is_too_new(domain):
            return None
        name = as_text(op_type)
        if version <= newest_version(self._table, domain):
            return rule_in_table(self._table, domain, name, version)
        try:
            return rule_of_schema(onnx.defs.get_schema(name, version, domain))
        except (onnx.defs.SchemaError, UnicodeEncodeError):
            return None

    def check_node(
        self,
        node: NodeProto,
        rule: OperatorRule | None,
        inputs: list[str],
        outputs: list[str],
        troubles: list[Trouble],
    ) -> None:
        """Add to troubles where the node breaks its rule; without a rule only the form of attributes is checked.

        inputs and outputs are the node's own, which the caller has at hand.
        """
        if rule is not None:
            _check_arity(rule, inputs, outputs, troubles)
        attributes = node.attribute
        given = self._check_attributes(attributes, rule, troubles) if attributes else set()
        if rule is not None and rule.required_attributes and not rule.required_attributes <= given:
            missing = ", ".join(sorted(rule.required_attributes - given))
            message = f"{rule.op_type} needs the attribute {missing}, which is missing"
            troubles.append(Trouble("missing-attribute", message, missing))

    def _check_attributes(
        self, attributes: Iterable[AttributeProto], rule: OperatorRule | None, troubles: list[Trouble]
    ) -> set[str]:
        """The names given."""
        given: set[str] = set()
        for attribute in attributes:
            name = attribute.name
            if name in given:
                message = f"attribute {as_text(name)!r} is given twice"
                troubles.append(Trouble("duplicate-attribute", message, as_text(name)))
            given.add(name)
            kind = self._checked_type(attribute, troubles)
            if rule is None or kind is None:
                continue
            expected = rule.attributes.get(name)
            if expected is None:
                message = f"{rule.op_type} has no attribute {as_text(name)!r}"
                troubles.append(Trouble("unknown-attribute", message, as_text(name)))
            elif kind != expected:
                message = (
                    f"attribute {as_text(name)!r} is of type {_TYPE_NAMES[kind]}, "
                    f"but {rule.op_type} takes {_TYPE_NAMES[expected]}"
                )
                troubles.append(Trouble("attribute-type", message, as_text(name)))
        return given

    def _checked_type(self, attribute: AttributeProto, troubles: list[Trouble]) -> AttributeProto.AttributeType | None:
        """Its type; None, and a trouble, where it has no name, no type, or not just the value of its type."""
        kind = attribute.type
        every = attribute.ListFields()
        if len(every) == 3 and every[1][0].name == VALUE_FIELDS.get(kind) and attribute.name:
            return kind  # name, value, type and nothing else, as nearly all attributes are
        fields = value_fields(attribute)
        if kind == AttributeProto.UNDEFINED and self.ir_version < _FIRST_IR_WITH_ATTRIBUTE_TYPES:
            kind = type_of_value(attribute)
        problem = self._flaw(attribute, kind, fields)
        if problem:
            troubles.append(Trouble("malformed-attribute", problem, as_text(attribute.name)))
            return None
        return kind

    def _flaw(self, attribute: AttributeProto, kind: AttributeProto.AttributeType, fields: list[str]) -> str:
        """What is wrong with the form of the attribute, or ""."""
        if not attribute.name:
            return "an attribute has no name"
        name = as_text(attribute.name)
        if kind == AttributeProto.UNDEFINED:
            return f"attribute {name!r} has no type, or one that onnx does not know"
        if attribute.ref_attr_name:
            if not self.in_function:
                return f"attribute {name!r} refers to an attribute of a function, outside of any function"
            if fields:
                return f"attribute {name!r} has a value and refers to a function's attribute as well"
            return ""
        wanted = VALUE_FIELDS[kind]
        if fields != [wanted] and (fields or wanted in SINGLE_FIELDS):
            held = " and ".join(fields) or "nothing"
            return f"attribute {name!r} is of type {_TYPE_NAMES[kind]}, but has {held}, not just {wanted}"
        return ""


_FIRST_IR_WITH_ATTRIBUTE_TYPES = 2


def _check_arity(rule: OperatorRule, inputs: list[str], outputs: list[str], troubles: list[Trouble]) -> None:
    if not rule.least_inputs <= len(inputs) <= rule.most_inputs:
        wanted = _range(rule.least_inputs, rule.most_inputs)
        message = f"{rule.op_type} takes {wanted} inputs, but {len(inputs)} are given"
        troubles.append(Trouble("wrong-arity", message, "input"))
    if not rule.least_outputs <= len(outputs) <= rule.most_outputs:
        wanted = _range(rule.least_outputs, rule.most_outputs)
        message = f"{rule.op_type} has {wanted} outputs, but {len(outputs)} are given"
        troubles.append(Trouble("wrong-arity", message, "output"))
    if "" in inputs:
        _refuse_empty("input", inputs, rule.required_inputs, rule, troubles)
    if "" in outputs:
        _refuse_empty("output", outputs, rule.required_outputs, rule, troubles)


def _refuse_empty(
    what: str, names: list[str], required: tuple[int, ...], rule: OperatorRule, troubles: list[Trouble]
) -> None:
    for position in required:
        if position < len(names) and not names[position]:
            message = f"{what} {position} of {rule.op_type} is required, but left empty"
            troubles.append(Trouble("wrong-arity", message, f"{what}[{position}]"))


def _range(least: int, most: int) -> str:
    if least == most:
        return str(least)
    return f"{least} or more" if most >= UNBOUNDED else f"{least} to {most}"
