from __future__ import annotations

import pytest

from onnxctl.errors import (
    InvalidModel,
    OnnxctlError,
    ResourceLimit,
    UnreadableFile,
    UnsafePath,
    UnsupportedModel,
)
from onnxctl.runtime.failures import cleaned, load_failure, provider_failure, run_failure

CORE = "/onnxruntime_src/onnxruntime/core"
FAIL = "[ONNXRuntimeError] : 1 : FAIL : "
STARTING = f"{FAIL}Exception during initialization: "

# onnxruntime's own words, as seen in 1.24 to 1.32.
MESSAGES = {
    f"{FAIL}Load model from /m.onnx failed:{CORE}/graph/model.cc:170 onnxruntime::Model::Model(onnx::ModelProto&&, "
    "const onnxruntime::PathString&, const onnxruntime::ModelOptions&) Missing opset in the model.\n": (
        "Missing opset in the model."
    ),
    f"{STARTING}{CORE}/optimizer/initializer.cc:51 onnxruntime::Initializer::Initializer(const onnx::TensorProto&, "
    f"const std::filesystem::__cxx11::path&) {FAIL}tensorprotoutils.cc:1730 "
    "ValidateEmbeddedTensorProtoDataSizeAndShape Initializer 'w': raw_data size (8 bytes)": (
        "Initializer 'w': raw_data size (8 bytes)"
    ),
    f"{STARTING}{CORE}/providers/cpu/math/element_wise_ops.h:256 onnxruntime::Div<T>::Div(const "
    "onnxruntime::OpKernelInfo&) [with T = long int] b_data[i] != T{0} was false. Integer division by zero\n": (
        "Integer division by zero"
    ),
    f"{FAIL}{CORE}/common/safeint.h:17 static void SafeIntExceptionHandler<onnxruntime::OnnxRuntimeException>::"
    "SafeIntOnOverflow() Integer overflow\n": "Integer overflow",
    "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Identity(25) node with name ''": (
        "Could not find an implementation for Identity(25) node with name ''"
    ),
    f"{STARTING}/ort/basic_backend.cc:136 onnxruntime::BasicBackend::BasicBackend(std::unique_ptr<onnx::ModelProto>&) "
    "/ort/ov_interface.cc:28 auto onnxruntime::Boundary(Func&&, Args&& ...) [with bool typed = false; Args = "
    "{std::string&}] [OpenVINO-EP] Exception while Loading: Exception from src/core.cpp:154:\nno such node\n\n": (
        "[OpenVINO-EP] Exception while Loading: no such node"
    ),
}


@pytest.mark.parametrize(("raw", "expected"), MESSAGES.items(), ids=MESSAGES.values())
def test_cleaned_keeps_the_sentence_that_matters(raw: str, expected: str) -> None:
    assert cleaned(raw) == expected


def test_cleaned_is_short() -> None:
    assert len(cleaned("word " * 10_000)) < 700


class InvalidGraph(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidGraph("[ONNXRuntimeError] : 10 : INVALID_GRAPH : Required attribute 'axis' is missing."), InvalidModel),
        (InvalidGraph("No Op registered for Foo with domain_version of 17"), UnsupportedModel),
        (RuntimeError("Could not find an implementation for Identity(25) node"), UnsupportedModel),
        (RuntimeError("Unsupported model IR version: 99, max supported IR version: 13"), UnsupportedModel),
        (RuntimeError("Exception during initialization: std::bad_alloc"), ResourceLimit),
        (RuntimeError("External data path escapes model directory."), UnsafePath),
        (RuntimeError('External data path does not exist: "w.bin"'), UnreadableFile),
        (RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : call depth 101 exceeds 100."), UnsupportedModel),
        (MemoryError(), ResourceLimit),
    ],
)
def test_load_failures_have_their_class_and_name_the_file(error: Exception, kind: type[OnnxctlError]) -> None:
    failure = load_failure(error, "some/model.onnx", "cpu")
    assert type(failure) is kind
    assert failure.message.startswith("some/model.onnx: ")


def test_run_failures_tell_memory_from_the_rest() -> None:
    assert type(run_failure(RuntimeError("Failed to allocate memory for requested buffer"), "m")) is ResourceLimit
    failure = run_failure(RuntimeError("Non-zero status code returned while running Gather node."), "m")
    assert type(failure) is UnsupportedModel
    assert "Gather" in failure.message and "--dim" in failure.hint


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            f"\x1b[1;31m2026-11-24 03:29:58 [E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] {FAIL}"
            "Failed to load library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open "
            "shared object file: No such file or directory\x1b[m",
            "library missing: libcublasLt.so.13",
        ),
        (
            'LoadLibrary failed with error 126 "" when trying to load "onnxruntime_providers_cuda.dll"',
            "library missing (Windows error 126)",
        ),
        (
            "CUDA failure 100: no CUDA-capable device is detected ; GPU=-1",
            "no device: no CUDA-capable device is detected",
        ),
        (
            "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version",
            "no device: CUDA driver version is insufficient for CUDA runtime version",
        ),
        ("", ""),
    ],
)
def test_provider_failures_are_recognised(log: str, reason: str) -> None:
    assert provider_failure(log) == reason
