"""Attributes as Python values: as onnx.helper has them, which takes longer to load than a small model to optimize."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, NodeProto, TensorProto

from onnxctl.model.attributes import AttributeValue, attribute_value, new_attribute, set_attribute

FLOATS = st.floats(width=32, allow_nan=False)
INTS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(
    INTS,
    FLOATS,
    st.binary(),
    st.text(),
    st.booleans(),
    st.lists(INTS, min_size=1),
    st.lists(FLOATS, min_size=1),
    st.lists(st.binary(), min_size=1),
    st.just(TensorProto(data_type=TensorProto.INT64, dims=[2], int64_data=[1, 2])),
)


@given(VALUES)
def test_attributes_are_those_of_onnx_and_come_back(value: AttributeValue) -> None:
    made = new_attribute("a", value)
    assert made == onnx.helper.make_attribute("a", value)
    assert attribute_value(made) == onnx.helper.get_attribute_value(made)
    assert attribute_value(made) == (value.encode() if isinstance(value, str) else value)


def test_an_empty_list_is_one_of_integers() -> None:
    assert new_attribute("perm", []) == AttributeProto(name="perm", type=AttributeProto.INTS)


def test_what_no_attribute_can_be_made_of_is_refused() -> None:
    with pytest.raises(TypeError):
        new_attribute("a", object())  # type: ignore[arg-type]


def test_a_reference_has_no_value() -> None:
    with pytest.raises(ValueError, match="'alpha' refers to 'beta'"):
        attribute_value(AttributeProto(name="alpha", ref_attr_name="beta", type=AttributeProto.FLOAT))
    assert attribute_value(AttributeProto(name="alpha", f=1.0)) is None


def test_setting_an_attribute_replaces_it_or_adds_it() -> None:
    node = NodeProto(op_type="Concat")
    set_attribute(node, "axis", 1)
    set_attribute(node, "other", [1.5])
    set_attribute(node, "axis", -2)
    assert {each.name: attribute_value(each) for each in node.attribute} == {"other": [1.5], "axis": -2}
