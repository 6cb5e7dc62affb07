"""Where the time goes: onnxruntime's own profiles read, fused nodes recovered, bounds told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from onnxctl.api import measure_run
from onnxctl.reports import ComputePeak, MachinePeak, NodeCost, NodeProfile, Quantity, RunConfig
from onnxctl.runtime.calibration import measure_peak
from onnxctl.runtime.device import Device
from onnxctl.runtime.explaining import explain_profile
from onnxctl.runtime.fusion import original_nodes
from onnxctl.runtime.profiling import ProfileRecord, profile_in_child
from onnxctl.runtime.recording import read_events
from onnxctl.runtime.session import SessionSettings
from tests.conftest import SAMPLES
from tests.runtime.models import not_of_an_older_onnxruntime

PEAK = MachinePeak(
    compute=(
        ComputePeak(element_type="float32", flops_per_second=1e12),
        ComputePeak(element_type="int8", flops_per_second=4e12),
    ),
    bytes_per_second=1e11,
    working_set_bytes=1 << 22,
    call_ns=1e4,
    node_ns=1e3,
)


def event(name: str, begin: int, duration: int, op_type: str = "Add", index: int = 0) -> dict[str, object]:
    details = {"op_name": op_type, "provider": "CPUExecutionProvider", "node_index": str(index), "output_size": "8"}
    return {
        "cat": "Node",
        "tid": 1,
        "ph": "X",
        "ts": begin,
        "dur": duration,
        "name": f"{name}_kernel_time",
        "args": details,
    }


def run_event(begin: int, duration: int) -> dict[str, object]:
    return {"cat": "Session", "tid": 1, "ph": "X", "ts": begin, "dur": duration, "name": "model_run", "args": {}}


def test_kernels_belong_to_the_run_they_began_in() -> None:
    events = [
        event("a", 1, 2),
        event("b", 4, 3),
        run_event(0, 10),
        event("a", 21, 4),
        run_event(20, 9),
        event("x", 90, 1),
    ]
    recording = read_events(events)
    assert recording.run_us == (10, 9)
    assert [(each.node.name, each.run, each.own_us) for each in recording.kernels] == [
        ("a", 0, 2),
        ("b", 0, 3),
        ("a", 1, 4),
    ]
    assert recording.kernels[0].output_bytes == 8 and recording.kernels[0].memory_bytes is None


def test_the_time_of_a_loop_is_not_that_of_its_body() -> None:
    events = [
        event("loop", 0, 100, "Loop", 1),
        event("in", 10, 30, index=2),
        event("in", 50, 40, index=2),
        run_event(0, 101),
    ]
    own = {each.node.index: 0 for each in read_events(events).kernels}
    for each in read_events(events).kernels:
        own[each.node.index] += each.own_us
    assert own == {1: 30, 2: 70}


# ---------------------------------------------------------------- fusion


def originals_of(path: Path, tmp_path: Path, level: str = "ORT_ENABLE_ALL") -> dict[str, tuple[str, ...]]:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    model, optimized = onnx.load(path), onnx.load(tmp_path / "optimized.onnx")
    names = original_nodes(model.graph, optimized.graph)
    return {f"{node.name}/{node.op_type}": each for node, each in zip(optimized.graph.node, names, strict=True)}


@pytest.mark.parametrize("level", ["ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
def test_what_was_fused_is_recovered(tmp_path: Path, level: str) -> None:
    found = originals_of(SAMPLES / "digits_cnn.onnx", tmp_path, level)
    assert ("conv1", "norm1", "relu1") in found.values()
    assert ("conv2", "norm2", "relu2") in found.values()


def test_without_optimizations_every_node_stands_for_itself(tmp_path: Path) -> None:
    found = originals_of(SAMPLES / "transformer_block.onnx", tmp_path, "ORT_DISABLE_ALL")
    model = onnx.load(SAMPLES / "transformer_block.onnx")
    assert all(len(each) == 1 for name, each in found.items() if not name.endswith("/Constant"))
    assert {label for each in found.values() for label in each} <= {
        node.name or f"{node.op_type}({node.output[0]})" for node in model.graph.node
    }


def test_quantized_nodes_in_another_layout_are_known_by_their_names(tmp_path: Path) -> None:
    found = originals_of(SAMPLES / "int8_qdq.onnx", tmp_path)
    convolutions = [each for name, each in found.items() if name.endswith("/QLinearConv")]
    assert [{"conv1", "relu1", "relu1_quantize"} <= set(each) for each in convolutions] == [True, False]
    assert [{"conv2", "relu2", "relu2_quantize"} <= set(each) for each in convolutions] == [False, True]
    assert found["classify/QGemm"][-1] == "classify" and "conv2" not in found["classify/QGemm"]


def test_float16_computed_in_float32_is_known_by_the_names_without_the_casts(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 13]> g (float16[1, 16, 8, 8] x) => (float16[1, 4] y)
        { [first] a = Conv <pads = [1, 1, 1, 1]> (x, w) [flat] b = Flatten(a) [last] y = MatMul(b, v) }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(np.full((16, 16, 3, 3), 0.01, np.float16), "w"))
    model.graph.initializer.append(numpy_helper.from_array(np.full((1024, 4), 0.01, np.float16), "v"))
    onnx.save(model, tmp_path / "model.onnx")
    found = originals_of(tmp_path / "model.onnx", tmp_path)
    assert [each for name, each in found.items() if name.endswith(("/Conv", "/MatMul"))] == [("first",), ("last",)]
    assert not any(each for name, each in found.items() if name.endswith("/Cast"))


def test_a_product_fused_between_reshapes_keeps_its_work(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 13]> g (float[2, 8, 16] x) => (float[2, 8, 4] y)
        { [product] a = MatMul(x, w) [bias] y = Add(a, b) }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(np.full((16, 4), 0.01, np.float32), "w"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), "b"))
    onnx.save(model, tmp_path / "model.onnx")
    found = originals_of(tmp_path / "model.onnx", tmp_path)
    assert [each for each in found.values() if "product" in each] == [
        each for n, each in found.items() if n.endswith(("/Gemm", "/MatMul"))
    ]


def test_nodes_without_a_name_are_known_by_their_order(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 13]> g (float[4] x) => (float[4] y)
        { a = Sin(x) b = Cos(a) y = Sin(b) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    found = profile_in_child(RunConfig(path=str(tmp_path / "model.onnx")), median_ns=1e8, calibrate=False)
    assert {each.original_nodes for each in found.nodes} == {("Sin(a)",), ("Cos(b)",), ("Sin(y)",)}


def test_namesakes_are_told_apart_by_the_order_they_run_in(tmp_path: Path) -> None:
    """onnxruntime gives what it fuses the last indices, wherever in the graph it is."""
    text = """<ir_version: 8, opset_import: ["": 13]> g (float[64, 64] x) => (float[64, 64] y)
        { a = Gemm(x, x) b = Relu(a) c = Gemm(b, x) d = Sin(c) e = Gemm(d, x) y = Relu(e) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    config = RunConfig(path=str(tmp_path / "model.onnx"))
    nodes = profile_in_child(config, median_ns=1e8, calibrate=False).nodes
    fused = {each.original_nodes for each in nodes if each.op_type == "FusedGemm"}
    assert fused == {("Gemm(a)", "Relu(b)"), ("Gemm(e)", "Relu(y)")}
    assert {each.original_nodes for each in nodes if each.op_type == "Gemm"} == {("Gemm(c)",)}


def test_nothing_is_claimed_past_nodes_that_nothing_is_known_of(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 13]> g (float[4] x) => (float[4] y)
        { [first] a = Sin(x) [second] b = Cos(a) [third] y = Tan(b) }"""
    )
    optimized = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 13]> g (float[4] x) => (float[4] y)
        { [p] u = Sin(x) [q] v = Cos(u) [third] y = Tan(v) }"""
    )
    assert original_nodes(model.graph, optimized.graph) == ((), (), ("third",))


@pytest.mark.parametrize("name", ["transformer_block", "digits_cnn", "digits_mlp", "int8_qdq"])
def test_no_node_stands_behind_two(tmp_path: Path, name: str) -> None:
    claimed = [label for each in originals_of(SAMPLES / f"{name}.onnx", tmp_path).values() for label in each]
    assert claimed and len(claimed) == len(set(claimed))


def test_a_sum_fused_behind_a_blocked_convolution_stays_with_it(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 13]> g (float[1, 16, 8, 8] x) => (float[1, 16, 8, 8] y)
        {
        [first] a = Conv <pads = [1, 1, 1, 1]> (x, w)
        [activate] b = Relu(a)
        [second] c = Conv <pads = [1, 1, 1, 1]> (b, v)
        [add] d = Add(c, b)
        [rectify] e = Relu(d)
        [third] f = Conv <pads = [1, 1, 1, 1]> (e, w)
        [out] y = Add(f, e) }"""
    )
    for name in "wv":
        model.graph.initializer.append(numpy_helper.from_array(np.full((16, 16, 3, 3), 0.01, np.float32), name))
    onnx.save(model, tmp_path / "model.onnx")
    found = originals_of(tmp_path / "model.onnx", tmp_path)
    convolutions = [each for name, each in found.items() if name.endswith("/Conv")]
    assert convolutions == [("first", "activate"), ("second", "add", "rectify"), ("third", "out")]


# ---------------------------------------------------------------- reasons


def node(name: str, time_ns: float, moved: int | None = None, element_type: str = "float32") -> NodeProfile:
    return NodeProfile(
        name=name, op_type="MatMul", provider="CPUExecutionProvider", original_nodes=(name,), calls_per_run=1,
        element_type=element_type, time_ns=time_ns, share=1.0, moved_bytes=moved,
    )  # fmt: skip


def cost(name: str, flops: int, moved: int) -> NodeCost:
    def amount(value: int) -> Quantity:
        return Quantity(value=value, expression=str(value))

    return NodeCost(
        scope="", name=name, op_type="MatMul", domain="", macs=amount(flops // 2), flops=amount(flops),
        read_bytes=amount(moved), written_bytes=amount(0), parameter_count=0,
    )  # fmt: skip


def record(time_ns: float, run_ns: float = 0.0, peak: MachinePeak | None = PEAK) -> ProfileRecord:
    return ProfileRecord(
        run_count=9, run_ns=run_ns or time_ns, nodes_ns=time_ns, nodes=(node("a", time_ns),), nodes_on_cpu=(),
        copy_count=0, time_shares=(), peak=peak,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("run_ns", "median_ns", "flops", "moved", "bound"),
    [
        (1e6, 1e6, 900_000_000, 1_000, "Bound by computing: the nodes reach 90 %"),
        (1e6, 1e6, 1_000_000, 90_000_000, "Bound by memory: the nodes reach less than 1 %"),
        (1e6, 1e6, 100_000_000, 10_000_000, "Bound by neither"),
        (1.9e6, 1.9e6, 900_000_000, 1_000, "Bound by overhead: 47 % of a run passes outside the nodes"),
        (1.9e6, 1e6, 900_000_000, 1_000, "Bound by computing: the nodes reach 90 %"),  # the profiler took that time
        (1e6, 2e4, 9_000, 1_000, "Bound by overhead: starting a run of 1 node takes 55 %"),
        (1e6, 6e3, 9_000, 1_000, "Bound by overhead: starting a run of 1 node takes 100 %"),
        (1e6, 5e3, 900_000_000, 1_000, "Bound by computing"),  # it can't take longer than twice the run
    ],
)
def test_what_bounds_a_model_is_told(run_ns: float, median_ns: float, flops: int, moved: int, bound: str) -> None:
    report = explain_profile(record(1e6, run_ns), [cost("a", flops, moved)], median_ns)
    assert report.bound.startswith(bound)
    assert ("times as long" in report.bound) == (run_ns > 1.5 * median_ns)
    assert report.nodes[0].macs == flops // 2 and report.nodes[0].moved_bytes == moved
    assert (report.compute_share, report.bandwidth_share) == pytest.approx((flops / 1e9, moved / 1e8))


@pytest.mark.parametrize(
    ("share", "bound"), [(0.9, "Bound by computing: the nodes reach 81 %"), (0.1, "What bounds it is not known")]
)
def test_nothing_is_said_of_what_bounds_nodes_whose_work_is_not_known(share: float, bound: str) -> None:
    """A provider that compiles many nodes into one leaves nothing of them to count."""
    known = dataclasses.replace(node("a", share * 1e6), share=share)
    compiled = dataclasses.replace(node("all of them", (1 - share) * 1e6), share=1 - share)
    found = dataclasses.replace(record(1e6), nodes=(known, compiled))
    assert explain_profile(found, [cost("a", int(share * 9e8), 0)], 1e6).bound.startswith(bound)


def test_a_node_is_held_against_the_peak_of_its_own_type() -> None:
    nodes = (node("a", 1e6), node("b", 1e6, element_type="int8"), node("c", 1e6, element_type="float16"))
    costs = [cost(each.name, 800_000_000, 0) for each in nodes]
    report = explain_profile(dataclasses.replace(record(1e6), nodes=nodes), costs, 1e6)
    assert [each.compute_share for each in report.nodes] == pytest.approx([0.8, 0.2, None])
    without = explain_profile(dataclasses.replace(record(1e6, peak=None), nodes=nodes), costs, 1e6)
    assert without.bound == "MatMul takes 300 % of the time in nodes." and without.compute_share is None


def test_namesakes_in_subgraphs_are_not_mistaken_for_each_other() -> None:
    report = explain_profile(record(1e6), [cost("a", 8, 8), cost("a", 16, 8)], 1e6)
    assert report.nodes[0].flops is None


def test_of_fused_nodes_only_what_crosses_their_border_moves() -> None:
    fused = dataclasses.replace(node("a", 1e6, moved=1_500), original_nodes=("a", "b"))
    costs = [cost("a", 8, 1_000), cost("b", 4, 1_000)]
    report = explain_profile(dataclasses.replace(record(1e6), nodes=(fused,)), costs, 1e6)
    assert (report.nodes[0].flops, report.nodes[0].moved_bytes) == (12, 1_500)
    half_known = explain_profile(dataclasses.replace(record(1e6), nodes=(fused,)), costs[:1], 1e6)
    assert (half_known.nodes[0].flops, half_known.nodes[0].moved_bytes) == (None, 1_500)


def test_the_peak_is_measured_here() -> None:
    types = ("float32", "int8", "string")
    peak = measure_peak(SessionSettings(intra_op_threads=1), Device(), types, working_set_bytes=1 << 20)
    assert peak is not None and [each.element_type for each in peak.compute] == ["float32", "int8"]
    assert all(1e8 < each.flops_per_second < 1e14 for each in peak.compute)
    assert 1e8 < peak.bytes_per_second < 1e13 and peak.working_set_bytes == 1 << 22
    assert 0 < peak.call_ns < 1e7 and 0 <= peak.node_ns < 1e6


# ---------------------------------------------------------------- the whole


def test_a_profile_joins_time_cost_and_the_models_own_names(tmp_path: Path) -> None:
    config = RunConfig(path=str(SAMPLES / "digits_cnn.onnx"), dims=(("batch", 8),), run_count=5, profile=True,
                       trace=str(tmp_path / "trace.json"))  # fmt: skip
    report = measure_run(config)
    assert report.profile is not None and report.profile.run_count >= 5
    by_original = {each.original_nodes: each for each in report.profile.nodes}
    convolution = by_original["conv2", "norm2", "relu2"]
    assert convolution.macs == 8 * 32 * 4 * 4 * 16 * 3 * 3
    assert convolution.output_bytes
    assert sum(each.share for each in report.profile.nodes) == pytest.approx(1)
    assert report.files_written == (str(tmp_path / "trace.json"),)
    trace = json.loads((tmp_path / "trace.json").read_text())
    for each in trace["traceEvents"]:
        assert each["ph"] == "X" and each["name"] and isinstance(each["args"], dict)
        assert all(isinstance(each[key], int) and each[key] >= 0 for key in ("ts", "dur", "pid", "tid"))
    assert any(each["args"].get("original_nodes") == ["conv2", "norm2", "relu2"] for each in trace["traceEvents"])
    assert [each.name for each in tmp_path.iterdir()] == ["trace.json"]


@not_of_an_older_onnxruntime
def test_nodes_tell_the_memory_that_onnxruntime_holds_when_they_end() -> None:
    config = RunConfig(path=str(SAMPLES / "digits_cnn.onnx"), dims=(("batch", 8),))
    found = profile_in_child(config, median_ns=1e8, calibrate=False)
    assert all(each.memory_bytes for each in found.nodes if each.op_type == "Conv")


@pytest.mark.parametrize("name", ["loop_sum", "if_branches", "local_function", "tree_ensemble", "sequence_optional"])
def test_every_kind_of_graph_can_be_profiled(name: str) -> None:
    found = profile_in_child(RunConfig(path=str(SAMPLES / f"{name}.onnx")), median_ns=1e8, calibrate=False)
    assert found.nodes and sum(each.share for each in found.nodes) == pytest.approx(1)
    assert dict(found.time_shares) == {"CPUExecutionProvider": pytest.approx(1)}
