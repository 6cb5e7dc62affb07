"""What the ONNX specification asks of each operator's nodes, boiled down from onnx's schemas to one line per version.

The lines stand in operators.txt beside this file: asking onnx for its first schema makes it build all of them, which
takes longer than all else that `inspect` does with a model of average size. Written by

    python -c "from onnxctl.analysis.operator_table import write_table; write_table()"

A line: domain, operator, since_version, least and most inputs, least and most outputs, required inputs, required
outputs, output types, and the attributes. "*" is no limit, "-" nothing, "!" after an attribute's type says that it is
required. An operator that was removed has the word "deprecated" and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from onnx import AttributeProto, TensorProto

if TYPE_CHECKING:
    from onnx.defs import OpSchema

UNBOUNDED = 2**31 - 1

ONNX_DOMAINS = ("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "ai.onnx.training")
"""The domains whose operators the specification itself defines; "" also goes by the name ai.onnx."""

_TABLE = Path(__file__).with_name("operators.txt")
_SUBGRAPHS = frozenset({AttributeProto.GRAPH, AttributeProto.GRAPHS})


class OperatorRule(NamedTuple):
    """One operator at one opset. required_inputs and required_outputs are positions that may not be left empty.

    output_types has for each output its element type where that is fixed, or -1 - position of an input of the same
    type, or 0 where it depends on more than that; the last entry goes for all further outputs. attributes are types
    (AttributeProto.AttributeType) by name.
    """

    op_type: str
    since_version: int
    least_inputs: int
    most_inputs: int
    least_outputs: int
    most_outputs: int
    required_inputs: tuple[int, ...]
    required_outputs: tuple[int, ...]
    output_types: tuple[int, ...]
    attributes: dict[str, int]
    required_attributes: frozenset[str]
    has_subgraphs: bool
    deprecated: bool


# ---------------------------------------------------------------- reading


def read_table() -> str:
    """The text of the table."""
    return _TABLE.read_text(encoding="ascii")


def newest_version(table: str, domain: str) -> int:
    """The newest version of the domain's operator set that the table was written with; 0 where it has none."""
    return next((int(line.split()[2]) for line in _lines(table, f"# {domain or 'ai.onnx'} ")), 0)


def rule_in_table(table: str, domain: str, op_type: str, version: int) -> OperatorRule | None:
    """The operator's rule in force at that version of the domain's operator set, None where there is none."""
    newest: list[str] = []
    if not op_type.isidentifier():  # or a hostile name could reach into the line
        return None
    for line in _lines(table, f"{domain or 'ai.onnx'} {op_type} "):
        words = line.split()
        if int(words[2]) <= version:
            newest = words
    return _read_rule(newest[1:]) if newest else None


def _lines(table: str, beginning: str) -> list[str]:
    """The lines that begin so; they stand together."""
    found = []
    at = table.find("\n" + beginning)
    while at >= 0 and table.startswith(beginning, at + 1):
        end = table.index("\n", at + 1)
        found.append(table[at + 1 : end])
        at = end
    return found


def _read_rule(words: list[str]) -> OperatorRule:
    op_type, since = words[0], int(words[1])
    if words[2] == "deprecated":
        return OperatorRule(op_type, since, 0, UNBOUNDED, 0, UNBOUNDED, (), (), (0,), {}, frozenset(), False, True)
    least_in, most_in, least_out, most_out = (UNBOUNDED if word == "*" else int(word) for word in words[2:6])
    inputs, outputs, types = (() if word == "-" else tuple(map(int, word.split(","))) for word in words[6:9])
    pairs = [word.split("=") for word in words[9:]]
    attributes = {name: int(kind.rstrip("!")) for name, kind in pairs}
    required = frozenset(name for name, kind in pairs if kind.endswith("!"))
    has_subgraphs = not _SUBGRAPHS.isdisjoint(attributes.values())
    counts = least_in, most_in, least_out, most_out
    return OperatorRule(
        op_type, since, *counts, inputs, outputs, types or (0,), attributes, required, has_subgraphs, False
    )


def rule_of_schema(schema: OpSchema) -> OperatorRule:
    """The rule of an operator that is newer than the table."""
    return _read_rule(line_of(schema).split()[1:])


# ---------------------------------------------------------------- writing


def write_table() -> None:
    """Write the table anew, from the schemas of the installed onnx."""
    _TABLE.write_text(made_table(), encoding="ascii")


def made_table() -> str:
    """The text of the table as the installed onnx would have it."""
    import onnx.defs

    schemas = [each for each in onnx.defs.get_all_schemas_with_history() if each.domain in ONNX_DOMAINS]
    newest: dict[str, int] = {}
    for schema in schemas:
        newest[schema.domain] = max(newest.get(schema.domain, 0), schema.since_version)
    newest[""], newest["ai.onnx.ml"] = onnx.defs.onnx_opset_version(), onnx.defs.onnx_ml_opset_version()
    head = [f"# {domain or 'ai.onnx'} {version}" for domain, version in sorted(newest.items())]
    body = [line_of(each) for each in sorted(schemas, key=lambda each: (each.domain, each.name, each.since_version))]
    return "\n".join(["# Written by operator_table.py, which says how to read it.", *head, *body, ""])


def line_of(schema: OpSchema) -> str:
    """The table's line of one schema."""
    head = f"{schema.domain or 'ai.onnx'} {schema.name} {schema.since_version}"
    if schema.deprecated:
        return f"{head} deprecated"
    counts = (schema.min_input, schema.max_input, schema.min_output, schema.max_output)
    limits = " ".join("*" if count >= UNBOUNDED else str(count) for count in counts)
    single = schema.FormalParameterOption.Single
    lists = (
        [i for i, each in enumerate(schema.inputs) if each.option == single],
        [i for i, each in enumerate(schema.outputs) if each.option == single],
        _output_types(schema),
    )
    shown = " ".join(",".join(map(str, numbers)) or "-" for numbers in lists)
    attributes = [f"{name}={_type_of(each)}{'!' if each.required else ''}" for name, each in schema.attributes.items()]
    return " ".join([head, limits, shown, *sorted(attributes)])


def _type_of(attribute: OpSchema.Attribute) -> int:
    return AttributeProto.AttributeType.Value(str(attribute.type).removeprefix("AttrType."))


def _output_types(schema: OpSchema) -> list[int]:
    tensors = {f"tensor({name.lower()})": number for name, number in TensorProto.DataType.items()}
    fixed = {
        each.type_param_str: tensors.get(each.allowed_type_strs[0], 0)
        for each in schema.type_constraints
        if len(each.allowed_type_strs) == 1
    }
    same: dict[str, int] = {}
    for position, each in enumerate(schema.inputs):
        if each.is_homogeneous:
            same.setdefault(each.type_str, -position - 1)
    return [
        tensors.get(each.type_str, 0)
        or fixed.get(each.type_str, 0)
        or (same.get(each.type_str, 0) if each.is_homogeneous else 0)
        for each in schema.outputs
    ]
