"""Time whole commands against each other, alternating, and print CPU time, wall time and peak memory as ratios.

    python benchmarks/compare_processes.py [--runs 15] 'BASELINE COMMAND' 'COMMAND' ...

Each command is run once unmeasured and then `--runs` times in turn. CPU is user + system time of the process and its
children (os.wait4), in medians; memory is the largest resident set of any one process. Linux and macOS.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of a command cost."""

    cpu_s: float
    wall_s: float
    peak_bytes: int


def run_once(command: str) -> Sample:
    """Run the command with its output thrown away. Raises SystemExit where it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command}: exit code {process.returncode}\n{message.decode(errors='replace')}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Sample(usage.ru_utime + usage.ru_stime, time.perf_counter() - started, usage.ru_maxrss * unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="+", metavar="COMMAND")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    samples: list[list[Sample]] = [[] for _ in options.commands]
    for command in options.commands:
        run_once(command)
    for _ in range(options.runs):
        for command, mine in zip(options.commands, samples, strict=True):
            mine.append(run_once(command))
    base = statistics.median(sample.cpu_s for sample in samples[0])
    sys.stdout.write(f"{'CPU s':>8}{'ratio':>7}{'wall s':>8}{'peak MB':>9}  command\n")
    for command, mine in zip(options.commands, samples, strict=True):
        cpu = statistics.median(sample.cpu_s for sample in mine)
        wall = statistics.median(sample.wall_s for sample in mine)
        peak = max(sample.peak_bytes for sample in mine)
        sys.stdout.write(f"{cpu:8.3f}{cpu / base:7.2f}{wall:8.2f}{peak / 1e6:9.1f}  {command}\n")


if __name__ == "__main__":
    main()
