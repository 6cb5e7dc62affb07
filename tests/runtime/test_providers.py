from __future__ import annotations

import sys
from pathlib import Path

import onnxruntime
import pytest

from onnxctl.errors import UsageError
from onnxctl.reports import ProvidersReport, decode, encode
from onnxctl.runtime import library
from onnxctl.runtime.library import Distribution, InstalledFile
from onnxctl.runtime.providers import PROVIDERS, describe, how_to_get, resolve

CPU_BUILD = (Distribution("onnxruntime", "1.32.0", InstalledFile(Path("x"), 1, "")),)


@pytest.fixture(scope="module")
def report() -> ProvidersReport:
    return describe()


@pytest.mark.parametrize("name", ["cuda", "CUDA", "CUDAExecutionProvider", "cudaexecutionprovider", " cuda "])
def test_names_short_and_long_in_any_case(name: str) -> None:
    assert resolve(name).provider == "CUDAExecutionProvider"


def test_every_provider_is_found_by_both_its_names() -> None:
    for each in PROVIDERS:
        assert resolve(each.name) is each
        assert resolve(each.provider) is each


def test_an_unknown_name_is_told_with_all_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown execution provider 'cudda'") as caught:
        resolve("cudda")
    assert all(each.name in caught.value.hint for each in PROVIDERS)


def test_every_provider_says_how_to_get_it() -> None:
    for each in PROVIDERS:
        assert how_to_get(each, CPU_BUILD)


def test_names_are_onnxruntimes_own() -> None:
    known = set(onnxruntime.get_all_providers())
    gone = {"ROCMExecutionProvider", "NvTensorRTRTXExecutionProvider"}  # removed; comes as a plugin
    assert {each.provider for each in PROVIDERS} - known - gone == set()


def test_a_missing_driver_is_not_pips_business() -> None:
    assert "driver" in how_to_get(resolve("cuda"), (), "library missing: libcuda.so.1")
    assert how_to_get(resolve("cuda"), (), "library missing: libcudnn.so.9").startswith('pip install "onnxctl[cuda]"')


@pytest.mark.skipif(sys.platform == "win32", reason="DirectML exists there")
def test_other_systems_providers_are_not_promised() -> None:
    assert how_to_get(resolve("directml"), CPU_BUILD) == "directml exists on Windows only"


def test_description_is_of_what_is_installed(report: ProvidersReport) -> None:
    assert report.onnxruntime_version == onnxruntime.__version__
    assert [each.name for each in report.providers] == [each.name for each in PROVIDERS]
    built_in = {each.provider for each in report.providers if each.built_in}
    assert built_in == set(onnxruntime.get_available_providers()) & {each.provider for each in PROVIDERS}
    assert decode(ProvidersReport, encode(report)) == report


def test_cpu_works_and_whatever_does_not_says_why_and_what_helps(report: ProvidersReport) -> None:
    assert report.providers[0].name == "cpu" and report.providers[0].usable
    for each in report.providers:
        assert each.built_in or not each.usable
        assert each.usable == (not each.reason) == (not each.hint)


def test_a_provider_that_computes_nothing_is_not_usable(report: ProvidersReport) -> None:
    (azure,) = [each for each in report.providers if each.name == "azure"]
    if not azure.built_in:
        pytest.skip("this onnxruntime has no Azure provider")
    assert not azure.usable
    assert "CPUExecutionProvider would run 1" in azure.reason


def test_openvino_works_where_it_is_installed(report: ProvidersReport) -> None:
    (openvino,) = [each for each in report.providers if each.name == "openvino"]
    if not openvino.built_in:
        pytest.skip("needs onnxruntime-openvino")
    assert openvino.usable


def test_cuda_without_its_libraries_names_the_first_that_is_missing(report: ProvidersReport) -> None:
    (cuda,) = [each for each in report.providers if each.name == "cuda"]
    if not cuda.built_in or cuda.usable:
        pytest.skip("needs onnxruntime-gpu on a machine that can't use it")
    assert cuda.reason.startswith(("library missing: lib", "no device"))


def test_description_needs_no_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "onnxruntime"
    package.mkdir()
    (package / "__init__.py").write_text("raise ModuleNotFoundError('none', name='onnxruntime')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # for the child process
    monkeypatch.setattr(library, "installed_distributions", lambda: ())
    monkeypatch.delitem(sys.modules, "onnxruntime")
    report = describe()
    assert report.onnxruntime_version == ""
    assert report.distributions == ()
    assert {each.reason for each in report.providers} == {"onnxruntime is not installed"}
    assert report.providers[0].hint == 'pip install "onnxctl[cpu]"'
