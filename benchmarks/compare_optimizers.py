"""Optimizers side by side, in one run: nodes and bytes left, wall time, CPU and peak memory, and whether results hold.

    python benchmarks/compare_optimizers.py --peers PEERS/bin/python [--tools "onnxctl;onnxsim"] MODEL.onnx ...

Runs from an environment with onnxctl. PEERS/bin/python belongs to an environment of the peers' own, with
`pip install onnx onnxruntime onnxsim onnxslim onnxoptimizer polygraphy onnx-graphsurgeon onnxscript`; without --peers
only onnxctl is measured. "onnxctl" is `onnxctl optimize --no-verify`, since no peer proves its result by default;
"onnxctl, proven" is the same with its proof. `cp` and "cp, synced" copy the model and its data files: the time that the
disk takes. "ort_basic" is a session of onnxruntime at its basic level that saves its graph.

For each model the tools take turns, --runs times. Wall time and CPU are medians,
of the process and its children. Memory is the largest seen, twice: "tree" is the sum of the resident sets of a process
and all its children at one moment, looked at every 5 ms (pages they share are counted more than once); "process" is the
largest single process. A result holds if it has the same inputs and outputs and gives the same
answers in onnxruntime, compared as `onnxctl optimize` compares. Results are written to a folder in TMPDIR: for a fair
`cp`, name one on the disk of the models. Linux only.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from onnx import GraphProto

import onnxctl
from onnxctl.model.loading import open_model
from onnxctl.runtime.compare import compare_in_child

LOOK_EVERY_S = 0.005
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

ORT_BASIC = """
import sys, onnxruntime as ort
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
options.optimized_model_filepath = sys.argv[2]
if sys.argv[3:]:
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", sys.argv[3])
ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
"""

ONNXSCRIPT = """
import sys, onnx_ir, onnxscript.optimizer
model = onnx_ir.load(sys.argv[1])
onnxscript.optimizer.optimize(model)
onnx_ir.save(model, sys.argv[2], external_data=sys.argv[3] if sys.argv[3:] else None)
"""

SYNCED_COPY = 'cp -- "$@" && for folder; do :; done && sync "$folder"/*'


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one tool made of one model; wrong says why the result does not hold, "" where it does."""

    tool: str
    model: str
    wrong: str
    nodes_before: int
    nodes_after: int
    bytes_before: int
    bytes_after: int
    wall_s: float = 0.0
    cpu_s: float = 0.0
    tree_bytes: int = 0
    process_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run of a command cost; message is the end of what it wrote to standard error, if it failed."""

    wall_s: float
    cpu_s: float
    tree_bytes: int
    process_bytes: int
    failed: bool
    message: str


# ---------------------------------------------------------------- tools

Command = Callable[[Path, Path, bool], list[str]]
"""The command that makes the file of the second path from the first; the flag says that the weights lie beside it."""


def tools(peers: Path | None) -> dict[str, Command]:
    """The commands by the tool's name."""
    ours = [sys.executable, "-m", "onnxctl", "optimize"]
    found: dict[str, Command] = {
        "onnxctl": lambda model, out, external: [*ours, "--no-verify", "--json", str(model), "-o", str(out)],
        "onnxctl, proven": lambda model, out, external: [*ours, "--json", str(model), "-o", str(out)],
        "cp": lambda model, out, external: ["cp", "--", *files_of(model), str(out.parent)],
        "cp, synced": lambda model, out, external: ["sh", "-c", SYNCED_COPY, "cp", *files_of(model), str(out.parent)],
    }
    if peers is None:
        return found
    python, scripts = str(peers), peers.parent

    def script(code: str) -> Command:
        return lambda model, out, external: [
            *(python, "-c", code, str(model), str(out)),
            *([f"{out.name}.data"] if external else []),
        ]

    found["ort_basic"] = script(ORT_BASIC)
    found["onnxscript"] = script(ONNXSCRIPT)
    found["onnxsim"] = lambda model, out, external: [
        *(f"{scripts}/onnxsim", str(model), str(out), "--no-certify"),
        *(["--save-as-external-data"] if external else []),
    ]
    found["onnxslim"] = lambda model, out, external: [f"{scripts}/onnxslim", str(model), str(out)]
    found["onnxoptimizer"] = lambda model, out, external: [f"{scripts}/onnxoptimizer", str(model), str(out)]
    found["polygraphy"] = lambda model, out, external: [
        *(f"{scripts}/polygraphy", "surgeon", "sanitize", "--fold-constants", str(model), "-o", str(out)),
        *(["--save-external-data"] if external else []),
    ]
    return found


# ---------------------------------------------------------------- measuring


def run_once(command: Sequence[str], timeout_s: float) -> Sample:
    """Run the command, its output thrown away, and look at its memory meanwhile."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    messages: list[bytes] = []
    reader = threading.Thread(target=lambda stream: messages.append(stream.read()), args=(process.stderr,))
    reader.start()
    largest_tree = largest_process = 0
    while not (ended := os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
        tree, single = resident_bytes(process.pid)
        largest_tree, largest_process = max(largest_tree, tree), max(largest_process, single)
        if time.perf_counter() - started > timeout_s:
            process.kill()
        time.sleep(LOOK_EVERY_S)
    assert ended.si_pid == process.pid
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    process.stderr.close()
    return Sample(
        wall_s=elapsed,
        cpu_s=usage.ru_utime + usage.ru_stime,
        tree_bytes=largest_tree,
        process_bytes=largest_process,
        failed=process.returncode != 0,
        message=(b"".join(messages).decode(errors="replace").strip().splitlines() or [""])[-1][:80],
    )


def resident_bytes(root: int) -> tuple[int, int]:
    """The resident sets of a process and all its descendants: their sum, and the largest that any had so far."""
    total, largest, waiting = 0, 0, [root]
    while waiting:
        process = waiting.pop()
        with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_BYTES
            status = Path(f"/proc/{process}/status").read_text().splitlines()
            largest = max(largest, next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")))
            for task in os.listdir(f"/proc/{process}/task"):
                waiting += map(int, Path(f"/proc/{process}/task/{task}/children").read_text().split())
    return total, largest


def nodes_of(path: Path) -> int:
    """The nodes of the graph, its subgraphs and the model's functions."""
    model = open_model(str(path)).proto

    def count(graph: GraphProto) -> int:
        inner = (each for node in graph.node for each in node.attribute)
        return len(graph.node) + sum(count(graph) for each in inner for graph in (each.g, *each.graphs))

    return count(model.graph) + sum(len(function.node) for function in model.functions)


def files_of(path: Path) -> list[str]:
    """The model's file and its data files."""
    names = dict.fromkeys(file.location for file in open_model(str(path)).data_files)
    return [str(path), *(str(path.parent / name) for name in names)]


def bytes_of(path: Path) -> int:
    """What the model's files take."""
    return sum(os.path.getsize(each) for each in files_of(path))


def what_is_wrong(model: Path, result: Path) -> str:
    """Why the result is not as good as the model: another interface, or other answers; "" where it is."""
    if not result.exists():
        return "nothing was written"
    if interface_of(model) != interface_of(result):
        return "other inputs or outputs"
    found = compare_in_child(str(model), str(result), dims={}, seed=0)
    return "" if found.status == "equal" else found.reason


def interface_of(path: Path) -> list[tuple[str, int]]:
    """The names and element types of the inputs that must be fed, and of the outputs."""
    graph = open_model(str(path)).proto.graph
    given = {tensor.name for tensor in graph.initializer}
    values = [*(each for each in graph.input if each.name not in given), *graph.output]
    return [(each.name, each.type.tensor_type.elem_type) for each in values]


def measure(model: Path, commands: dict[str, Command], runs: int, timeout_s: float) -> list[Row]:
    """One row per tool; the first result of each is held against the model."""
    external = len(files_of(model)) > 1
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    rows: dict[str, Row] = {}
    for turn in range(runs):
        for name, command in commands.items():
            if name in rows and rows[name].wrong.startswith("failed"):
                continue
            with tempfile.TemporaryDirectory(prefix="optimizers-") as folder:
                result = Path(folder) / ("result.onnx" if "cp" not in name else model.name)
                os.sync()  # what the one before wrote is not the next one's work
                sample = run_once(command(model, result, external), timeout_s)
                samples[name].append(sample)
                if turn == 0:
                    rows[name] = judged(name, model, result, sample)
    return [summed_up(row, samples[name]) for name, row in rows.items()]


def judged(tool: str, model: Path, result: Path, sample: Sample) -> Row:
    """The row of a tool with the figures of its result, none of its cost."""
    wrong = f"failed: {sample.message}" if sample.failed else ""
    if not wrong and "cp" not in tool:
        wrong = what_is_wrong(model, result)
    made = result.exists() and not sample.failed
    return Row(
        tool=tool,
        model=model.name,
        wrong=wrong,
        nodes_before=nodes_of(model),
        nodes_after=nodes_of(result) if made else 0,
        bytes_before=bytes_of(model),
        bytes_after=bytes_of(result) if made else 0,
    )


def summed_up(row: Row, samples: Sequence[Sample]) -> Row:
    return replace(
        row,
        wall_s=statistics.median(each.wall_s for each in samples),
        cpu_s=statistics.median(each.cpu_s for each in samples),
        tree_bytes=max(each.tree_bytes for each in samples),
        process_bytes=max(each.process_bytes for each in samples),
    )


# ---------------------------------------------------------------- showing


def geometric_mean(values: Iterable[float]) -> float:
    """Of the values above 0: a process may end before anybody looked at its memory."""
    logarithms = [math.log(value) for value in values if value > 0]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan


def node_table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Nodes left by each tool, the best of the peers, and ours against it."""
    shown = [name for name in names if "cp" not in name]
    peers = [name for name in shown if not name.startswith("onnxctl")]
    lines = [f"| model | before | {' | '.join(shown)} | best peer |", "|---|" + "---|" * (len(shown) + 2)]
    shares = []
    for model in dict.fromkeys(row.model for row in rows):
        mine = {row.tool: row for row in rows if row.model == model}
        best = min((mine[name].nodes_after for name in peers if not mine[name].wrong), default=0)
        cells = [f"{mine[name].nodes_after}{'*' if mine[name].wrong else ''}" for name in shown]
        lines.append(f"| {model} | {mine[shown[0]].nodes_before} | {' | '.join(cells)} | {best} |")
        if best and "onnxctl" in mine:
            shares.append(mine["onnxctl"].nodes_after / best)
    lines += [f"\nonnxctl / best peer, geometric mean: {geometric_mean(shares):.3f}"] if shares else []
    wrong = [f"- {row.tool} on {row.model}: {row.wrong}" for row in rows if row.wrong]
    return "\n".join([*lines, *(["\n\\* does not hold:", *wrong] if wrong else [])])


def cost_table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Geometric means over the models on which a tool did not fail."""
    lines = [
        "| | wall s | CPU s | peak MB, tree | peak MB, process | bytes after / before | largest of these |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        mine = [row for row in rows if row.tool == name and row.bytes_after]
        sizes = [row.bytes_after / row.bytes_before for row in mine]
        figures = (
            f"{geometric_mean(row.wall_s for row in mine):.2f}",
            f"{geometric_mean(row.cpu_s for row in mine):.2f}",
            f"{geometric_mean(row.tree_bytes / 1e6 for row in mine):.0f}",
            f"{geometric_mean(row.process_bytes / 1e6 for row in mine):.0f}",
            f"{geometric_mean(sizes):.4f}",
            f"{max(sizes, default=math.nan):.4f}",
        )
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def detail_table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Wall seconds and megabytes of the tree, model by model."""
    lines = [f"| model: wall s / CPU s / tree MB | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for model in dict.fromkeys(row.model for row in rows):
        mine = {row.tool: row for row in rows if row.model == model}
        cells = [f"{mine[n].wall_s:.2f} / {mine[n].cpu_s:.2f} / {mine[n].tree_bytes / 1e6:.0f}" for n in names]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="the Python of the peers' environment")
    parser.add_argument("--tools", help="only these, separated by ';'")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="of one run of one tool")
    parser.add_argument("--rows", type=Path, help="where to keep the rows, as JSON lines")
    options = parser.parse_args()
    compileall.compile_dir(Path(onnxctl.__file__).parent, quiet=1)  # as pip does when it installs a package
    commands = tools(options.peers)
    if options.tools:
        commands = {name: commands[name] for name in options.tools.split(";")}
    rows: list[Row] = []
    for number, model in enumerate(options.models, 1):
        sys.stderr.write(f"{number} of {len(options.models)}: {model}\n")
        rows += measure(model, commands, options.runs, options.timeout)
        if options.rows:
            options.rows.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    names = list(commands)
    for table in (node_table, cost_table, detail_table):
        sys.stdout.write(f"{table(rows, names)}\n\n")


if __name__ == "__main__":
    main()
