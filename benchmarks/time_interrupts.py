"""How long onnxctl takes to end after Ctrl-C: at random moments of its first seconds, on a model that never ends.

python benchmarks/time_interrupts.py [--times N] [--within SECONDS] [COMMAND ...]
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnx.parser

ENDLESS = """<ir_version: 8, opset_import: ["" : 17]> g (float[1] x) => (float[1] y)
<int64 trips = {4611686018427387904}, bool go = {1}> {
    y = Loop(trips, go, x) <body = b (int64 i, bool c, float[1] s) => (bool k, float[1] t) {
        k = Identity(c) t = Add(s, s) }> }"""


def wait_until_begun(process: subprocess.Popen[bytes]) -> None:
    """Wait until the command catches SIGTERM: before, Python itself is starting, and dies of signals as it likes."""
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if int(status.partition("SigCgt:")[2].split()[0], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


def ends_s(command: list[str], times: int, within_s: float) -> list[float]:
    """From the signal to the end of each run that was interrupted, sorted; exits where one ended in another way."""
    found = []
    for _ in range(times):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until_begun(process)
        time.sleep(random.uniform(0, within_s))
        if process.poll() is not None:
            continue
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait()
        if code not in (130, 0):
            sys.exit(f"{' '.join(command)}: exit code {code}")
        found.append(time.monotonic() - begin)
    return sorted(found)


def main() -> None:
    """Print the middle and the longest end of each command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("commands", nargs="*", default=["run", "optimize", "check"])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--within", type=float, default=2.5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "endless.onnx"
        onnx.save(onnx.parser.parse_model(ENDLESS), model)
        for name in arguments.commands:
            more = {"optimize": ["-o", f"{folder}/out.onnx", "--force"], "diff": [str(model), "--run"]}.get(name, [])
            command = [sys.executable, "-m", "onnxctl", name, str(model), *more]
            found = ends_s(command, arguments.times, arguments.within)
            figures = f"median {found[len(found) // 2]:.3f} s, longest {found[-1]:.3f} s"
            sys.stdout.write(f"{name}: {len(found)} interrupted, {figures}\n")


if __name__ == "__main__":
    main()
