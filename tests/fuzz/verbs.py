"""What must hold for any bytes at all of whole commands, in this process: a report, or an error that is ours.

`inspect` with all it can tell, in every format; what `check` finds by itself; `diff` with itself and with another
model; and every pass, without its evaluator. Nothing native runs, so that whatever goes wrong is ours.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import onnxctl
from onnxctl.analysis.findings import look_closer
from onnxctl.analysis.interface import describe_interface, interface_change
from onnxctl.analysis.structure import find_problems, require_usable
from onnxctl.analysis.type_constraints import find_wrong_types
from onnxctl.analysis.typing_check import find_contradictions
from onnxctl.errors import ModelError, ResourceLimit
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.model.propagation import propagate
from onnxctl.model.saving import save
from onnxctl.passes.base import Context
from onnxctl.passes.manager import optimize_graphs
from onnxctl.render.formats import FORMATS
from onnxctl.render.screen import Screen
from onnxctl.reports import Report
from tests.command_line import strict_json

with contextlib.suppress(ImportError):
    import onnxruntime  # noqa: F401 - findings ask for its version, which takes longer to find out where it is not loaded

FAILURES = (ModelError, ResourceLimit)

_SCREENS = (Screen(width=None, colour=False, unicode=True), Screen(width=60, colour=True, unicode=False))


def run_verbs(data: bytes, other: bytes) -> None:
    """All verbs on one input; other is the model that it is compared with."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder = Path(name)
        path, other_path = folder / "model.onnx", folder / "other.onnx"
        path.write_bytes(data)
        other_path.write_bytes(other)
        for verb in (_inspect, _judge, _diff, _optimize):
            with contextlib.suppress(*FAILURES):
                verb(path, other_path)


def _inspect(path: Path, other: Path) -> None:
    summary = onnxctl.inspect(
        str(path), nodes=True, weights=True, values=True, cost=True, memory=True, tree=True, text=True
    )
    _show(summary)
    _show(onnxctl.inspect(str(path), findings=True, precision=True, whole_text=True))


def _judge(path: Path, other: Path) -> None:
    model = open_model(str(path))
    problems, _ = find_problems(model)
    if not problems:
        graphs = ModelGraphs(model)
        found = propagate(graphs)
        list(find_contradictions(graphs, found))
        list(find_wrong_types(graphs, found))
        look_closer(graphs, found)


def _diff(path: Path, other: Path) -> None:
    same = onnxctl.diff(str(path), str(path))
    assert same.verdict in ("same", "not compared"), "a model differs from itself"
    _show(onnxctl.diff(str(path), str(other), full=True))


def _optimize(path: Path, other: Path) -> None:
    model = open_model(str(path))
    require_usable(model, for_running=False)
    before = describe_interface(model)
    graphs = ModelGraphs(model)
    result = optimize_graphs(graphs, Context(graphs))
    assert not interface_change(before, describe_interface(model)), "the interface changed"
    save(model, str(path.with_name("optimized.onnx")), force=True)
    assert result.rounds > 0


def _show(report: Report) -> None:
    for format_name, render in FORMATS.items():
        if format_name == "json":
            strict_json(render(report, _SCREENS[0]).encode())
            continue
        for screen in _SCREENS:
            render(report, screen)
