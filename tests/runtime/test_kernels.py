"""The kernels of the onnxruntime that is installed here."""

import os
from typing import Any

import pytest

from onnxctl.child import Child
from onnxctl.runtime.kernels import list_kernels

onnxruntime = pytest.importorskip("onnxruntime")


def test_kernels_have_versions_and_types_by_position() -> None:
    with Child(preload=("onnxruntime",)) as child:
        installed = list_kernels(child)
    if not installed.kernels:
        pytest.skip("this build of onnxruntime crashes when it is asked for its kernels")
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


def crash(*_: object) -> None:
    os.abort()


def test_a_build_that_crashes_over_the_question_still_tells_its_version() -> None:
    class Crashing(Child):
        def call(self, target: str, *arguments: Any, **options: Any) -> Any:
            if target.endswith(":describe_kernels"):
                target = f"{__name__}:crash"
            return super().call(target, *arguments, **options)

    with Crashing(preload=("onnxruntime",)) as child:
        installed = list_kernels(child)
    assert installed.version == onnxruntime.__version__ and installed.providers
    assert installed.kernels == ()
