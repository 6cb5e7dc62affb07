"""The table of onnxruntime's releases, against the one installed here and against onnx's own table."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys

import pytest
from onnx import helper, parser
from onnx.defs import onnx_ml_opset_version, onnx_opset_version

from onnxctl.analysis.runtime_versions import RELEASES, oldest_release, release_of, version_findings
from tests.command_line import environment

MODEL = '<ir_version: {}, opset_import: ["" : {}, "ai.onnx.ml" : {}]> g (float[1] x) => (float[1] y) {{ y = Relu(x) }}'


def takes(opset: int, ml_opset: int, ir_version: int) -> bool:
    """Whether the installed onnxruntime loads such a model."""
    text = MODEL.format(ir_version, opset, ml_opset)
    model = parser.parse_model(text).SerializeToString()
    code = "import sys, onnxruntime as o; o.set_default_logger_severity(4); o.InferenceSession(sys.stdin.buffer.read())"
    done = subprocess.run(
        [sys.executable, "-c", code], input=model, capture_output=True, env=environment(), check=False
    )
    return done.returncode == 0


def test_the_installed_onnxruntime_is_as_the_table_says() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    here = release_of(onnxruntime.__version__)
    assert here is not None
    if here.version < tuple(map(int, onnxruntime.__version__.split(".")[:2])):
        pytest.skip("a release newer than the table may take more")
    assert takes(here.opset, here.ml_opset, here.ir_version)
    assert not takes(here.opset + 1, here.ml_opset, here.ir_version)
    assert not takes(here.opset, here.ml_opset + 1, here.ir_version)
    assert not takes(here.opset, here.ml_opset, here.ir_version + 1)


def test_limits_only_rise_and_are_those_of_an_onnx_release() -> None:
    for older, newer in itertools.pairwise(RELEASES):
        assert older.version < newer.version
        assert all(one <= two for one, two in zip(older[1:], newer[1:], strict=True)) and older[1:] != newer[1:]
    together = {(row[1], row[2]) for row in helper.VERSION_TABLE}
    assert {(each.ir_version, each.opset) for each in RELEASES[1:]} <= together | {(9, 20), (8, 18)}


def test_an_installed_version_is_like_the_release_before_it() -> None:
    assert release_of("1.30.1") == release_of("1.25.0")
    assert release_of("1.32.0+cu12").version == (1, 32)  # type: ignore[union-attr]
    assert release_of("0.5.0") is None


def test_the_oldest_release_follows_from_each_limit() -> None:
    assert oldest_release(13, 0, 7).name == "1.6"  # type: ignore[union-attr]
    assert oldest_release(13, 5, 7).name == "1.18"  # type: ignore[union-attr]
    assert oldest_release(13, 0, 13).name == "1.24"  # type: ignore[union-attr]
    assert oldest_release(onnx_opset_version() + 1, onnx_ml_opset_version(), 8) is None


@pytest.mark.parametrize(
    ("opset", "ir_version", "installed", "code"),
    [
        (6, 3, "1.30.1", "opset-too-old"),
        (26, 10, "1.20.1", "runtime-too-old"),
        (13, 13, "1.20.1", "runtime-too-old"),
        (21, 10, "1.20.1", ""),
        (99, 10, "1.30.1", "runtime-too-old"),
        (99, 10, "", ""),
    ],
)
def test_versions_that_do_not_go_together_are_told(opset: int, ir_version: int, installed: str, code: str) -> None:
    model = parser.parse_model(MODEL.format(ir_version, opset, 1))
    found = list(version_findings(model, installed))
    assert [each.code for each in found] == ([code] if code else [])
    if code == "runtime-too-old":
        assert re.search(r"is the first that does|no release so far does", found[0].message)
