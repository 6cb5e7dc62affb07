"""The structure check: real models pass, each broken rule is an error that names the thing, oddities are findings.

Random damage is judged by onnx.checker as well: the two must agree on what is valid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, StringStringEntryProto, TensorProto, checker, helper, parser

from onnxctl.analysis import storage
from onnxctl.analysis.structure import check_structure, find_problems, require_usable
from onnxctl.errors import InvalidModel, ModelError, UnreadableFile, UnsupportedModel
from onnxctl.model.loading import open_model
from onnxctl.render.escape import escape
from onnxctl.reports import Finding
from tests.analysis.test_summary import NESTED, opened, two_tensors_in_one_file
from tests.conftest import sample_paths, shared_paths

CHAIN = """
<ir_version: 10, opset_import: ["": 20]>
g (float[2] x, float[2] z) => (float[2] y) <float[2] w = {1, 2}>
{ [n1] a = Add (x, w) [n2] b = LeakyRelu <alpha = 0.5> (a) [n3] y = Concat <axis = 0> (b, z) }
"""


def codes(findings: tuple[Finding, ...]) -> list[str]:
    return [each.code for each in findings]


def findings_of(folder: Path, model: ModelProto | str) -> tuple[Finding, ...]:
    return check_structure(opened(folder, model))


@pytest.mark.parametrize("path", [*sample_paths(), *shared_paths()], ids=lambda path: path.name)
def test_real_models_are_valid(path: Path) -> None:
    assert not [each for each in check_structure(open_model(str(path))) if each.severity == "error"]


BACKEND = Path(onnx.__file__).parent / "backend" / "test" / "data"


def test_the_models_of_onnx_itself_are_valid() -> None:
    paths = sorted(BACKEND.rglob("*.onnx"))
    assert len(paths) > 100
    assert {path.parent.name: check_structure(open_model(str(path))) for path in paths} == {
        path.parent.name: () for path in paths
    }


# ---------------------------------------------------------------- what breaks the specification

Damage = Callable[[ModelProto], object]


def _attribute(model: ModelProto, **changes: object) -> None:
    attribute = model.graph.node[1].attribute[0]
    for name, value in changes.items():
        setattr(attribute, name, value)


REFERENCE = AttributeProto(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="p")

DAMAGES: dict[str, tuple[Damage, str]] = {
    "no ir_version": (lambda m: m.ClearField("ir_version"), "ir_version"),
    "ir_version 0": (lambda m: setattr(m, "ir_version", 0), "ir_version"),
    "no graph": (lambda m: m.ClearField("graph"), "graph"),
    "an empty graph": (lambda m: m.graph.Clear(), "graph"),
    "no opset_import": (lambda m: m.ClearField("opset_import"), "opset_import"),
    "opset 0": (lambda m: setattr(m.opset_import[0], "version", 0), "opset_import"),
    "two opsets of a domain": (lambda m: m.opset_import.add(domain="ai.onnx", version=19), "19"),
    "a domain not imported": (lambda m: setattr(m.graph.node[0], "domain", "elsewhere"), "'elsewhere'"),
    "no op_type": (lambda m: m.graph.node[0].ClearField("op_type"), "op_type"),
    "an input from nowhere": (lambda m: m.graph.node[0].input.__setitem__(1, "ghost"), "'n1' reads 'ghost'"),
    "a required output left out": (lambda m: m.graph.node[0].output.__setitem__(0, ""), "'n1': output 0"),
    "an output from nowhere": (lambda m: setattr(m.graph.output[0], "name", "ghost"), "'ghost'"),
    "a value made twice": (lambda m: m.graph.node[1].output.__setitem__(0, "a"), "'n2' makes 'a'"),
    "an input made again": (lambda m: m.graph.node[1].output.__setitem__(0, "x"), "'n2' makes 'x'"),
    "a weight made again": (lambda m: m.graph.node[1].output.__setitem__(0, "w"), "'n2' makes 'w'"),
    "a node reading itself": (lambda m: m.graph.node[1].input.__setitem__(0, "b"), "cycle"),
    "a cycle of two": (lambda m: m.graph.node[0].input.__setitem__(0, "b"), "cycle"),
    "an input twice": (lambda m: setattr(m.graph.input[1], "name", "x"), "input 'x' is given twice"),
    "a weight twice": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "initializer 'w' is given twice"),
    "a weight without a name": (lambda m: m.graph.initializer[0].ClearField("name"), "no name"),
    "a weight unlike its input": (
        lambda m: m.graph.input.append(helper.make_tensor_value_info("w", TensorProto.INT8, [2])),
        "initializer 'w' is float32, but the input of that name int8",
    ),
    "a weight with too few bytes": (lambda m: m.graph.initializer[0].dims.append(2), "'w'"),
    "an input without a type": (lambda m: m.graph.input[0].ClearField("type"), "'x' has no type"),
    "an input of no known type": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 99), "99"),
    "an output of another type": (lambda m: setattr(m.graph.output[0].type.tensor_type, "elem_type", 7), "'y'"),
    "too many inputs": (lambda m: m.graph.node[0].input.extend(["x", "x"]), "'n1': Add takes 2 inputs"),
    "too few inputs": (lambda m: m.graph.node[0].input.pop(), "'n1': Add takes 2 inputs"),
    "a required input left out": (lambda m: m.graph.node[0].input.__setitem__(0, ""), "'n1': input 0"),
    "no outputs": (lambda m: m.graph.node[0].ClearField("output"), "'n1': Add has 1 outputs"),
    "an unknown attribute": (lambda m: _attribute(m, name="bogus"), "'bogus'"),
    "an attribute without a name": (lambda m: _attribute(m, name=""), "no name"),
    "an attribute of two values": (lambda m: _attribute(m, i=3), "'alpha'"),
    "an attribute of the wrong type": (
        lambda m: m.graph.node[1].attribute[0].CopyFrom(helper.make_attribute("alpha", 1)),
        "'alpha'",
    ),
    "an attribute without a type": (lambda m: m.graph.node[1].attribute[0].ClearField("type"), "'alpha' has no type"),
    "an attribute twice": (
        lambda m: m.graph.node[1].attribute.append(m.graph.node[1].attribute[0]),
        "'alpha' is given twice",
    ),
    "a required attribute missing": (
        lambda m: m.graph.node[2].ClearField("attribute"),
        "'n3': Concat needs the attribute axis",
    ),
    "a reference outside of functions": (
        lambda m: m.graph.node[1].attribute[0].CopyFrom(REFERENCE),
        "'n2'",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_breaks_the_specification_is_an_error_that_names_it(tmp_path: Path, damage: str) -> None:
    model = parser.parse_model(CHAIN)
    assert findings_of(tmp_path, model) == ()
    apply, words = DAMAGES[damage]
    apply(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializePartialToString())
    with pytest.raises(InvalidModel) as caught:
        check_structure(open_model(str(tmp_path / "model.onnx")))
    assert words in caught.value.message


NESTED_DAMAGES: dict[str, tuple[Damage, str]] = {
    "no else_branch": (lambda m: m.graph.node[0].attribute.pop(), "else_branch"),
    "branches of different length": (
        lambda m: m.graph.node[0].attribute[1].g.ClearField("output"),
        "the branches of the If",
    ),
    "branches of different types": (
        lambda m: setattr(m.graph.node[0].attribute[1].g.output[0].type.tensor_type, "elem_type", 7),
        "float32 and int64",
    ),
    "an inner name from nowhere": (
        lambda m: m.graph.node[0].attribute[0].g.node[1].input.__setitem__(0, "ghost"),
        "choice/then_branch/Twice(a)' reads 'ghost'",
    ),
    "an outer value put out as it is": (
        lambda m: setattr(m.graph.node[0].attribute[1].g.output[0], "name", "x"),
        "'choice/else_branch' has the output 'x'",
    ),
    "the inner of the other branch": (
        lambda m: m.graph.node[0].attribute[0].g.node[1].input.__setitem__(0, "t"),
        "reads 't'",
    ),
    "a function twice": (lambda m: m.functions.append(m.functions[0]), "local:Twice is given twice"),
    "a recursive function": (
        lambda m: m.functions[0].node.append(helper.make_node("Twice", ["p"], ["r"], domain="local")),
        "not among the opset_imports",
    ),
    "a function that makes no output": (lambda m: m.functions[0].node.pop(), "'q'"),
}


@pytest.mark.parametrize("damage", NESTED_DAMAGES)
def test_subgraphs_and_functions_are_checked_as_well(tmp_path: Path, damage: str) -> None:
    model = parser.parse_model(NESTED)
    assert findings_of(tmp_path, model) == ()
    apply, words = NESTED_DAMAGES[damage]
    apply(model)
    with pytest.raises(InvalidModel) as caught:
        findings_of(tmp_path, model)
    assert words in caught.value.message


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    model = parser.parse_model(NESTED)
    model.functions[0].opset_import.add(domain="local", version=1)
    model.functions[0].node.append(helper.make_node("Twice", ["p"], ["r"], domain="local"))
    with pytest.raises(InvalidModel, match="recursive"):
        findings_of(tmp_path, model)


# ---------------------------------------------------------------- what is merely odd


def test_an_unsorted_graph_is_told_but_no_error(tmp_path: Path) -> None:
    model = parser.parse_model(CHAIN)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    finding = findings_of(tmp_path, model)[0]
    assert finding.code == "unsorted-graph" and "'n3' reads 'b'" in finding.message


def test_a_subgraph_may_read_what_an_unsorted_graph_makes_later(tmp_path: Path) -> None:
    model = parser.parse_model(NESTED)
    model.graph.node[0].attribute[0].g.node[1].input[0] = "late"
    model.graph.node.append(helper.make_node("Neg", ["x"], ["late"], "late"))
    assert codes(findings_of(tmp_path, model)) == ["unsorted-graph"]


ODDITIES: dict[str, tuple[Damage, str, str]] = {
    "same node names": (lambda m: setattr(m.graph.node[1], "name", "n1"), "duplicate-node-name", "'n1'"),
    "no outputs": (lambda m: m.graph.ClearField("output"), "no-outputs", "output"),
    "an output twice": (lambda m: m.graph.output.append(m.graph.output[0]), "duplicate-output", "'y'"),
    "a new opset": (lambda m: setattr(m.opset_import[0], "version", 999), "opset-too-new", "999"),
    "a new IR version": (lambda m: setattr(m, "ir_version", 99), "ir-version-too-new", "99"),
    "an unknown operator": (lambda m: setattr(m.graph.node[0], "op_type", "Addd"), "unknown-operator", "'Addd'"),
    "an operator of a later opset": (lambda m: setattr(m.opset_import[0], "version", 5), "unknown-operator", "opset 5"),
    "metadata twice": (
        lambda m: m.metadata_props.MergeFrom([StringStringEntryProto(key="k", value=value) for value in "12"]),
        "duplicate-metadata-key",
        "'k'",
    ),
    "a negative dimension": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -1),
        "negative-dimension",
        "unknown",
    ),
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_what_is_odd_is_a_finding(tmp_path: Path, oddity: str) -> None:
    model = parser.parse_model(CHAIN)
    apply, code, words = ODDITIES[oddity]
    apply(model)
    if "later opset" in oddity:
        model.graph.node[1].op_type = "Mish"
        del model.graph.node[1].attribute[:]
    findings = [each for each in findings_of(tmp_path, model) if each.code == code]
    assert len(findings) == 1 and words in findings[0].message


CUSTOM = """
<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1, "my.own": 1]>
g (float[2] x) => (y)
{ a = com.microsoft.Gelu (x) b = my.own.Thing <whatever = 1> (a) c = my.own.Thing (b) y = Relu (c) }
"""


def test_operators_of_other_runtimes_are_named_and_those_of_onnxruntime_taken(tmp_path: Path) -> None:
    model = opened(tmp_path, CUSTOM)
    findings = check_structure(model)
    assert codes(findings) == ["custom-operator"]
    assert "'Thing' (2 nodes) of the domain 'my.own'" in findings[0].message
    assert require_usable(model, for_running=False) == findings
    with pytest.raises(UnsupportedModel, match="my\\.own"):
        require_usable(model)


@pytest.mark.parametrize("name", ["EPContext", "PyOp"])
def test_operators_that_carry_code_are_named(tmp_path: Path, name: str) -> None:
    model = opened(tmp_path, CUSTOM.replace("Gelu", name))
    assert codes(check_structure(model))[0] == "native-operator"
    with pytest.raises(UnsupportedModel, match=name):
        require_usable(model)


def test_names_that_are_not_utf8_are_told(tmp_path: Path) -> None:
    data = parser.parse_model(CHAIN).SerializeToString().replace(b"\x01b", b"\x01\xff")
    (tmp_path / "model.onnx").write_bytes(data)
    findings = check_structure(open_model(str(tmp_path / "model.onnx")))
    assert codes(findings) == ["invalid-utf8"]
    assert escape(findings[0].message) == r"the name '\xff' is not UTF-8"


# ---------------------------------------------------------------- external data


def test_missing_data_is_one_finding_for_all_tensors_of_the_file(tmp_path: Path) -> None:
    model = two_tensors_in_one_file(tmp_path)
    (tmp_path / "weights.bin").unlink()
    findings = findings_of(tmp_path, model)
    assert codes(findings) == ["external-data-missing"]
    assert "'a'" in findings[0].message and "1 more tensors" in findings[0].message
    with pytest.raises(UnreadableFile, match="weights\\.bin"):
        require_usable(open_model(str(tmp_path / "model.onnx")))


def with_checksum(folder: Path, checksum: str) -> ModelProto:
    model = two_tensors_in_one_file(folder)
    model.graph.initializer[0].external_data.add(key="checksum", value=checksum)
    return model


def test_a_right_checksum_is_silent_and_a_wrong_one_told(tmp_path: Path) -> None:
    right = hashlib.sha1(bytes(16)).hexdigest()
    assert findings_of(tmp_path, with_checksum(tmp_path, right)) == ()
    assert codes(findings_of(tmp_path, with_checksum(tmp_path, "0" * 40))) == ["external-data-checksum"]
    with pytest.raises(InvalidModel, match="checksum"):
        require_usable(open_model(str(tmp_path / "model.onnx")))


def test_a_large_file_is_not_hashed_to_be_inspected_but_to_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "CHECKSUM_BYTES", 15)
    assert codes(findings_of(tmp_path, with_checksum(tmp_path, "0" * 40))) == ["external-data-checksum-unchecked"]
    with pytest.raises(InvalidModel, match="checksum"):
        require_usable(open_model(str(tmp_path / "model.onnx")))


def test_keys_that_onnx_does_not_have_are_told(tmp_path: Path) -> None:
    model = two_tensors_in_one_file(tmp_path)
    model.graph.initializer[0].external_data.add(key="hash", value="1")
    findings = findings_of(tmp_path, model)
    assert codes(findings) == ["external-data-unknown-key"] and "'hash'" in findings[0].message


# ---------------------------------------------------------------- against onnx.checker

SEEDS = [CHAIN, NESTED]


@st.composite
def damaged(draw: st.DrawFn) -> ModelProto:
    """A small model with one to three random edits: names, operators, attributes, nodes, types."""
    model = parser.parse_model(draw(st.sampled_from(SEEDS)))
    bodies = [model.graph, *(a.g for n in model.graph.node for a in n.attribute if a.HasField("g"))]
    for _ in range(draw(st.integers(1, 3))):
        body = draw(st.sampled_from(bodies))
        if not body.node:
            continue
        node = draw(st.sampled_from(list(body.node)))
        names = st.sampled_from(["x", "w", "a", "b", "y", "t", "ghost", ""])
        match draw(st.integers(0, 8)):
            case 0 if node.input:
                node.input[draw(st.integers(0, len(node.input) - 1))] = draw(names)
            case 1 if node.output:
                node.output[0] = draw(names)
            case 2:
                node.input.append(draw(names))
            case 3:
                node.op_type = draw(st.sampled_from(["Relu", "Concat", "Clip", "LeakyRelu", "Sum"]))
            case 4 if node.attribute:
                node.attribute[0].name = draw(st.sampled_from(["alpha", "axis", "other"]))
            case 5:
                node.attribute.append(helper.make_attribute(draw(st.sampled_from(["alpha", "axis"])), 1))
            case 6:
                body.node.remove(node)
            case 7:
                body.node.append(node)
            case 8 if body.output:
                body.output[0].name = draw(names)
            case _:
                node.ClearField("attribute")
    return model


@given(damaged())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_verdicts_agree_with_those_of_onnx_checker(tmp_path: Path, model: ModelProto) -> None:
    (tmp_path / "model.onnx").write_bytes(model.SerializePartialToString())
    try:
        checker.check_model(str(tmp_path / "model.onnx"))
        valid = True
    except (checker.ValidationError, onnx.shape_inference.InferenceError):
        valid = False
    try:
        odd = codes(check_structure(open_model(str(tmp_path / "model.onnx"))))
        ours = set(odd) <= {"custom-operator", "duplicate-node-name"}  # odd, and valid
    except ModelError:
        ours = False
    assert ours == valid


@pytest.mark.slow
def test_the_node_tests_of_onnx_are_valid(tmp_path: Path) -> None:
    from onnx.backend.test.case.node import collect_testcases

    models = {case.name: case.model for case in collect_testcases(None) if case.model is not None}
    assert len(models) > 1500
    assert {name: found for name, model in models.items() if (found := findings_of(tmp_path, model))} == {}


CALLED = """<ir_version: 10, opset_import: ["": 20, "f": 1]> g (float[2] x) => (float[2] y)
{ [one] a = f.Leak <slope = 0.5> (x) [two] y = f.Leak (a) }
<domain: "f", opset_import: ["": 20]> Leak <slope: float = 0.25> (x) => (y)
{ [first] h = LeakyRelu <alpha: float = @slope> (x) [second] y = LeakyRelu <alpha: float = @slope> (h) }"""


@pytest.mark.parametrize(
    ("where", "spoil"),
    [
        ("one", lambda m: m.graph.node[0].attribute[0].CopyFrom(helper.make_attribute("slope", 1))),
        ("function:f:Leak", lambda m: m.functions[0].attribute_proto[0].CopyFrom(helper.make_attribute("slope", "s"))),
    ],
)
def test_a_function_is_given_attributes_of_the_types_it_takes(where: str, spoil: Damage, tmp_path: Path) -> None:
    model = parser.parse_model(CALLED)
    assert findings_of(tmp_path, model) == ()
    spoil(model)
    (tmp_path / "spoilt.onnx").write_bytes(model.SerializeToString())
    problems, _ = find_problems(open_model(str(tmp_path / "spoilt.onnx")))
    assert [(each.code, each.where, each.field) for each in problems] == [("attribute-type", where, "slope")]
