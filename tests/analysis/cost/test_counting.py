"""Whole models: what runs how often, what is left out and said, what is added up."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from onnxctl.analysis.cost.counting import count_cost
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.model.propagation import propagate
from tests.analysis.cost.counted import cost_of, model_of
from tests.conftest import SAMPLES, sample_paths


def test_a_loop_costs_its_trips(tmp_path: Path) -> None:
    model = model_of(
        """g (float[4, 4] x) => (float[4, 4] y) {
            trips = Constant <value_int = 7> ()
            y = Loop <body = body (int64 i, bool go, float[4, 4] a) => (bool again, float[4, 4] b) {
                again = Identity (go)
                b = MatMul (a, x)
            }> (trips, , x)
        }"""
    )
    cost = cost_of(model, tmp_path)
    assert cost.macs.value == 7 * 4 * 4 * 4
    body = next(node for node in cost.nodes or () if node.op_type == "MatMul")
    assert body.macs is not None and body.macs.value == 7 * 64
    assert body.scope == "Loop(y)"


def test_a_loop_of_unknown_trips_is_no_number(tmp_path: Path) -> None:
    model = model_of(
        """g (float[4, 4] x, int64 trips) => (float[4, 4] y) {
            y = Loop <body = body (int64 i, bool go, float[4, 4] a) => (bool again, float[4, 4] b) {
                again = Identity (go)
                b = MatMul (a, x)
            }> (trips, , x)
        }"""
    )
    macs = cost_of(model, tmp_path).macs
    assert macs.value is None
    assert [coefficient for coefficient, _ in macs.terms] == [64]


def test_a_scan_runs_once_for_each_slice(tmp_path: Path) -> None:
    model = model_of(
        """g (float[4] start, float[steps, 4] xs) => (float[4] last, float[steps, 4] all) {
            last, all = Scan <num_scan_inputs = 1, body = body (float[4] a, float[4] x) => (float[4] b, float[4] c) {
                b = Add (a, x)
                c = Identity (b)
            }> (start, xs)
        }"""
    )
    assert cost_of(model, tmp_path).flops.terms == ((4, "steps"),)
    assert cost_of(model, tmp_path, steps=10).flops.value == 40


def test_an_if_costs_its_dearer_branch(tmp_path: Path) -> None:
    model = model_of(
        """g (bool c, float[n, 4] x, float[4, 4] w) => (float[n, 4] y) {
            y = If (c) <
                then_branch = cheap () => (float[n, 4] a) { a = Relu (x) },
                else_branch = dear () => (float[n, 4] b) { b = MatMul (x, w) }
            >
        }"""
    )
    cost = cost_of(model, tmp_path)
    assert cost.macs.terms == ((16, "n"),)
    assert [node.op_type for node in cost.nodes or ()] == ["MatMul"]


def test_a_function_costs_as_often_as_it_is_called(tmp_path: Path) -> None:
    model = model_of(
        """g (float[4, 4] x) => (float[4, 4] z) {
            y = local.twice (x)
            z = local.twice (y)
        }
        <domain: "local", opset_import: ["" : 20]>
        twice (a) => (c) {
            b = MatMul (a, a)
            c = MatMul (b, a)
        }"""
    )
    cost = cost_of(model, tmp_path)
    assert cost.macs.value == 4 * 64
    assert cost.uncounted == ()


def test_functions_that_double_each_other_are_counted_at_once(tmp_path: Path) -> None:
    levels = "\n".join(
        f'<domain: "local", opset_import: ["" : 20, "local" : 1]> f{n} (a) => (c) {{ b = local.f{n - 1} (a) '
        f"c = local.f{n - 1} (b) }}"
        for n in range(1, 31)
    )
    base = '<domain: "local", opset_import: ["" : 20]> f0 (a) => (c) { c = Relu (a) }'
    model = model_of(f"g (float[3] x) => (float[3] y) {{ y = local.f30 (x) }}\n{base}\n{levels}")
    assert cost_of(model, tmp_path).flops.value == 3 * 2**30


def test_what_cannot_be_counted_is_named(tmp_path: Path) -> None:
    model = model_of(
        """g (float[8] x, int64[1] k) => (float[?] v, int64[?] i, float[8] z) {
            v, i = TopK (x, k)
            z = local.Unheard (x)
        }"""
    )
    uncounted = {each.op_type: (each.domain, each.count, each.reason) for each in cost_of(model, tmp_path).uncounted}
    assert uncounted == {
        "TopK": ("ai.onnx", 1, "its work depends on the data"),
        "Unheard": ("local", 1, "no formula"),
    }


def test_contradictions_are_told(tmp_path: Path) -> None:
    model = model_of("g (float[a, 4] x, float[b, 4] y) => (float[?, 4] z) { z = Add (x, y) }")
    assert cost_of(model, tmp_path).contradictions == ()
    assert len(cost_of(model, tmp_path, a=3, b=5).contradictions) == 1


def test_bytes_are_those_of_the_tensors_but_views_move_nothing(tmp_path: Path) -> None:
    model = model_of(
        """g (float[10, 4] x, int64[2] at) => (float[4, 2] z) {
            a = Gather (x, at)
            s = Constant <value_ints = [4, 2]> ()
            z = Reshape (a, s)
        }"""
    )
    cost = cost_of(model, tmp_path)
    assert cost.read_bytes.value == 2 * 4 * 4 + 2 * 8  # the rows picked and their numbers, not all of x
    assert cost.written_bytes.value == 2 * 4 * 4


def test_elements_of_less_than_a_byte_are_packed(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.INT4, [3, 5])
    graph = helper.make_graph(
        [helper.make_node("Transpose", ["x"], ["y"])], "g", [x], [helper.make_empty_tensor_value_info("y")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    assert cost_of(model, tmp_path).read_bytes.value == 8


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.name)
def test_the_parts_add_up(path: Path) -> None:
    cost = count_cost(propagate(ModelGraphs(open_model(str(path))), smallest_dimension=1), {}, nodes=True)
    assert cost.nodes is not None
    assert len(cost.nodes) == cost.node_count == sum(each.count for each in cost.operators)
    for part in ("macs", "flops", "read_bytes", "written_bytes"):
        for rows in (cost.nodes, cost.operators):
            total: dict[str, int] = {}
            for row in rows:
                amount = getattr(row, part)
                for coefficient, factors in () if amount is None else amount.terms or ((amount.value, ""),):
                    total[factors] = total.get(factors, 0) + coefficient
            whole = getattr(cost, part)
            terms = whole.terms or ((whole.value, ""),)
            assert {factors: count for factors, count in total.items() if count} == {f: c for c, f in terms if c}


def test_weights_are_counted_once_for_each_operator() -> None:
    path = SAMPLES / "digits_cnn.onnx"
    cost = count_cost(propagate(ModelGraphs(open_model(str(path))), smallest_dimension=1), {})
    conv = next(each for each in cost.operators if each.op_type == "Conv")
    expected = sum(
        int(onnx.numpy_helper.to_array(each).size)
        for each in onnx.load(path).graph.initializer
        if each.name.startswith("conv")
    )
    assert conv.parameter_count == expected
    assert cost.nodes is None


@pytest.mark.parametrize(
    ("operator", "attributes", "shape", "additions"),
    [
        ("QLinearAveragePool", "kernel_shape = [2, 2], strides = [2, 2]", "1, 3, 4, 4", 2 * 2 * 12),
        ("QLinearReduceMean", "axes = [2, 3]", "1, 3, 8, 8", 192),
    ],
)
def test_quantized_means_add_their_elements_and_scale_each_result(
    operator: str, attributes: str, shape: str, additions: int, tmp_path: Path
) -> None:
    model = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 20, "com.microsoft" : 1]>
        g (uint8[{shape}] x) => (y) <float scale = {{0.5}}, uint8 zero = {{0}}> {{
            y = com.microsoft.{operator} <{attributes}> (x, scale, zero, scale, zero)
        }}"""
    )
    results = 12 if operator == "QLinearAveragePool" else 3
    cost = cost_of(model, tmp_path)
    assert not cost.uncounted
    assert cost.flops.value == additions + 4 * results
