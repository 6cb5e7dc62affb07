"""What is said of a run and of the providers."""

import dataclasses

from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from onnxctl.reports import NodePlacement, ProviderInfo, ProvidersReport, RunReport, ValueSummary
from tests.render.filling import filled


def run_report() -> RunReport:
    whole = filled(RunReport, "name")
    assert isinstance(whole, RunReport)
    return whole


def test_what_ran_is_in_the_title_and_the_placement() -> None:
    placement = (
        NodePlacement(provider="CUDAExecutionProvider", node_count=90),
        NodePlacement(provider="CPUExecutionProvider", node_count=1),
    )
    shown = render(dataclasses.replace(run_report(), provider="cuda", placement=placement), Screen())
    assert shown.splitlines()[0] == "name  on cuda"
    assert "90 nodes on CUDAExecutionProvider, 1 node on CPUExecutionProvider" in shown


def test_values_show_their_range_and_what_is_odd() -> None:
    value = ValueSummary(
        name="y", type="float32[2]", dtype="float32", shape=(2,), minimum=-1.0, maximum=2.0, mean=0.5, nan_count=3
    )
    text = ValueSummary(name="t", type="string[1]", dtype="string", shape=(1,), sample="'red'")
    shown = render(dataclasses.replace(run_report(), outputs=(value, text)), Screen())
    assert "y  float32[2]  -1 to 2, mean 0.5  3 NaN" in shown
    assert "t  string[1]   'red'" in shown


def test_usable_providers_come_first() -> None:
    def info(name: str, *, built_in: bool, usable: bool) -> ProviderInfo:
        return ProviderInfo(
            name=name, provider=name, built_in=built_in, usable=usable, reason="no device", hint="buy one"
        )

    report = ProvidersReport(
        onnxruntime_version="1.30",
        distributions=(("onnxruntime", "1.30"),),
        providers=(
            info("qnn", built_in=False, usable=False),
            info("cuda", built_in=True, usable=False),
            info("cpu", built_in=True, usable=True),
        ),
    )
    rows = [line.split() for line in render(report, Screen()).splitlines()[3:]]
    assert [row[0] for row in rows] == ["cpu", "cuda", "qnn"]
    assert rows[1][1:] == ["not", "usable", "no", "device;", "buy", "one"]


def test_a_missing_onnxruntime_is_said() -> None:
    report = ProvidersReport(onnxruntime_version="", distributions=(), providers=())
    assert render(report, Screen()).startswith("onnxruntime is missing")
