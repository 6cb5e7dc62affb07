"""Execution providers: their names, where they exist, how to get them, and which of them work here."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from onnxctl.child import Child
from onnxctl.errors import MissingPackage, OnnxctlError, UsageError
from onnxctl.reports import ProviderInfo, ProvidersReport
from onnxctl.runtime import library

PROBE_TIMEOUT_S = 60.0
_DESKTOPS = ("linux", "win32", "darwin")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionProvider:
    """One execution provider: our short name for it, onnxruntime's name, and how it gets onto a machine.

    platforms are values of `sys.platform`. distribution is what pip installs ("" where no wheel has it, then needs
    says where it comes from); needs names what else must be there. has_own_memory: it runs on a device with memory of
    its own.
    """

    name: str
    provider: str
    platforms: tuple[str, ...]
    distribution: str = ""
    needs: str = ""
    has_own_memory: bool = False


CPU = ExecutionProvider(name="cpu", provider="CPUExecutionProvider", platforms=_DESKTOPS, distribution="onnxruntime")

PROVIDERS: tuple[ExecutionProvider, ...] = (
    CPU,
    ExecutionProvider(
        name="cuda",
        provider="CUDAExecutionProvider",
        platforms=("linux", "win32"),
        distribution="onnxruntime-gpu",
        needs="an NVIDIA GPU and its driver",
        has_own_memory=True,
    ),
    ExecutionProvider(
        name="tensorrt",
        provider="TensorrtExecutionProvider",
        platforms=("linux", "win32"),
        distribution="onnxruntime-gpu",
        needs="an NVIDIA GPU, its driver, and the TensorRT libraries",
        has_own_memory=True,
    ),
    ExecutionProvider(
        name="tensorrt-rtx",
        provider="NvTensorRTRTXExecutionProvider",
        platforms=("linux", "win32"),
        distribution="onnxruntime-trt-rtx",
        needs="an NVIDIA RTX GPU and its driver",
        has_own_memory=True,
    ),
    ExecutionProvider(
        name="openvino",
        provider="OpenVINOExecutionProvider",
        platforms=("linux", "win32"),
        distribution="onnxruntime-openvino",
        needs="an Intel CPU, GPU or NPU",
    ),
    ExecutionProvider(
        name="directml",
        provider="DmlExecutionProvider",
        platforms=("win32",),
        distribution="onnxruntime-directml",
        needs="a GPU with DirectX 12",
        has_own_memory=True,
    ),
    ExecutionProvider(
        name="coreml", provider="CoreMLExecutionProvider", platforms=("darwin",), distribution="onnxruntime"
    ),
    ExecutionProvider(
        name="migraphx",
        provider="MIGraphXExecutionProvider",
        platforms=("linux",),
        distribution="onnxruntime-migraphx",
        needs="an AMD GPU and ROCm",
        has_own_memory=True,
    ),
    ExecutionProvider(
        name="rocm",
        provider="ROCMExecutionProvider",
        platforms=("linux",),
        distribution="onnxruntime-rocm",
        needs="an AMD GPU and ROCm; newer builds have migraphx in its place",
        has_own_memory=True,
    ),
    ExecutionProvider(
        name="qnn",
        provider="QNNExecutionProvider",
        platforms=("win32", "linux"),
        distribution="onnxruntime-qnn",
        needs="a Qualcomm NPU",
        has_own_memory=True,
    ),
    ExecutionProvider(
        name="webgpu",
        provider="WebGpuExecutionProvider",
        platforms=_DESKTOPS,
        distribution="onnxruntime-webgpu",
        needs="a GPU with Vulkan, Metal or DirectX 12",
        has_own_memory=True,
    ),
    ExecutionProvider(
        name="cann",
        provider="CANNExecutionProvider",
        platforms=("linux",),
        distribution="onnxruntime-cann",
        needs="a Huawei Ascend NPU and CANN",
        has_own_memory=True,
    ),
    ExecutionProvider(
        name="vitisai",
        provider="VitisAIExecutionProvider",
        platforms=("win32", "linux"),
        needs="a build from AMD's Ryzen AI or Vitis AI software",
    ),
    ExecutionProvider(
        name="xnnpack",
        provider="XnnpackExecutionProvider",
        platforms=_DESKTOPS,
        needs="a build of onnxruntime from source with --use_xnnpack",
    ),
    ExecutionProvider(
        name="dnnl",
        provider="DnnlExecutionProvider",
        platforms=_DESKTOPS,
        needs="a build of onnxruntime from source with --use_dnnl",
    ),
    ExecutionProvider(
        name="azure",
        provider="AzureExecutionProvider",
        platforms=_DESKTOPS,
        needs="a model that calls a remote endpoint; it computes nothing itself",
    ),
)
"""Every execution provider that onnxctl knows. `onnxctl providers` shows them in this order."""


def resolve(name: str) -> ExecutionProvider:
    """The provider with this short or onnxruntime name, in any case ("cuda", "CUDAExecutionProvider").

    Raises UsageError for a name nobody knows.
    """
    wanted = name.strip().lower()
    for each in PROVIDERS:
        if wanted in (each.name, each.provider.lower(), each.provider.lower().removesuffix("executionprovider")):
            return each
    known = ", ".join(each.name for each in PROVIDERS)
    raise UsageError(f"unknown execution provider {name!r}", hint=f"one of {known}")


_REMEDIES = (
    (("libcuda.so", "nvcuda.dll"), "install NVIDIA's driver (nvidia-smi must work); containers need --gpus all"),
    (("libnvinfer", "nvinfer"), "pip install tensorrt"),
)
"""What helps where a library is missing that comes with none of onnxruntime's distributions."""


def how_to_get(provider: ExecutionProvider, installed: tuple[library.Distribution, ...], reason: str = "") -> str:
    """What to do to have the provider here: the exact command where there is one. reason is why it fails now."""
    for libraries, remedy in _REMEDIES:
        if any(f"missing: {each}" in reason for each in libraries):
            return remedy
    if sys.platform not in provider.platforms:
        systems = {"linux": "Linux", "win32": "Windows", "darwin": "macOS"}
        return f"{provider.name} exists on {' and '.join(systems[each] for each in provider.platforms)} only"
    if not provider.distribution:
        return f"{provider.name} needs {provider.needs}"
    command = library.install_command(provider.distribution, installed)
    return f"{command} (needs {provider.needs})" if provider.needs else command


def unusable(provider: ExecutionProvider) -> str:
    """How every message begins that says why a provider can't be used."""
    return f"{provider.name} can't be used here: "


def describe() -> ProvidersReport:
    """Every execution provider: whether the installed onnxruntime has it, whether it works here, and what to do if not.

    Each one that is built in is really tried: a child process opens and runs a model of one MatMul on it, with no other
    provider to fall back to.
    """
    installed = library.installed_distributions()
    findings = library.check_installation(installed)
    available: tuple[str, ...] = ()
    version, problem = library.installed_version(), ""
    with Child(preload=("onnxruntime",)) as child:
        try:
            answer, _ = child.call(
                "onnxctl.runtime.session:list_built_in", {}, timeout_s=PROBE_TIMEOUT_S, doing="importing onnxruntime"
            )
            version, available = answer["version"], tuple(answer["providers"])
        except MissingPackage as error:
            problem = error.message
    return ProvidersReport(
        onnxruntime_version=version,
        distributions=tuple((each.name, each.version) for each in installed),
        providers=tuple(
            _try_out(each, installed) if each.provider in available else _absent(each, installed, problem)
            for each in PROVIDERS
        ),
        findings=findings,
    )


def _absent(provider: ExecutionProvider, installed: tuple[library.Distribution, ...], problem: str) -> ProviderInfo:
    return ProviderInfo(
        name=provider.name,
        provider=provider.provider,
        built_in=False,
        usable=False,
        reason=problem or "not in this build of onnxruntime",
        hint=how_to_get(provider, installed),
    )


def _try_out(provider: ExecutionProvider, installed: tuple[library.Distribution, ...]) -> ProviderInfo:
    reason, hint = "", ""
    with Child(preload=("onnxruntime", "onnx.parser")) as child:
        try:
            child.call(
                "onnxctl.runtime.session:probe",
                {"provider": provider.provider},
                timeout_s=PROBE_TIMEOUT_S,
                doing=f"trying {provider.name}",
            )
        except OnnxctlError as error:
            reason = error.message.removeprefix(unusable(provider))
            hint = how_to_get(provider, installed, reason)
    return ProviderInfo(
        name=provider.name,
        provider=provider.provider,
        built_in=True,
        usable=not reason,
        reason=reason,
        hint=hint,
    )
