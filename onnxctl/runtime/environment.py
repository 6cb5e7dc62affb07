"""The machine and the software that a measurement was made with."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata

import onnxctl
from onnxctl.memory import read_of_system, total_memory_bytes
from onnxctl.reports import Environment
from onnxctl.runtime import library
from onnxctl.runtime.providers import ExecutionProvider

_ANSWER_TIMEOUT_S = 5.0


def describe_environment(provider: ExecutionProvider) -> Environment:
    """The machine as the operating system describes it now; devices are the GPUs where the provider uses them."""
    return Environment(
        cpu=_cpu_model(),
        cpu_count=usable_cpu_count(),
        memory_bytes=total_memory_bytes(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        onnx=_version("onnx"),
        onnxruntime=library.installed_version(),
        onnxctl=onnxctl.__version__,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        devices=_nvidia_devices() if provider.name in ("cuda", "tensorrt", "tensorrt-rtx") else (),
    )


def usable_cpu_count() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_clock_mhz() -> float:
    """The clock of the fastest CPU now, in MHz; 0.0 where the system does not tell."""
    clocks = [
        line.partition(":")[2] for line in read_of_system("/proc/cpuinfo").splitlines() if line.startswith("cpu MHz")
    ]
    return max((float(each) for each in clocks if each.strip()), default=0.0)


def device_memory_used_bytes(device_id: int) -> int | None:
    """How much of an NVIDIA device's memory is in use by anybody; None where nvidia-smi does not tell.

    device_id counts the devices that CUDA_VISIBLE_DEVICES leaves, as CUDA does; nvidia-smi counts them all.
    """
    visible = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
    if visible and device_id >= len(visible):
        return None
    query = (
        "--query-gpu=memory.used",
        "--format=csv,noheader,nounits",
        f"--id={visible[device_id] if visible else device_id}",
    )
    said = _first_line_of("nvidia-smi", *query)
    return int(said) << 20 if said.isdigit() else None


def peak_memory_bytes() -> int:
    """The most physical memory this process has held so far; 0 where the system does not say.

    Linux's VmHWM and not getrusage: the latter begins with the peak of the process that started this one.
    """
    status = read_of_system("/proc/self/status")
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes here, unlike on Linux
    return 0


def _cpu_model() -> str:
    for line in read_of_system("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    if sys.platform == "darwin":
        return _first_line_of("sysctl", "-n", "machdep.cpu.brand_string")
    return platform.processor() or platform.machine()


def _nvidia_devices() -> tuple[str, ...]:
    said = _output_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    return tuple(line.strip() for line in said.splitlines() if line.strip())


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _first_line_of(*command: str) -> str:
    return _output_of(*command).partition("\n")[0].strip()


def _output_of(*command: str) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ANSWER_TIMEOUT_S, check=True
        )
        return done.stdout
    return ""
