"""The kernels of the onnxruntime that is installed here."""

import pytest

from onnxctl.child import Child
from onnxctl.runtime.kernels import list_kernels

onnxruntime = pytest.importorskip("onnxruntime")


def test_kernels_have_versions_and_types_by_position() -> None:
    with Child(preload=("onnxruntime",)) as child:
        installed = list_kernels(child)
    assert installed.version == onnxruntime.__version__
    assert "CPUExecutionProvider" in installed.providers
    relu = [each for each in installed.kernels if (each.domain, each.op_type) == ("", "Relu")]
    assert any(each.last_version is None for each in relu) and any(each.last_version is not None for each in relu)
    newest = max(
        (each for each in relu if each.provider == "CPUExecutionProvider"), key=lambda each: each.first_version
    )
    assert {(rule.is_output, rule.position) for rule in newest.rules} == {(False, 0), (True, 0)}
    assert all("tensor(float)" in rule.types for rule in newest.rules)
    assert any(each.domain == "com.microsoft" for each in installed.kernels)
