"""The table of operators is what the installed onnx says, and is read as it was written."""

from __future__ import annotations

import onnx.defs
import pytest

from onnxctl.analysis.operator_table import (
    ONNX_DOMAINS,
    UNBOUNDED,
    made_table,
    newest_version,
    read_table,
    rule_in_table,
    rule_of_schema,
)


def test_the_table_is_what_the_installed_onnx_says() -> None:
    """Fails where the table is older than onnx: its docstring has the command that writes it anew."""
    assert read_table() == made_table()


def test_every_schema_is_found_at_the_versions_it_is_in_force() -> None:
    table = read_table()
    schemas = [each for each in onnx.defs.get_all_schemas_with_history() if each.domain in ONNX_DOMAINS]
    assert len(schemas) > 600
    for schema in schemas:
        latest = newest_version(table, schema.domain)
        for version in {schema.since_version, latest}:
            in_force = onnx.defs.get_schema(schema.name, version, schema.domain)
            assert rule_in_table(table, schema.domain, schema.name, version) == rule_of_schema(in_force)
        assert rule_in_table(table, schema.domain, schema.name, 0) is None


def test_a_rule_says_what_the_specification_says() -> None:
    rule = rule_in_table(read_table(), "", "Conv", 20)
    assert rule is not None
    assert (rule.since_version, rule.least_inputs, rule.most_inputs, rule.required_inputs) == (11, 2, 3, (0, 1))
    assert rule.attributes["strides"] == onnx.AttributeProto.INTS and not rule.required_attributes
    loop = rule_in_table(read_table(), "", "Loop", 20)
    assert loop is not None and loop.has_subgraphs and loop.required_attributes == {"body"}
    assert loop.most_inputs == UNBOUNDED
    top = rule_in_table(read_table(), "", "TopK", 20)
    assert top is not None and top.output_types == (-1, onnx.TensorProto.INT64)
    upsample = rule_in_table(read_table(), "", "Upsample", 10)
    assert upsample is not None and upsample.deprecated


@pytest.mark.parametrize("name", ["", "Add 14", "Add 14 2 2 1", "Add\n", "\n# ai.onnx", "ai.onnx", "Ad", "add"])
def test_a_name_that_is_no_operator_finds_none(name: str) -> None:
    assert rule_in_table(read_table(), "", name, 20) is None
