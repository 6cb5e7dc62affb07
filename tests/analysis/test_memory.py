"""Peak memory against what onnxruntime's own allocator says of the same run, and the rules one by one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from onnxctl.analysis.memory import OVERWRITING, VIEWS, count_memory, execution_order
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.model.propagation import propagate
from onnxctl.reports import MemoryReport
from onnxctl.runtime.feeds import generate_feeds
from tests.analysis.cost.counted import model_of
from tests.conftest import SAMPLES, shared_paths

MODELS = ["digits_cnn", "digits_mlp", "int8_qdq", "transformer_block", "if_branches", "loop_sum", "local_function"]

SHARED_BUT = {
    "SqueezeNet_fp16.onnx": "onnxruntime has no float16 kernels on CPUs: it runs in float32 between Casts",
    "nmp.onnx": "onnxruntime leaves sizes open that follow from the values of others, and reuses less",
    "bug_Hardmax.onnx": "its sizes depend on the data",
}


def memory_of(path: str, dims: Mapping[str, int]) -> MemoryReport:
    graphs = ModelGraphs(open_model(path))
    stated = propagate(graphs, smallest_dimension=1)
    return count_memory(propagate(graphs, dims=dims, smallest_dimension=1), dims, stated=stated)


def of_text(text: str, folder: Path, **dims: int) -> MemoryReport:
    path = folder / "m.onnx"
    path.write_bytes(model_of(text).SerializeToString())
    return memory_of(str(path), dims)


def measured_peak(path: str, inputs: Mapping[str, Any], folder: Path) -> int:
    """The most that onnxruntime had asked its allocator for at the end of any node, less what it held at the start."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = os.fspath(folder / "profile")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, dict(inputs))
    events = json.loads(Path(session.end_profiling()).read_text())
    used = [event["args"] for event in events if event.get("cat") == "Node" and in_use(event)]
    before = int(used[0]["mem_bytes_requested_in_use"]) - int(used[0].get("mem_requested_in_use_delta", 0))
    return max(int(each["mem_bytes_requested_in_use"]) for each in used) - before


def in_use(event: Mapping[str, Any]) -> bool:
    return "mem_bytes_requested_in_use" in event["args"]


@pytest.mark.parametrize("name", MODELS)
def test_the_peak_is_what_onnxruntime_allocates(name: str, tmp_path: Path) -> None:
    check_against_onnxruntime(str(SAMPLES / f"{name}.onnx"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", shared_paths(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_peak_of_models_from_elsewhere(path: Path, tmp_path: Path) -> None:
    if path.name in SHARED_BUT:
        pytest.skip(SHARED_BUT[path.name])
    check_against_onnxruntime(str(path), tmp_path)


def check_against_onnxruntime(path: str, folder: Path) -> None:
    """Within a tenth, or 512 bytes: strings, sequences and what kernels need for themselves are not counted."""
    model = open_model(path)
    graphs = ModelGraphs(model)
    try:
        feeds = generate_feeds(model, graphs, dims={}, seed=0)
        measured = measured_peak(path, feeds.values, folder)
    except Exception as error:  # noqa: BLE001 - whatever keeps onnxruntime from running it
        pytest.skip(f"onnxruntime can't run it: {str(error)[:80]}")
    report = memory_of(path, feeds.dims)
    if report.peak_bytes is None:
        pytest.skip("its sizes depend on the data, or on dimensions without a name")
    assert report.peak_bytes == pytest.approx(measured, rel=0.1, abs=512 if measured < 4096 else 0)


# ---------------------------------------------------------------- kernels


def between_transposes(op_type: str) -> ModelProto:
    """The operator on a value that nobody else reads."""
    attributes = "<to = 6>" if op_type == "Cast" else ""
    others = {
        "Reshape": ", shape", "Unsqueeze": ", zero", "ScatterElements": ", at, new", "Clip": ", low",
    }.get(op_type, "")  # fmt: skip
    kind = "int32" if op_type == "Cast" else "float"
    before = "one = Unsqueeze (a, zero)" if op_type == "Squeeze" else ""
    given = "one" if op_type == "Squeeze" else "a"
    after = "c = Flatten (b)" if op_type == "Unsqueeze" else "c = Identity (b)"
    return model_of(
        f"""g (float[64, 32] x) => ({kind}[?, ?] y)
        <int64[2] shape = {{64, 32}}, int64[1] zero = {{0}}, int64[1, 1] at = {{0}}, float[1, 1] new = {{1}},
         float low = {{0}}> {{
            a = Transpose (x)
            {before}
            b = {op_type} {attributes} ({given}{others})
            {after}
            y = Transpose (c)
        }}"""
    )


@pytest.mark.parametrize("op_type", sorted((OVERWRITING | VIEWS) - {"Squeeze"}))
def test_kernels_that_need_no_memory(op_type: str, tmp_path: Path) -> None:
    """What the tables say is what the installed onnxruntime does: two tensors at the peak, not three."""
    path = tmp_path / "kernel.onnx"
    path.write_bytes(between_transposes(op_type).SerializeToString())
    inputs = {"x": np.ones((64, 32), np.float32)}
    tensor = 64 * 32 * 4
    assert measured_peak(str(path), inputs, tmp_path) == pytest.approx(2 * tensor, abs=64)
    assert memory_of(str(path), {}).peak_bytes == 2 * tensor


@pytest.mark.parametrize("op_type", ["Abs", "Erf", "Exp", "Neg", "Sqrt", "Tan"])
def test_kernels_that_do_need_memory(op_type: str, tmp_path: Path) -> None:
    path = tmp_path / "kernel.onnx"
    model = model_of(
        f"""g (float[64, 32] x) => (float[1] y) {{
            a = Transpose (x) b = {op_type} (a) c = {op_type} (b) y = ReduceMax (c)
        }}"""
    )
    path.write_bytes(model.SerializeToString())
    measured = measured_peak(str(path), {"x": np.ones((64, 32), np.float32)}, tmp_path)
    assert memory_of(str(path), {}).peak_bytes == pytest.approx(measured, abs=64)
    assert measured >= 2 * 64 * 32 * 4


# ---------------------------------------------------------------- rules


def test_the_peak_has_a_place_and_a_size(tmp_path: Path) -> None:
    report = of_text(
        """g (float[n, 10] x) => (float[n, 1] y) {
            wide = Concat <axis = 1> (x, x, x, x)
            narrow = ReduceMax <keepdims = 1> (wide, axes)
            y = Neg (narrow)
        }""".replace("=> (float[n, 1] y) {", "=> (float[n, 1] y) <int64[1] axes = {1}> {"),
        tmp_path,
        n=8,
    )
    assert report.peak_bytes == 8 * 40 * 4 + 8 * 4
    assert report.peak_node == "ReduceMax(narrow)"
    assert [(each.name, each.byte_count) for each in report.live] == [("wide", 1280), ("narrow", 32)]
    assert (report.input_bytes, report.output_bytes) == (320, 32)


def test_what_is_not_known_is_named(tmp_path: Path) -> None:
    report = of_text("g (float[n, m] x) => (float[n, m] y) { y = Neg (x) }", tmp_path, n=2)
    assert report.peak_bytes is None
    assert report.symbols == ("m",)
    assert report.live == ()


@st.composite
def straight_graphs(draw: st.DrawFn) -> ModelProto:
    """Nodes of all kinds on values of two shapes; every value that nobody reads is an output."""
    shapes: dict[str, tuple[int, ...]] = {"x": (100,)}
    nodes, read = [], set()
    for index in range(draw(st.integers(2, 12))):
        name, given = f"v{index}", draw(st.sampled_from(sorted(shapes)))
        kind = draw(st.sampled_from(["Relu", "Sigmoid", "Neg", "Exp", "Add", "Reshape", "Identity", "Softmax"]))
        others = [draw(st.sampled_from(sorted(each for each in shapes if shapes[each] == shapes[given])))]
        inputs = [given, *(others if kind == "Add" else [])]
        shapes[name] = ((10, 10) if shapes[given] == (100,) else (100,)) if kind == "Reshape" else shapes[given]
        size = ["square" if shapes[name] == (10, 10) else "flat"] if kind == "Reshape" else []
        nodes.append(helper.make_node(kind, [*inputs, *size], [name]))
        read.update(inputs)
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
        if name not in read
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [100])],
        outputs,
        [helper.make_tensor("square", 7, [2], [10, 10]), helper.make_tensor("flat", 7, [1], [100])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@given(straight_graphs())
@settings(max_examples=60, deadline=None)
def test_any_graph_peaks_where_onnxruntimes_does(model: ModelProto) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.onnx"
        path.write_bytes(model.SerializeToString())
        inputs = {"x": np.ones(100, np.float32)}
        try:
            measured = measured_peak(str(path), inputs, Path(folder))
        except IndexError:
            assume(False)  # nothing but views of the input: no node asks for memory
        assert memory_of(str(path), {}).peak_bytes == measured


def test_outputs_are_held_to_the_end(tmp_path: Path) -> None:
    report = of_text(
        "g (float[100] x) => (float[100] a, float[100] b, float[100] c) { a = Neg (x) b = Exp (a) c = Sqrt (x) }",
        tmp_path,
    )
    assert report.peak_bytes == 1200


def test_nodes_run_in_onnxruntimes_order(tmp_path: Path) -> None:
    """Depth first from the last output: the branch that comes last in the file runs first."""
    path = tmp_path / "order.onnx"
    model = model_of(
        "g (float[4] x) => (float[4] y) { a = Neg (x) b = Exp (x) c = Sqrt (b) d = Abs (a) y = Add (d, c) }"
    )
    path.write_bytes(model.SerializeToString())
    ours = [node.op_type for node in execution_order(ModelGraphs(open_model(str(path))).top)]
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = os.fspath(tmp_path / "profile")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.ones(4, np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text())
    ran = [event["args"]["op_name"] for event in events if event.get("cat") == "Node" and in_use(event)]
    assert ours == ran


def test_functions_that_double_each_other_take_no_time(tmp_path: Path) -> None:
    levels = "\n".join(
        f'<domain: "local", opset_import: ["" : 20, "local" : 1]> f{n} (a) => (c) {{ b = local.f{n - 1} (a) '
        f"c = local.f{n - 1} (b) }}"
        for n in range(1, 31)
    )
    base = '<domain: "local", opset_import: ["" : 20]> f0 (a) => (c) { c = Neg (a) }'
    report = of_text(f"g (float[3] x) => (float[3] y) {{ y = local.f30 (x) }}\n{base}\n{levels}", tmp_path)
    assert report.peak_bytes == pytest.approx(24, abs=400)
