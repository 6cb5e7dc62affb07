"""What is said of variants."""

import dataclasses

from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from onnxctl.reports import ErrorReport, Ratio, RunManyReport, VariantReport
from tests.render.filling import filled


def test_each_variant_has_a_row_with_its_verdict() -> None:
    report = filled(RunManyReport, "name")
    assert isinstance(report, RunManyReport)
    first = dataclasses.replace(report.variants[0], label="one", ratio=None, error=None, assertions=())
    slower = dataclasses.replace(first, label="two", ratio=Ratio(ratio=1.25, low=1.2, high=1.3, verdict="slower"))
    error = ErrorReport(error="ChildCrashed", message="m", hint="", exit_code=4)
    broken = VariantReport(
        label="three", path="p", provider="cpu", dims=(), intra_op_threads=None, graph_optimization="all", error=error,
        exit_code=4,
    )  # fmt: skip
    shown = render(dataclasses.replace(report, variants=(first, slower, broken)), Screen()).splitlines()
    shown = shown[: shown.index("Figures")]
    rows = {line.split()[0]: line for line in shown if line.split()[:1] in (["one"], ["two"], ["three"])}
    assert "the first" in rows["one"]
    assert "1.250" in rows["two"] and "1.200 to 1.300" in rows["two"] and "slower" in rows["two"]
    assert "failed: ChildCrashed" in rows["three"]
