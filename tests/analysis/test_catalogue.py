"""The catalogue against the sources: every code that can be told is in it, and every code in it can be told."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from onnx import ModelProto, TensorProto, helper, parser

from onnxctl.analysis.catalogue import explain_code, read_catalogue
from onnxctl.analysis.functions import MAXIMUM_CALL_DEPTH
from onnxctl.analysis.structure import find_problems
from onnxctl.errors import UsageError
from onnxctl.model.loading import open_model
from onnxctl.passes.pipeline import PIPELINE
from tests.analysis.test_findings import MODELS
from tests.analysis.test_structure import CHAIN, DAMAGES, NESTED_DAMAGES
from tests.analysis.test_summary import NESTED
from tests.conftest import ROOT

CATALOGUE = {entry.code: entry for entry in read_catalogue()}
SOURCES = sorted((ROOT / "onnxctl").rglob("*.py"))
TOLD_BY = ("Finding", "Problem", "Trouble")
CODE = re.compile(r"[a-z]+[a-z0-9]*(-[a-z0-9]+)+|cycle|unsteady|outliers|imprecise")


def strings(node: ast.AST) -> Iterator[str]:
    return (each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str))


def called_name(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def code_argument(call: ast.Call) -> ast.expr | None:
    named = next((each.value for each in call.keywords if each.arg == "code"), None)
    return named or (call.args[0] if call.args else None)


def functions_that_pass_a_code_on(tree: ast.Module) -> set[str]:
    """Functions with a parameter `code`, as helpers that make findings have."""
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and any(each.arg == "code" for each in node.args.args)
    }


def codes_told() -> dict[str, str]:
    """Every code that the sources make a finding or problem with, and the file it is in.

    A code is a literal where it is used, the value of a variable or function named after codes, or of a table of them.
    """
    found: dict[str, str] = {}
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        makers = {*TOLD_BY, *functions_that_pass_a_code_on(tree)}
        for node in ast.walk(tree):
            literal: ast.AST | None = None
            if isinstance(node, ast.Call) and called_name(node) in makers:
                literal = code_argument(node)
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
                literal = node.value
            elif isinstance(node, ast.FunctionDef) and node.name.endswith("_code"):
                literal = node
            if literal is not None:
                found.update(
                    {
                        text: path.relative_to(ROOT / "onnxctl").as_posix()
                        for text in strings(literal)
                        if CODE.fullmatch(text)
                    }
                )
    return found


TOLD = codes_told()
SEVERITY_OF = re.compile(r'code="(?P<code>[a-z0-9-]+)",\s*severity="(?P<severity>\w+)"')


def test_the_sources_are_understood() -> None:
    """One of each way to tell a code, so that a change of style does not blind this test."""
    assert {"dead-node", "external-data-missing", "unsteady", "unsorted-graph", "wrong-arity", "cycle"} <= TOLD.keys()


@pytest.mark.parametrize("code", TOLD)
def test_every_code_told_is_explained(code: str) -> None:
    assert code in CATALOGUE, f"{TOLD[code]} tells {code!r}: add it to onnxctl/analysis/catalogue.toml"


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_code_explained_is_told(code: str) -> None:
    assert any(f'"{code}"' in path.read_text(encoding="utf-8") for path in SOURCES), f"nothing tells {code!r}"


ODD = {
    "training-info": CHAIN,
    "deprecated-operator": """<ir_version: 8, opset_import: ["" : 13]>
        g (float[1,1,2,2] x, float[4] s) => (float[a,b,c,d] y) { y = Upsample(x, s) }""",
    "function-shadows-operator": """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1] x) => (float[1] y) { y = Relu(x) } <opset_import: ["" : 17]> Relu (p) => (q) { q = Neg(p) }""",
    "shadowed-name": """<ir_version: 8, opset_import: ["" : 17]> g (float[1] x, bool b) => (float[1] y) {
        y = If (b) < then_branch = t () => (float[1] a) { x = Neg(x) a = Neg(x) },
                     else_branch = e () => (float[1] c) { c = Neg(x) }> }""",
    "external-data-unsafe": CHAIN,
    "external-data-invalid": CHAIN,
    "invalid-sparse-tensor": CHAIN,
    "functions-too-deep": CHAIN,
    "duplicate-node-name": """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1] x) => (float[1] y) { [n] z = Relu(x) [n] y = Abs(z) }""",
}
"""Models, or what they are before CHANGES, with something odd or wrong."""


def with_training_graph(model: ModelProto) -> None:
    model.training_info.add().algorithm.name = "step"


def with_data_in(location: str, **entries: str) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        weight = model.graph.initializer[0]
        weight.ClearField("float_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            weight.external_data.add(key=key, value=value)

    return change


def with_a_sparse_tensor_of_two_minds(model: ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add(dims=[9])
    sparse.values.CopyFrom(helper.make_tensor("s", TensorProto.FLOAT, [2], [1, 2]))
    sparse.indices.CopyFrom(helper.make_tensor("", TensorProto.INT64, [3], [1, 2, 3]))


def with_a_chain_of_functions(model: ModelProto) -> None:
    imports = [helper.make_opsetid("local", 1), helper.make_opsetid("", 20)]
    model.opset_import.append(imports[0])
    for index in range(MAXIMUM_CALL_DEPTH + 1):
        last = index == MAXIMUM_CALL_DEPTH
        inner = (
            helper.make_node("Relu", ["p"], ["q"])
            if last
            else helper.make_node(f"F{index + 1}", ["p"], ["q"], domain="local")
        )
        model.functions.append(helper.make_function("local", f"F{index}", ["p"], ["q"], [inner], imports))


CHANGES: dict[str, Callable[[ModelProto], None]] = {
    "training-info": with_training_graph,
    "external-data-unsafe": with_data_in("/etc/passwd"),
    "external-data-invalid": with_data_in("model.onnx", length="1"),
    "invalid-sparse-tensor": with_a_sparse_tensor_of_two_minds,
    "functions-too-deep": with_a_chain_of_functions,
}
"""What ONNX text can't say."""


@pytest.mark.parametrize("code", ODD)
def test_odd_models_have_the_finding(tmp_path: Path, code: str) -> None:
    model = parser.parse_model(ODD[code])
    if code in CHANGES:
        CHANGES[code](model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    problems, findings = find_problems(open_model(str(tmp_path / "model.onnx")))
    assert code in {*(each.code for each in problems), *(each.code for each in findings)}


def test_every_code_of_a_model_can_be_told_of_one(tmp_path: Path) -> None:
    """Those that analysis finds: by the models above, by damaging valid ones, or in a test that names the code."""
    found = {*MODELS, *ODD}
    for text, damages in ((CHAIN, DAMAGES), (NESTED, NESTED_DAMAGES)):
        for damage, _ in damages.values():
            model = parser.parse_model(text)
            damage(model)
            (tmp_path / "model.onnx").write_bytes(model.SerializePartialToString())
            problems, findings = find_problems(open_model(str(tmp_path / "model.onnx")))
            found.update(each.code for each in problems)
            found.update(each.code for each in findings)
    tests = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path.name != "test_catalogue.py"
    )
    by_analysis = {code for code, path in TOLD.items() if path.startswith("analysis/")}
    assert {code for code in by_analysis - found if f'"{code}"' not in tests} == set()


def test_severities_are_those_of_the_catalogue() -> None:
    for path in SOURCES:
        for match in SEVERITY_OF.finditer(path.read_text(encoding="utf-8")):
            assert CATALOGUE[match["code"]].severity == match["severity"], match["code"]


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_entry_is_complete_and_plain(code: str) -> None:
    entry = CATALOGUE[code]
    assert CODE.fullmatch(code)
    assert len(entry.title) <= 76 and not entry.title.endswith(".")
    assert entry.explanation.endswith(".")
    assert entry.remedy and entry.example


def test_passes_named_in_the_catalogue_exist() -> None:
    names = {each.name for each in PIPELINE}
    for entry in CATALOGUE.values():
        for listed in re.findall(r"\(pass(?:es)? ([a-z_, ]+)\)", entry.remedy):
            assert set(listed.split(", ")) <= names, entry.code


def test_a_code_that_does_not_exist_is_an_error_that_helps() -> None:
    assert explain_code("dead-node").severity == "warning"
    with pytest.raises(UsageError, match="no finding with the code 'dead-nodes'") as caught:
        explain_code("dead-nodes")
    assert "dead-node" in caught.value.hint
