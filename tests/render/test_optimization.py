"""What is said of an optimization: figures, and a verdict that claims no more than was seen."""

import dataclasses

import pytest

from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from onnxctl.reports import ModelFigures, OperatorCount, OptimizeReport, OutputComparison, PassOutcome, Verification
from tests.render.filling import filled


@pytest.fixture
def report() -> OptimizeReport:
    whole = filled(OptimizeReport, "name")
    assert isinstance(whole, OptimizeReport)
    return whole


def figures(nodes: int, **operators: int) -> ModelFigures:
    counts = tuple(OperatorCount(domain="", op_type=name, count=count) for name, count in operators.items())
    return ModelFigures(node_count=nodes, initializer_count=5, parameter_count=9, file_bytes=1000, operators=counts)


def output(*, equal: bool, difference: float) -> OutputComparison:
    return OutputComparison(
        name="logits", equal=equal, max_absolute=difference, max_relative=difference, tolerance=1e-5, message=""
    )


def test_before_and_after(report: OptimizeReport) -> None:
    changed = dataclasses.replace(report, before=figures(10, Add=4, Cast=6), after=figures(4, Add=4))
    lines = render(changed, Screen()).splitlines()
    assert any(line.split() == ["nodes", "10", "4", "-60", "%"] for line in lines)
    assert any(line.split() == ["file", "size", "1.00", "kB", "1.00", "kB", "="] for line in lines)
    assert any(line.split() == ["Cast", "6", "0", "-6"] for line in lines)
    assert not any(line.split()[:1] == ["Add"] for line in lines)


@pytest.mark.parametrize(
    ("verification", "said"),
    [
        (
            Verification(status="equal", run_count=3, outputs=(output(equal=True, difference=1e-7),)),
            "verified: 3 runs with seed 0, 1 output equal within 1e-05 (largest difference 1e-07)",
        ),
        (
            Verification(status="equal", run_count=3, outputs=(output(equal=True, difference=0.0),)),
            "verified: 3 runs with seed 0, 1 output identical",
        ),
        (
            Verification(status="different", run_count=3, outputs=(output(equal=False, difference=0.5),)),
            "different: 1 of 1 output in 3 runs with seed 0",
        ),
        (Verification(status="not verified", reason="no kernel for Foo"), "not verified: no kernel for Foo"),
        (Verification(status="skipped"), "not verified: nobody asked for it"),
    ],
)
def test_the_verdict(report: OptimizeReport, verification: Verification, said: str) -> None:
    assert said in render(dataclasses.replace(report, verification=verification), Screen()).splitlines()


def test_idle_passes_are_summed_up(report: OptimizeReport) -> None:
    passes = tuple(PassOutcome(name=f"pass_{n}", rewrite_count=n, elapsed_ns=1_000_000) for n in (3, 0, 0))
    shown = render(dataclasses.replace(report, passes=passes), Screen())
    assert "pass_3" in shown
    assert "pass_0" not in shown
    assert "2 more" in shown


def test_nothing_written_is_said(report: OptimizeReport) -> None:
    shown = render(dataclasses.replace(report, output=None, files_written=()), Screen())
    assert shown.splitlines()[0].endswith("nothing written")
    assert "wrote" not in shown
