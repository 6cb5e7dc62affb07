"""onnxruntime itself: the one place that imports it, and what is installed under its name.

Several distributions (onnxruntime, onnxruntime-gpu, onnxruntime-openvino, ...) put different files into the same folder
`onnxruntime/`. pip does not mind: the last one installed wins, and removing one of two breaks the other.
"""

from __future__ import annotations

import base64
import hashlib
import mmap
import os
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from onnxctl.errors import MissingPackage
from onnxctl.reports import Finding

REQUIREMENTS = {
    "onnxruntime": '"onnxctl[cpu]"',
    "onnxruntime-gpu": '"onnxctl[cuda]"',
    "onnxruntime-qnn": '"onnxruntime-qnn<2"',
}
"""What to ask pip for instead of the bare distribution: our extras add the version floor and the CUDA libraries; from
2.0 on, onnxruntime-qnn is a plugin and no onnxruntime of its own."""

_NATIVE_MODULE = "onnxruntime/capi/onnxruntime_pybind11_state"
_NATIVE_FILE = re.compile(r"\.(so|pyd|dll|dylib)(\.|$)")
_ERRORS_ONLY = 3
_TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """A file as a distribution's RECORD describes it: its size, and the SHA-256 in URL-safe base64 without padding."""

    path: Path
    byte_count: int | None
    sha256: str

    def is_on_disk(self) -> bool:
        """Whether the file on disk is the one the distribution brought."""
        try:
            if self.byte_count is not None and self.path.stat().st_size != self.byte_count:
                return False
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return False
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == self.sha256


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed distribution that provides the package `onnxruntime`, and its native module."""

    name: str
    version: str
    native: InstalledFile


def load_onnxruntime() -> Any:
    """The onnxruntime module, its telemetry off and its log quiet.

    Raises MissingPackage when it is not installed, or is there but can't be imported.
    """
    os.environ[_TELEMETRY_OFF] = "1"
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise _broken(error) from error
        raise MissingPackage(
            "onnxruntime is not installed",
            hint=f"{install_command('onnxruntime', ())} for the CPU, or {install_command('onnxruntime-gpu', ())} "
            "for NVIDIA GPUs; never both",
        ) from error
    except (ImportError, OSError) as error:
        raise _broken(error) from error
    if not hasattr(onnxruntime, "InferenceSession"):  # the folder that pip leaves behind when one of two was removed
        raise _broken("its files are incomplete")
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    return onnxruntime


def failure_types(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """Every exception that onnxruntime raises for what it can't load or run.

    Its own classes have no common base but Exception; its Python side raises MemoryError,
    RuntimeError and ValueError.
    """
    own = vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
    return (
        MemoryError,
        RuntimeError,
        ValueError,
        *(each for each in own if isinstance(each, type) and issubclass(each, Exception)),
    )


def _broken(why: object) -> MissingPackage:
    found = installed_distributions()
    wanted = found[-1].name if found else "onnxruntime"
    reason = str(why).splitlines()[0]
    return MissingPackage(
        f"onnxruntime is there but can't be imported: {reason}",
        hint=install_command(wanted, found).replace("pip install", "pip install --force-reinstall"),
    )


def installed_distributions() -> tuple[Distribution, ...]:
    """Every installed distribution that provides the package `onnxruntime`, by name."""
    found: dict[str, Distribution] = {}
    for each in metadata.distributions():
        name = each.name
        if not name or not name.lower().startswith(("onnxruntime", "ort")) or name.lower() in found:
            continue
        for file in each.files or ():
            if file.as_posix().startswith(_NATIVE_MODULE) and file.hash is not None:
                native = InstalledFile(Path(str(file.locate())), file.size, file.hash.value)
                found[name.lower()] = Distribution(name.lower(), each.version, native)
    return tuple(found[name] for name in sorted(found))


def install_command(wanted: str, installed: tuple[Distribution, ...]) -> str:
    """The command that leaves exactly the distribution `wanted`, whatever is installed now.

    Where another one is installed both must go first: removing one takes files of the other along.
    """
    install = f"pip install {REQUIREMENTS.get(wanted, wanted)}"
    if all(each.name == wanted for each in installed):
        return install
    return f"pip uninstall -y {' '.join(each.name for each in installed)} && {install}"


def check_installation(installed: tuple[Distribution, ...]) -> tuple[Finding, ...]:
    """What is wrong with the installed files: distributions that overwrote each other, or files gone or changed.

    Codes: `runtime-overwritten`, `runtime-damaged`. Reads the native modules (some 40 MB) to compare their hashes.
    """
    present = [each for each in installed if each.native.is_on_disk()]
    names = " and ".join(each.name for each in installed)
    if len(installed) > 1:
        wanted = max(installed, key=lambda each: (each not in present, each.name != "onnxruntime", each.name))
        there = f"the files on disk are those of {present[0].name} {present[0].version}" if present else "mixed files"
        return (
            Finding(
                code="runtime-overwritten",
                severity="error",
                message=f"{names} are both installed and share one folder: {there}",
                hint=f"keep one of them: {install_command(wanted.name, installed)}",
                where=str(installed[0].native.path.parent),
            ),
        )
    if installed and not present:
        return (
            Finding(
                code="runtime-damaged",
                severity="error",
                message=f"the files on disk are not those that {names} {installed[0].version} installed",
                hint=f"pip install --force-reinstall {installed[0].name}",
                where=str(installed[0].native.path.parent),
            ),
        )
    return ()


def is_mentioned(name: str) -> bool:
    """Whether a native file of the installed onnxruntime holds this name as a text of its own, to ask for it."""
    folders = {each.native.path.parent for each in installed_distributions()}
    files = [file for folder in folders for file in folder.iterdir() if _NATIVE_FILE.search(file.name)]
    for path in files:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(name.encode(errors="replace") + b"\0") >= 0:
                return True
    return not files


def installed_version() -> str:
    """onnxruntime's version as its package says, without importing it; "" when none is installed."""
    loaded = sys.modules.get("onnxruntime")
    if loaded is not None and hasattr(loaded, "__version__"):
        return str(loaded.__version__)
    found = installed_distributions()
    present = [each for each in found if each.native.path.exists()]
    return present[0].version if present else ""
