"""What is said of an optimization: figures, and a verdict that claims no more than was seen."""

import dataclasses

import pytest

from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from onnxctl.reports import (
    ModelFigures,
    OperatorCount,
    OptimizedFile,
    OptimizeManyReport,
    OptimizeReport,
    OutputComparison,
    PassOutcome,
    Ratio,
    Refusal,
    StageTime,
    Verification,
)
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
            "verified: 3 runs with seed 0, 1 output equal (relative difference 1.0e-07 at most, 1.0e-05 allowed)",
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
    shown = render(dataclasses.replace(report, output=None, files_written=(), dims=(("batch", 4),)), Screen())
    assert shown.splitlines()[0].endswith("nothing written, batch=4")
    assert "wrote" not in shown


def test_the_speed_is_told_with_its_interval(report: OptimizeReport) -> None:
    assert report.speed is not None
    ratio = Ratio(ratio=0.9, low=0.875, high=0.93, verdict="faster")
    shown = render(dataclasses.replace(report, speed=dataclasses.replace(report.speed, ratio=ratio)), Screen())
    assert "-10.0 %" in shown
    assert "-12.5 % to -7.0 %" in shown
    assert "faster" in shown
    assert "Speed" not in render(dataclasses.replace(report, speed=None), Screen())


def test_reasons_are_cut_short_until_somebody_asks(report: OptimizeReport) -> None:
    many = tuple(Refusal(pass_name="p", reason=f"reason {n}", where="w", count=20 - n) for n in range(12))
    shown = render(dataclasses.replace(report, refusals=many), Screen())
    assert "reason 7" in shown
    assert "reason 8" not in shown
    assert "4 more reasons: --explain" in shown
    explained = tuple(dataclasses.replace(each, nodes=("first", "last")) for each in many)
    shown = render(dataclasses.replace(report, refusals=explained), Screen())
    assert "reason 11" in shown
    assert "first, last" in shown


@pytest.mark.parametrize(
    ("status", "written", "said"),
    [
        ("written", ("a.onnx",), "wrote a.onnx in 3.00 s (reading 1.00 s, writing 2.00 s)"),
        ("dry run", (), "dry run: nothing written; 3.00 s"),
        ("not faster", (), "it did not become faster: nothing written; 3.00 s"),
        ("not verified", (), "nothing proves that the outputs are the same: nothing written; 3.00 s"),
    ],
)
def test_what_became_of_it(report: OptimizeReport, status: str, written: tuple[str, ...], said: str) -> None:
    stages = (StageTime(name="reading", elapsed_ns=10**9), StageTime(name="writing", elapsed_ns=2 * 10**9))
    changed = dataclasses.replace(
        report,
        status=status,  # type: ignore[arg-type]
        files_written=written,
        stages=stages,
        elapsed_ns=3 * 10**9,
    )
    assert render(changed, Screen()).splitlines()[-1].startswith(said)


def test_many_files_are_rows() -> None:
    files = (
        OptimizedFile(
            path="a.onnx",
            output="out/a.onnx",
            status="written",
            exit_code=0,
            node_count_before=10,
            node_count_after=4,
            file_bytes_before=2000,
            file_bytes_after=1000,
            verification="equal",
            speed=Ratio(ratio=0.97, low=0.96, high=0.98, verdict="faster"),
        ),
        *(
            OptimizedFile(path=path, output=None, status="failed", exit_code=3, reason=f"{path}: no model")
            for path in ("b.onnx", "c.onnx")
        ),
    )
    lines = render(OptimizeManyReport(files=files, failed_count=2, elapsed_ns=10**9), Screen()).splitlines()
    assert lines[1].split("  ")[1:3] == ["a.onnx", "10 -> 4"]
    assert "2.00 kB -> 1.00 kB" in lines[1]
    assert lines[1].endswith("-3.0 %")
    assert lines[2].split() == ["b.onnx", "failed"]
    assert lines[-3].split("  ")[1:] == ["b.onnx and 1 more", "no model"]
    assert lines[-1] == "3 files, 2 of them without a result in 1.00 s"
