"""What is said of where the time goes."""

import dataclasses

from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from onnxctl.reports import MachinePeak, NodeProfile, OperatorProfile, ProfileReport, RunReport
from tests.render.filling import filled


def test_operators_and_nodes_show_rates_and_shares_of_the_peak() -> None:
    node = NodeProfile(
        name="conv_nchwc",
        op_type="Conv",
        provider="CPUExecutionProvider",
        original_nodes=("conv", "norm", "relu", "x"),
        calls_per_run=1,
        mean_ns=2e6,
        share=0.8,
        macs=50_000_000,
        flops=100_000_000,
        moved_bytes=2_000_000,
        memory_bytes=1_000,
    )
    operator = OperatorProfile(
        op_type="Conv",
        provider="CPUExecutionProvider",
        node_count=1,
        mean_ns=2e6,
        share=0.8,
        macs=50_000_000,
        flops=100_000_000,
        moved_bytes=2_000_000,
    )
    profile = ProfileReport(
        run_count=10, run_ns=3e6, nodes_ns=2.5e6, nodes=(node,), operators=(operator,),
        peak=MachinePeak(flops_per_second=2e11, bytes_per_second=1e10), bound="Bound by luck.",
    )  # fmt: skip
    whole = filled(RunReport, "name")
    assert isinstance(whole, RunReport)
    shown = render(dataclasses.replace(whole, profile=profile), Screen())
    rates = ("50.0 M  50.0 GFLOP/s", "25%", "1.00 GB/s", "10%", "1.00 kB")
    for part in ("Bound by luck.", "conv, norm, relu and 1 more", *rates):
        assert part in shown, part
    assert "CPUExecutionProvider  " not in shown.split("Slowest nodes")[0].split("operator")[1]
