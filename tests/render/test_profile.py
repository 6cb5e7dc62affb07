"""What is said of where the time goes."""

import dataclasses

import pytest

from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from onnxctl.reports import ComputePeak, MachinePeak, NodeProfile, OperatorProfile, ProfileReport, RunReport
from tests.render.filling import filled

NODE = NodeProfile(
    name="conv_nchwc",
    op_type="Conv",
    provider="CPUExecutionProvider",
    original_nodes=("conv", "norm", "relu", "x"),
    element_type="float32",
    calls_per_run=1,
    time_ns=2e6,
    share=0.8,
    macs=50_000_000,
    flops=100_000_000,
    moved_bytes=2_000_000,
    compute_share=0.25,
    bandwidth_share=0.1,
    memory_bytes=1_000,
)
PEAK = MachinePeak(
    compute=(ComputePeak(element_type="float32", flops_per_second=2e11),),
    bytes_per_second=1e10,
    working_set_bytes=64_000_000,
    call_ns=4e3,
    node_ns=200,
)


def shown(*nodes: NodeProfile, width: int | None = None) -> str:
    operators = tuple(
        OperatorProfile(
            op_type=each.op_type, provider=each.provider, node_count=1, time_ns=each.time_ns, share=each.share,
            macs=each.macs, flops=each.flops, moved_bytes=each.moved_bytes, compute_share=each.compute_share,
            bandwidth_share=each.bandwidth_share,
        )
        for each in nodes
    )  # fmt: skip
    profile = ProfileReport(
        run_count=10, run_ns=3e6, nodes_ns=2.5e6, nodes=nodes, operators=operators, peak=PEAK, compute_share=0.2,
        bandwidth_share=0.1, bound="Bound by luck.",
    )  # fmt: skip
    whole = filled(RunReport, "name")
    assert isinstance(whole, RunReport)
    text = render(dataclasses.replace(whole, profile=profile), Screen(width=width))
    return text[text.index("Profile") : text.index("Inputs")]


def test_operators_and_nodes_show_rates_and_shares_of_the_peak() -> None:
    text = shown(NODE)
    rates = ("50.0 M  50.0 G  1.00 G  25 % compute", "1.00 kB", "200 GFLOP/s in float32, 10.0 GB/s over 64.0 MB")
    for part in ("Bound by luck.", "conv … x (4)", "10 runs of 3.00 ms with the profiler on", *rates):
        assert part in text, part
    assert "CPU" not in text and "provider" not in text
    assert "CPU\n" in shown(NODE, dataclasses.replace(NODE, provider="CUDAExecutionProvider"))


@pytest.mark.parametrize(
    ("compute", "bandwidth", "said"),
    [(0.1, 0.2, "20 % memory"), (0.1, 1.05, "105 % memory"), (0.0, 1.3, "from cache"), (0.001, None, "1.00 G\n")],
)
def test_of_the_two_shares_the_larger_is_told(compute: float, bandwidth: float | None, said: str) -> None:
    node = dataclasses.replace(NODE, compute_share=compute, bandwidth_share=bandwidth, memory_bytes=None)
    assert said in shown(node)


def test_a_profile_fits_into_eighty_columns() -> None:
    long = dataclasses.replace(NODE, original_nodes=("/encoder/layer.0/attention/self/query/MatMul",), op_type="A" * 30)
    assert all(len(line) <= 80 for line in shown(NODE, long, width=80).splitlines())
