"""Versions and kernels that models need, held against what onnxruntime itself says when it opens them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import parser

from onnxctl.analysis.compatibility import check_compatibility
from onnxctl.analysis.contrib_releases import read_contrib_releases
from onnxctl.analysis.ir_versions import lowest_ir_version
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import Model, open_model
from onnxctl.model.propagation import propagate
from onnxctl.reports import CompatibilityReport, InstalledKernels, Kernel, TypeRule
from tests.analysis.test_summary import opened
from tests.command_line import environment
from tests.conftest import SAMPLES

CPU = "CPUExecutionProvider"
BACKEND = Path(onnx.__file__).parent / "backend" / "test" / "data"


def report_of(model: Model, installed: InstalledKernels | None) -> CompatibilityReport:
    graphs = ModelGraphs(model)
    return check_compatibility(graphs, propagate(graphs), installed)


def kernels(*given: Kernel, version: str = "1.32.0") -> InstalledKernels:
    return InstalledKernels(version=version, providers=("TPUExecutionProvider", CPU), kernels=given)


def kernel(op_type: str, first: int, last: int | None = None, types: tuple[str, ...] = ("tensor(float)",)) -> Kernel:
    rules = (TypeRule(is_output=False, position=0, types=types), TypeRule(is_output=True, position=0, types=types))
    return Kernel(domain="", op_type=op_type, provider=CPU, first_version=first, last_version=last, rules=rules)


TEXT = '<ir_version: 8, opset_import: ["": 17]> g ({0}[1] x) => ({0}[1] y) {{ a = Relu(x) y = Abs(a) }}'


# ---------------------------------------------------------------- kernels


def test_a_kernel_must_be_for_the_version_or_a_range_with_an_end_that_holds_it(tmp_path: Path) -> None:
    model = opened(tmp_path, TEXT.format("float"))  # Relu-14, Abs-13
    assert report_of(model, kernels(kernel("Relu", 14), kernel("Abs", 6, 13))).gaps == ()
    missing = report_of(model, kernels(kernel("Relu", 13), kernel("Abs", 6, 12))).gaps
    assert {(each.op_type, each.reason, each.count, each.where) for each in missing} == {
        ("Relu", "no kernel for version 14", 1, "Relu(a)"),
        ("Abs", "no kernel for version 13", 1, "Abs(y)"),
    }


def test_a_kernel_must_take_the_types(tmp_path: Path) -> None:
    given = kernels(kernel("Relu", 14, types=("tensor(float)", "tensor(double)")), kernel("Abs", 13))
    report = report_of(opened(tmp_path, TEXT.format("double")), given)
    assert [(each.op_type, each.reason, each.fallback) for each in report.gaps] == [("Abs", "no kernel for double", "")]
    assert {each.provider: each.covered_count for each in report.providers} == {"TPUExecutionProvider": None, CPU: 1}


def test_float16_on_the_cpu_runs_between_casts(tmp_path: Path) -> None:
    report = report_of(opened(tmp_path, TEXT.format("float16")), kernels(kernel("Relu", 14), kernel("Abs", 13)))
    assert {each.fallback for each in report.gaps} == {"runs in float32, between casts"}
    assert report.providers[1].covered_count == 2


def test_operators_that_are_functions_may_be_expanded(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[1] x) => (float[1] y) { y = Mish(x) z = Det(x) }'
    gaps = {each.op_type: each.fallback for each in report_of(opened(tmp_path, text), kernels(kernel("Relu", 1))).gaps}
    assert gaps == {"Mish": "may be expanded to operators that have one", "Det": ""}


def test_domains_are_told_apart(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1, "own": 1, "local": 1]>
        g (float[1] x) => (float[1] y) { a = com.microsoft.Gelu(x) b = own.Op(a) c = own.Op(b) y = local.F(c) }
        <domain: "local", opset_import: ["": 17]> F (p) => (q) { q = Relu(p) }"""
    report = report_of(opened(tmp_path, text), None)
    assert [(each.domain, each.op_type, each.count) for each in report.contrib] == [("com.microsoft", "Gelu", 1)]
    assert [(each.domain, each.op_type, each.count) for each in report.custom] == [("own", "Op", 2)]


def needs(folder: Path, *operators: str) -> CompatibilityReport:
    body = " ".join(f"y{index} = com.microsoft.{name}(x)" for index, name in enumerate(operators))
    text = f'<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]> g (float[1] x) => (float[1] y0) {{ {body} }}'
    return report_of(opened(folder, text), None)


@pytest.mark.parametrize(
    ("operators", "release", "reason"),
    [
        (["Gelu"], "1.12", ""),  # as the versions say: the operator is as old or older
        (["Gelu", "QMoE", "MoE"], "1.18", "com.microsoft.QMoE"),
        (["QMoE", "NoSuchOperator"], "", "com.microsoft.NoSuchOperator"),
    ],
)
def test_operators_of_onnxruntime_need_a_release_that_has_them(
    tmp_path: Path, operators: list[str], release: str, reason: str
) -> None:
    report = needs(tmp_path, *operators)
    assert (report.stated.onnxruntime, report.stated.reason) == (release, reason)
    assert report.lowest.onnxruntime == release or report.lowest.onnxruntime < release
    known = {each.op_type: (each.onnxruntime, each.or_older) for each in report.contrib}
    assert {"Gelu": ("1.16", True), "QMoE": ("1.18", False), "NoSuchOperator": ("", False)}.items() & known.items()


def test_the_installed_onnxruntime_has_the_operators_that_the_table_says() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    here = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
    schemas = onnxruntime.capi.onnxruntime_pybind11_state.get_all_operator_schema()
    known = {(each.domain, each.name) for each in schemas}
    table = read_contrib_releases()
    due = {operator for operator, release in table.items() if tuple(map(int, release.split("."))) <= here}
    assert due <= known
    if here <= (1, 32):
        assert {each for each in known if each[0] == "com.microsoft"} == {
            each for each in due if each[0] == "com.microsoft"
        }


SAYS = """
import json, sys, onnxruntime
onnxruntime.set_default_logger_severity(4)
answers = []
for path in json.load(sys.stdin):
    try:
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        answers.append("")
    except Exception as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def test_what_has_no_kernel_is_what_onnxruntime_refuses_to_open() -> None:
    """Every model that onnx brings: no kernel is missing where a session opens, and one is where it says so."""
    pytest.importorskip("onnxruntime")
    from onnxctl.child import Child
    from onnxctl.runtime.kernels import list_kernels

    paths = sorted(map(str, BACKEND.rglob("model.onnx")))
    asked = subprocess.run(
        [sys.executable, "-c", SAYS],
        input=json.dumps(paths),
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    answers = dict(zip(paths, json.loads(asked.stdout), strict=True))
    with Child(preload=("onnxruntime",)) as child:
        installed = list_kernels(child)
    missing = {}
    for path in paths:
        gaps = [each for each in report_of(open_model(path), installed).gaps if each.provider == CPU]
        missing[path] = [each.op_type for each in gaps if not each.fallback]
    assert [path for path in paths if missing[path] and not answers[path]] == []
    assert [path for path in paths if "NOT_IMPLEMENTED" in answers[path] and not missing[path]] == []
    assert len([path for path in paths if answers[path]]) > 10, "there was something to find"


# ---------------------------------------------------------------- versions


def test_stated_versions_and_the_lowest_that_would_do(tmp_path: Path) -> None:
    report = report_of(open_model(str(SAMPLES / "digits_cnn.onnx")), kernels(version="1.30.1"))
    assert (report.stated.ir_version, report.stated.opset, report.stated.onnxruntime) == (8, 17, "1.12")
    lowest = report.lowest
    assert (lowest.ir_version, lowest.opset, lowest.onnxruntime) == (4, 15, "1.9")  # BatchNormalization-15
    assert report.loads is True


@pytest.mark.parametrize(("version", "loads"), [("1.20.1", False), ("1.30.0", True), ("0.1.0", None)])
def test_whether_the_installed_version_takes_the_model(tmp_path: Path, version: str, loads: bool | None) -> None:
    model = opened(tmp_path, TEXT.replace("17", "22").format("float"))
    assert report_of(model, kernels(version=version)).loads is loads


def test_without_onnxruntime_the_versions_are_told(tmp_path: Path) -> None:
    report = report_of(opened(tmp_path, TEXT.format("float")), None)
    assert report.onnxruntime == "" and report.loads is None and report.stated.onnxruntime == "1.12"


NEEDS = {
    4: "g (float[1] x) => (float[1] y) <float[1] w = {1}> { y = Add(x, w) }",
    8: "g (optional(float[1]) x) => (float[1] y) { y = OptionalGetElement(x) }",
    9: "g (float8e4m3fn[1] x) => (float[1] y) { y = Cast<to: int = 1>(x) }",
    10: "g (int4[2] x) => (float[2] y) { y = Cast<to: int = 1>(x) }",
    11: "g (float4e2m1[2] x) => (float[2] y) { y = Cast<to: int = 1>(x) }",
    13: "g (int2[4] x) => (float[4] y) { y = Cast<to: int = 1>(x) }",
    3: "g (float[1] x) => (float[1] y) { y = Relu(x) }",
}


@pytest.mark.parametrize("version", NEEDS)
def test_fields_and_types_need_their_ir_version(version: int) -> None:
    need = lowest_ir_version(parser.parse_model(f'<ir_version: 13, opset_import: ["": 25]> {NEEDS[version]}'))
    assert need.ir_version == version
    assert bool(need.reason) == (version > 3)


def test_functions_and_metadata_need_their_ir_version() -> None:
    text = """<ir_version: 13, opset_import: ["": 17, "l": 1]> g (float[1] x) => (float[1] y) { y = l.F(x) }
        <domain: "l", opset_import: ["": 17]> F (p) => (q) { q = Relu(p) }"""
    model = parser.parse_model(text)
    assert lowest_ir_version(model) == (8, "model-local functions")
    model.graph.node[0].metadata_props.add(key="k", value="v")
    assert lowest_ir_version(model) == (10, "metadata_props of nodes")
