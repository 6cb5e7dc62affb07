"""What Python itself is asked to do because of what is in a file: no library, process, socket, pickle or module."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.command_line import environment
from tests.conftest import SAMPLES
from tests.hostile.corpus import Case

WATCHED = """
import contextlib, json, sys
import onnxctl
from onnxctl.errors import OnnxctlError

FORBIDDEN = ("ctypes.", "subprocess.", "socket.", "pickle.", "marshal.loads", "os.system", "os.exec", "os.fork",
    "os.posix_spawn", "os.spawn", "shutil.unpack_archive", "zipfile", "exec", "compile", "winreg.")
OURS = sys.stdlib_module_names | {"onnxctl", "onnx", "numpy", "google", "ml_dtypes", "rich"}
seen, watching = set(), False

def watch(event, arguments):
    if not watching:
        return
    if event == "import":
        if arguments[0].partition(".")[0] not in OURS:
            seen.add(f"import {arguments[0]}")
    elif event.startswith(FORBIDDEN) and not (event in ("exec", "compile", "marshal.loads") and is_importing()):
        seen.add(f"{event} {str(arguments)[:100]}")

def is_importing():
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False

def look(path):
    with contextlib.suppress(OnnxctlError):
        onnxctl.inspect(path, nodes=True, weights=True, text=True, cost=True, memory=True, tree=True, findings=True)
    with contextlib.suppress(OnnxctlError):
        onnxctl.diff(path, path, quick=True)

paths = json.loads(sys.stdin.read())
look(paths[0])  # what every model needs is loaded
sys.addaudithook(watch)
for path in paths:
    watching = True
    look(path)
    watching = False
print(json.dumps(sorted(seen)))
"""


def test_no_file_makes_python_load_run_or_connect(corpus: list[Case]) -> None:
    heavy = ("bomb", "scale", "nesting")
    paths = [case.path for case in corpus if case.can_run_here and case.category not in heavy]
    assert watched([str(SAMPLES / "digits_cnn.onnx"), *(path for path in paths if "sparse_64g" not in path)]) == []


def watched(paths: list[str]) -> list[str]:
    """The events that should not be, while these files are looked at."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], input=json.dumps(paths), text=True, capture_output=True, env=environment()
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[str] = json.loads(done.stdout)
    return found


def test_the_watch_sees_what_it_should(tmp_path: Path) -> None:
    script = WATCHED.replace("def look(path):", "def look(path):\n    import zipfile, pickle\n    pickle.loads(path)")
    assert script != WATCHED
    done = subprocess.run(
        [sys.executable, "-c", script.replace("json.loads(sys.stdin.read())", "[b'cos\\nsystem\\n.']")],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert "pickle.find_class" in done.stdout + done.stderr
