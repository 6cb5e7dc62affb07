from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from onnxctl.runtime.library import (
    Distribution,
    InstalledFile,
    check_installation,
    install_command,
    installed_distributions,
    installed_version,
    load_onnxruntime,
)

NATIVE = "onnxruntime/capi/onnxruntime_pybind11_state.so"


def install(folder: Path, name: str, version: str, content: bytes) -> None:
    """What pip does: put the file where it belongs, whatever is there, and record it."""
    target = folder / NATIVE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (information / "RECORD").write_text(f"{NATIVE},sha256={digest},{len(content)}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only place packages are looked for."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def test_one_distribution_is_found_and_sound(site: Path) -> None:
    install(site, "onnxruntime", "1.32.0", b"cpu")
    found = installed_distributions()
    assert [(each.name, each.version) for each in found] == [("onnxruntime", "1.32.0")]
    assert check_installation(found) == ()


def test_add_ons_are_no_onnxruntime(site: Path) -> None:
    information = site / "onnxruntime_extensions-0.15.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-extensions\nVersion: 0.15\n")
    (information / "RECORD").write_text("onnxruntime_extensions/__init__.py,sha256=abc,3\n")
    assert installed_distributions() == ()


@pytest.mark.parametrize("last", ["onnxruntime", "onnxruntime-gpu"])
def test_overwritten_distributions_are_told_with_the_one_that_is_there(site: Path, last: str) -> None:
    for name in sorted(["onnxruntime", "onnxruntime-gpu"], key=lambda name: name == last):
        install(site, name, "1.32.0", name.encode())
    (finding,) = check_installation(installed_distributions())
    assert finding.code == "runtime-overwritten" and finding.severity == "error"
    assert f"those of {last} 1.32.0" in finding.message
    lost = "cuda" if last == "onnxruntime" else "cpu"
    assert f'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "onnxctl[{lost}]"' in finding.hint


def test_files_of_the_same_size_are_told_apart(site: Path) -> None:
    install(site, "onnxruntime", "1.32.0", b"aaaa")
    (site / NATIVE).write_bytes(b"bbbb")
    (finding,) = check_installation(installed_distributions())
    assert finding.code == "runtime-damaged"


def test_files_that_are_gone_are_told(site: Path) -> None:
    install(site, "onnxruntime-gpu", "1.31.0", b"gpu")
    (site / NATIVE).unlink()
    (finding,) = check_installation(installed_distributions())
    assert finding.code == "runtime-damaged"
    assert "--force-reinstall onnxruntime-gpu" in finding.hint


def fake(*names: str) -> tuple[Distribution, ...]:
    return tuple(Distribution(name, "1.0", InstalledFile(Path("x"), 1, "")) for name in names)


def test_commands_never_leave_two_builds() -> None:
    assert install_command("onnxruntime", ()) == 'pip install "onnxctl[cpu]"'
    assert install_command("onnxruntime-gpu", fake("onnxruntime-gpu")) == 'pip install "onnxctl[cuda]"'
    assert install_command("onnxruntime-openvino", fake("onnxruntime")) == (
        "pip uninstall -y onnxruntime && pip install onnxruntime-openvino"
    )


def test_the_installed_one_is_sound_and_loads() -> None:
    onnxruntime = load_onnxruntime()
    assert installed_version() == onnxruntime.__version__
    assert any(each.version == onnxruntime.__version__ for each in installed_distributions())


def run_with_path(folder: Path, code: str) -> str:
    """What the code prints in a Python that finds the folder's packages first."""
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout


LOAD = """
from onnxctl.errors import MissingPackage
from onnxctl.runtime.library import load_onnxruntime
try:
    load_onnxruntime()
except MissingPackage as error:
    print(error.message, '|', error.hint)
"""


def test_an_absent_onnxruntime_is_told_with_both_commands() -> None:
    hidden = "sys.modules['onnxruntime'] = None" + LOAD
    said = run_with_path(Path(), hidden)
    assert said.startswith("onnxruntime is not installed | ")
    assert '"onnxctl[cpu]"' in said and '"onnxctl[cuda]"' in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "its files are incomplete"), ("raise ImportError('libfoo.so: cannot open')", "libfoo.so: cannot open")],
)
def test_a_broken_onnxruntime_is_told(tmp_path: Path, content: str, reason: str) -> None:
    package = tmp_path / "onnxruntime"
    package.mkdir()
    (package / "__init__.py").write_text(content)
    said = run_with_path(tmp_path, LOAD)
    assert said.startswith(f"onnxruntime is there but can't be imported: {reason} | ")
    assert "--force-reinstall" in said


def test_telemetry_is_off_before_the_import() -> None:
    check = (
        "import os; from onnxctl.runtime.library import load_onnxruntime; os.environ.pop('ORT_DISABLE_TELEMETRY', None)"
    )
    assert run_with_path(Path(), f"{check}; load_onnxruntime(); print(os.environ['ORT_DISABLE_TELEMETRY'])") == "1\n"
