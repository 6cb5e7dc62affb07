"""What the ONNX specification asks of a node: its operator's inputs, outputs and attributes, from onnx's own schemas.

Schemas are dear to ask for, so each operator is asked for once and boiled down to an `OperatorRule`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import onnx.defs
from onnx import AttributeProto, NodeProto, TensorProto

from onnxctl.analysis.attributes import VALUE_FIELDS, type_of_value, value_fields
from onnxctl.analysis.scopes import as_text
from onnxctl.errors import InvalidModel

NEWEST_OPSETS = {"": onnx.defs.onnx_opset_version(), "ai.onnx.ml": onnx.defs.onnx_ml_opset_version()}
"""The newest operator set the installed onnx knows, by domain."""

ONNX_DOMAINS = frozenset({"", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training"})
"""The domains whose operators the specification itself defines; "" also goes by the name ai.onnx."""

RUNTIME_DOMAINS = frozenset({"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"})
"""The domains of onnxruntime's own operators."""

_UNBOUNDED = 2**31 - 1

_TENSOR_TYPES = {
    f"tensor({name.lower()})": number
    for name, number in TensorProto.DataType.items()
    if number != TensorProto.UNDEFINED
}

_ATTRIBUTE_TYPES: dict[onnx.defs.OpSchema.AttrType, int] = {
    getattr(onnx.defs.OpSchema.AttrType, name): number
    for name, number in AttributeProto.AttributeType.items()
    if name != "UNDEFINED"
}

_LIST_FIELDS = frozenset({"floats", "ints", "strings", "tensors", "graphs", "sparse_tensors", "type_protos"})
_SUBGRAPHS = frozenset({AttributeProto.GRAPH, AttributeProto.GRAPHS})
_TYPE_NAMES: dict[int, str] = {number: name.lower() for name, number in AttributeProto.AttributeType.items()}


class OperatorRule(NamedTuple):
    """One operator at one opset. required_inputs and required_outputs are positions that may not be left empty.

    output_types has for each output its element type where that is fixed, or -1 - position of an input of the same
    type, or 0 where it depends on more than that; the last entry goes for all further outputs.
    """

    op_type: str
    since_version: int
    least_inputs: int
    most_inputs: int
    least_outputs: int
    most_outputs: int
    required_inputs: tuple[int, ...]
    required_outputs: tuple[int, ...]
    attributes: dict[str, int]
    required_attributes: frozenset[str]
    has_subgraphs: bool
    output_types: tuple[int, ...]
    deprecated: bool


class OperatorRules:
    """The rules for the nodes of a graph or function body; opsets are its imports, "" standing for ai.onnx."""

    def __init__(self, opsets: Mapping[str, int], ir_version: int, *, in_function: bool = False) -> None:
        self.opsets = opsets
        self.ir_version = ir_version
        self.in_function = in_function
        self._known: dict[tuple[str, str], OperatorRule | None] = {}

    def rule(self, domain: str, op_type: str) -> OperatorRule | None:
        """The operator's rule; None where the specification has no such operator, or not in a version known here."""
        key = domain, op_type
        if key not in self._known:
            self._known[key] = self._look_up(domain, op_type)
        return self._known[key]

    def is_too_new(self, domain: str) -> bool:
        """Whether the imported version of the domain is newer than the installed onnx knows."""
        return self.opsets.get(domain, 0) > NEWEST_OPSETS.get(domain, _UNBOUNDED)

    def _look_up(self, domain: str, op_type: str) -> OperatorRule | None:
        version = self.opsets.get(domain, 0)
        if domain not in ONNX_DOMAINS or not 0 < version < _UNBOUNDED or self.is_too_new(domain):
            return None
        try:
            return _rule(onnx.defs.get_schema(as_text(op_type), version, domain))
        except (onnx.defs.SchemaError, UnicodeEncodeError):
            return None

    def check_node(self, node: NodeProto, rule: OperatorRule | None) -> None:
        """Raises InvalidModel where the node breaks its rule; without a rule only the form of attributes is checked."""
        if rule is not None:
            _check_arity(node, rule)
        attributes = node.attribute
        given = self._check_attributes(attributes, rule) if attributes else set()
        if rule is not None and not rule.required_attributes <= given:
            missing = ", ".join(sorted(rule.required_attributes - given))
            raise InvalidModel(f"{rule.op_type} needs the attribute {missing}, which is missing")

    def _check_attributes(self, attributes: Iterable[AttributeProto], rule: OperatorRule | None) -> set[str]:
        given: set[str] = set()
        for attribute in attributes:
            name = attribute.name
            if name in given:
                raise InvalidModel(f"attribute {as_text(name)!r} is given twice")
            given.add(name)
            kind = self._checked_type(attribute)
            if rule is None:
                continue
            expected = rule.attributes.get(name)
            if expected is None:
                raise InvalidModel(f"{rule.op_type} has no attribute {as_text(name)!r}")
            if kind != expected:
                raise InvalidModel(
                    f"attribute {as_text(name)!r} is of type {_TYPE_NAMES[kind]}, "
                    f"but {rule.op_type} takes {_TYPE_NAMES[expected]}"
                )
        return given

    def _checked_type(self, attribute: AttributeProto) -> AttributeProto.AttributeType:
        """Its type. Raises InvalidModel where it has no name, no type, or not just the value of its type."""
        if not attribute.name:
            raise InvalidModel("an attribute has no name")
        name = as_text(attribute.name)
        kind = attribute.type
        fields = value_fields(attribute)
        if kind == AttributeProto.UNDEFINED and self.ir_version < _FIRST_IR_WITH_ATTRIBUTE_TYPES:
            kind = type_of_value(attribute)
        if kind == AttributeProto.UNDEFINED:
            raise InvalidModel(f"attribute {name!r} has no type, or one that onnx does not know")
        if attribute.ref_attr_name:
            if not self.in_function:
                raise InvalidModel(f"attribute {name!r} refers to an attribute of a function, outside of any function")
            if fields:
                raise InvalidModel(f"attribute {name!r} has a value and refers to a function's attribute as well")
            return kind
        wanted = VALUE_FIELDS[kind]
        if fields != [wanted] and (fields or wanted not in _LIST_FIELDS):
            held = " and ".join(fields) or "nothing"
            raise InvalidModel(f"attribute {name!r} is of type {_TYPE_NAMES[kind]}, but has {held}, not just {wanted}")
        return kind


_FIRST_IR_WITH_ATTRIBUTE_TYPES = 2


def _check_arity(node: NodeProto, rule: OperatorRule) -> None:
    inputs, outputs = node.input, node.output
    if not rule.least_inputs <= len(inputs) <= rule.most_inputs:
        wanted = _range(rule.least_inputs, rule.most_inputs)
        raise InvalidModel(f"{rule.op_type} takes {wanted} inputs, but {len(inputs)} are given")
    if not rule.least_outputs <= len(outputs) <= rule.most_outputs:
        wanted = _range(rule.least_outputs, rule.most_outputs)
        raise InvalidModel(f"{rule.op_type} has {wanted} outputs, but {len(outputs)} are given")
    for what, names, required in (("input", inputs, rule.required_inputs), ("output", outputs, rule.required_outputs)):
        if "" in names and (empty := [i for i in required if i < len(names) and not names[i]]):
            raise InvalidModel(f"{what} {empty[0]} of {rule.op_type} is required, but left empty")


def _range(least: int, most: int) -> str:
    if least == most:
        return str(least)
    return f"{least} or more" if most >= _UNBOUNDED else f"{least} to {most}"


# ---------------------------------------------------------------- from onnx's schemas


def _rule(schema: onnx.defs.OpSchema) -> OperatorRule:
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    attributes = schema.attributes
    return OperatorRule(
        op_type=schema.name,
        since_version=schema.since_version,
        least_inputs=schema.min_input,
        most_inputs=schema.max_input,
        least_outputs=schema.min_output,
        most_outputs=schema.max_output,
        required_inputs=tuple(i for i, each in enumerate(schema.inputs) if each.option == single),
        required_outputs=tuple(i for i, each in enumerate(schema.outputs) if each.option == single),
        attributes={name: _ATTRIBUTE_TYPES[each.type] for name, each in attributes.items()},
        required_attributes=frozenset(name for name, each in attributes.items() if each.required),
        has_subgraphs=any(_ATTRIBUTE_TYPES[each.type] in _SUBGRAPHS for each in attributes.values()),
        output_types=_output_types(schema),
        deprecated=schema.deprecated,
    )


def _output_types(schema: onnx.defs.OpSchema) -> tuple[int, ...]:
    fixed = {
        each.type_param_str: _TENSOR_TYPES.get(each.allowed_type_strs[0], 0)
        for each in schema.type_constraints
        if len(each.allowed_type_strs) == 1
    }
    same: dict[str, int] = {}
    for position, each in enumerate(schema.inputs):
        if each.is_homogeneous:
            same.setdefault(each.type_str, -position - 1)
    found = []
    for each in schema.outputs:
        kind = each.type_str
        found.append(
            _TENSOR_TYPES.get(kind, 0) or fixed.get(kind, 0) or (same.get(kind, 0) if each.is_homogeneous else 0)
        )
    return tuple(found) or (0,)
