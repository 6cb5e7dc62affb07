"""In which types models store and compute: shares, quantization, casts, islands, and what float16 would do."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser

from onnxctl.analysis.precision import look_at_precision
from onnxctl.analysis.precision.half import FIRST_INFINITE, FIRST_NORMAL, LAST_ZERO
from onnxctl.model.arrays import Array
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import Model, open_model
from onnxctl.model.propagation import propagate
from onnxctl.reports import PrecisionReport
from tests.analysis.test_summary import opened
from tests.conftest import SAMPLES

HEADER = '<ir_version: 10, opset_import: ["": 21, "com.microsoft": 1]>'


def precision_of(model: Model) -> PrecisionReport:
    graphs = ModelGraphs(model)
    return look_at_precision(graphs, propagate(graphs, smallest_dimension=1), lambda news: None)


def of_text(folder: Path, text: str) -> PrecisionReport:
    return precision_of(opened(folder, f"{HEADER} {text}"))


# ---------------------------------------------------------------- weights and arithmetic


def test_bits_per_weight_are_weighted_by_parameters(tmp_path: Path) -> None:
    arrays: dict[str, Array] = {"a": np.zeros(100, np.float32), "b": np.zeros(300, np.int8)}
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    tensors.append(TensorProto(name="c", data_type=TensorProto.INT4, dims=[600], raw_data=bytes(300)))
    outputs = [helper.make_empty_tensor_value_info(name) for name in "abc"]
    report = precision_of(opened(tmp_path, helper.make_model(helper.make_graph([], "g", [], outputs, tensors))))
    assert report.bits_per_weight == pytest.approx((100 * 32 + 300 * 8 + 600 * 4) / 1000)
    assert {each.dtype: each.element_share for each in report.weights} == {"float32": 0.1, "int8": 0.3, "int4": 0.6}
    assert {each.dtype: each.byte_count for each in report.weights} == {"float32": 400, "int8": 300, "int4": 300}


def test_a_model_without_weights_has_no_bits(tmp_path: Path) -> None:
    report = of_text(tmp_path, "g (float[1] x) => (float[1] y) { y = Relu(x) }")
    assert report.bits_per_weight is None and report.half is None and report.weights == () and report.macs == ()


def macs(report: PrecisionReport) -> dict[tuple[str, str], float]:
    return {(each.type, each.scheme): each.share for each in report.macs}


def test_macs_are_shared_out_by_type(tmp_path: Path) -> None:
    text = """g (float[2,8] x, float16[2,8] z) => (float[2,3] y, float16[2,1] v)
        <float[8,3] w = {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}, float16[8,1] u = {0,0,0,0,0,0,0,0}> {
        y = MatMul(x, w) v = MatMul(z, u) }"""
    assert macs(of_text(tmp_path, text)) == {("float32", "none"): 0.75, ("float16", "none"): 0.25}


def test_symbols_are_taken_for_a_size_that_is_told(tmp_path: Path) -> None:
    text = "g (float[n,8] x, float[8,8] w) => (float[n,8] y) { y = MatMul(x, w) }"
    report = of_text(tmp_path, text)
    assert report.assumed == (("n", 64),)
    assert macs(report) == {("float32", "none"): 1.0}


QUANTIZED = {
    "QDQ": (
        """g (float[1,4] x) => (float[1,2] y) <float s = {0.1}, int8 z = {0}, int8[4,2] w = {1,2,3,4,5,6,7,8}> {
        q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) b = DequantizeLinear(w, s, z) y = MatMul(a, b) }""",
        ("int8", "QDQ"),
    ),
    "weights behind a Transpose": (
        """g (float[1,4] x) => (float[1,2] y) <float s = {0.1}, int8 z = {0}, int8[2,4] w = {1,2,3,4,5,6,7,8}> {
        d = DequantizeLinear(w, s, z) t = Transpose<perm: ints = [1, 0]>(d) y = MatMul(x, t) }""",
        ("float32, int8 weights", "weights"),
    ),
    "QOperator": (
        """g (uint8[1,4] x) => (uint8[1,2] y) <float s = {0.1}, uint8 z = {0}, uint8[4,2] w = {1,2,3,4,5,6,7,8}> {
        y = QLinearMatMul(x, s, z, w, s, z, s, z) }""",
        ("uint8", "QOperator"),
    ),
    "integers": (
        """g (uint8[1,4] x) => (int32[1,2] y) <uint8[4,2] w = {1,2,3,4,5,6,7,8}> { y = MatMulInteger(x, w) }""",
        ("uint8", "QOperator"),
    ),
    "two types": (
        """g (uint16[1,4] x) => (float[1,2] y) <float s = {0.1}, uint16 z = {0}, int8 v = {0},
        int8[4,2] w = {1,2,3,4,5,6,7,8}> {
        a = DequantizeLinear(x, s, z) b = DequantizeLinear(w, s, v) y = MatMul(a, b) }""",
        ("uint16 x int8", "QDQ"),
    ),
    "16 bits": (
        """g (float[1,4] x) => (float[1,2] y) <float s = {0.1}, int16 z = {0}, int16[4,2] w = {1,2,3,4,5,6,7,8}> {
        q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) b = DequantizeLinear(w, s, z) y = MatMul(a, b) }""",
        ("int16", "QDQ"),
    ),
    "4 bits": (
        """g (float[1,32] x) => (float[1,1] y) <uint8[1,1,16] w = {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}, float[1] s = {1}> {
        y = com.microsoft.MatMulNBits<K: int = 32, N: int = 1, bits: int = 4, block_size: int = 32>(x, w, s) }""",
        ("float32, 4-bit weights", "weights"),
    ),
}


@pytest.mark.parametrize("what", QUANTIZED)
def test_each_way_to_quantize_is_recognised(tmp_path: Path, what: str) -> None:
    text, expected = QUANTIZED[what]
    report = of_text(tmp_path, text)
    assert macs(report) == {expected: 1.0}
    assert report.quantized_element_share > 0.6


def test_a_quantized_sample_is_quantized() -> None:
    report = precision_of(open_model(str(SAMPLES / "int8_qdq.onnx")))
    assert macs(report) == {("int8", "QDQ"): 1.0}
    assert report.quantized_element_share > 0.95
    scales = {
        name
        for node in onnx.load(SAMPLES / "int8_qdq.onnx").graph.node
        for name in node.input[1:3]
        if "uantize" in node.op_type
    }
    arrays = {each.name: numpy_helper.to_array(each) for each in onnx.load(SAMPLES / "int8_qdq.onnx").graph.initializer}
    weights = sum(array.size for name, array in arrays.items() if name not in scales)
    assert report.bits_per_weight == pytest.approx(8 * sum(each.nbytes for each in arrays.values()) / weights)
    assert report.float_operators == (), "a Relu between a convolution and its quantizer is not in float32"


def test_scales_and_zero_points_are_told_apart_from_weights() -> None:
    report = precision_of(open_model(str(SAMPLES / "int8_qdq.onnx")))
    stored = {(each.role, each.dtype): each.element_count for each in report.weights}
    model = onnx.load(SAMPLES / "int8_qdq.onnx")
    named = [name for node in model.graph.node if "uantize" in node.op_type for name in node.input[1:]]
    for dtype, number in {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8}.items():
        scales = [each for each in model.graph.initializer if each.name in named and each.data_type == number]
        assert stored["scale", dtype] == sum(numpy_helper.to_array(each).size for each in scales)
    assert report.quantized_element_share == 1.0, "biases are quantized too, in 32 bits"


def test_tables_and_experts_are_unpacked(tmp_path: Path) -> None:
    text = """g (int64[3] i) => (float[3, 32] y) <uint8[10, 16] t = {%s}, float[10, 2] s = {%s}> {
        y = com.microsoft.GatherBlockQuantized<bits: int = 4, block_size: int = 16>(t, i, s) }"""
    report = of_text(tmp_path, text % (", ".join(["17"] * 160), ", ".join(["1"] * 20)))
    table, scales = report.weights
    assert (table.packed_bits, table.element_count, table.byte_count) == (4, 320, 160)
    assert (scales.role, scales.element_count) == ("scale", 20)
    text = """g (float[1, 4] x, float[1, 2] r) => (float[1, 4] y)
        <uint8[2, 8, 2] a = {%s}, float[2, 8] b = {%s}, uint8[2, 4, 8] c = {%s}, float[2, 4] d = {%s}> {
        y = com.microsoft.QMoE<expert_weight_bits: int = 4, fc2_expert_weight_bits: int = 8>(x, r, a, b, , c, d) }"""
    report = of_text(tmp_path, text % tuple(", ".join(["1"] * count) for count in (32, 16, 64, 8)))
    assert {(each.role, each.packed_bits): each.element_count for each in report.weights} == {
        ("weight", 4): 64,
        ("weight", 8): 64,
        ("scale", 0): 24,
    }
    assert report.quantized_element_share == 1.0


def test_a_row_that_does_not_fill_its_last_block_has_no_more_weights(tmp_path: Path) -> None:
    text = """g (float[1, 40] x) => (float[1, 1] y) <uint8[1, 2, 16] w = {%s}, float[2] s = {1, 1}> {
        y = com.microsoft.MatMulNBits<K: int = 40, N: int = 1, bits: int = 4, block_size: int = 32>(x, w, s) }"""
    assert of_text(tmp_path, text % ", ".join(["1"] * 32)).weights[0].element_count == 40


def test_what_a_quantized_model_computes_in_float_is_named(tmp_path: Path) -> None:
    text = """g (uint8[1,4] x, float[4,4] v) => (float[1,4] y)
        <float s = {0.1}, uint8 z = {0}, uint8[4,4] w = {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}> {
        i = MatMulInteger(x, w) c = Cast<to: int = 1>(i) f = Mul(c, s)
        [soft] a = Softmax(f) [late] y = MatMul(a, v) }"""
    found = of_text(tmp_path, text).float_operators
    assert [(each.op_type, each.dtype, each.mac_share, each.where) for each in found] == [
        ("MatMul", "float32", 0.5, "late"),
        ("Softmax", "float32", 0.0, "soft"),
    ], "the Mul that turns the integers back into numbers is part of the quantized product"
    assert of_text(tmp_path, "g (float[1] x) => (float[1] y) { y = Relu(x) }").float_operators == ()


# ---------------------------------------------------------------- types that mix


def test_casts_back_and_forth_are_chains(tmp_path: Path) -> None:
    text = """g (float[2,3] x) => (float[3,2] y, float[2,3] z, float[2,3] v) {
        a = Cast<to: int = 10>(x) b = Transpose(a) [back] y = Cast<to: int = 1>(b)
        c = Cast<to: int = 10>(x) d = Relu(c) z = Cast<to: int = 1>(d)
        e = Cast<to: int = 10>(x) f = Cast<to: int = 11>(e) v = Cast<to: int = 1>(f) }"""
    report = of_text(tmp_path, text)
    assert report.cast_count == 7
    assert [(each.types, each.where) for each in report.cast_chains] == [(("float32", "float16", "float32"), "back")]


def test_float32_in_a_model_of_half_precision_is_an_island(tmp_path: Path) -> None:
    text = """g (float16[4] x) => (float16[4] y, float16[4] z) {
        a = Relu(x) b = Neg(a) c = Abs(b) d = Tanh(c) h = Sin(d)
        e = Cast<to: int = 1>(d) [exp] f = Exp(e) g = Log(f) y = Cast<to: int = 10>(g)
        k = Cast<to: int = 1>(h) [alone] l = Cos(k) z = Cast<to: int = 10>(l) }"""
    report = of_text(tmp_path, text)
    assert report.half_type == "float16"
    assert [(each.node_count, set(each.operators), each.where) for each in report.islands] == [
        (2, {"Exp", "Log"}, "exp"),
        (1, {"Cos"}, "alone"),
    ]


def test_islands_that_are_alike_are_one(tmp_path: Path) -> None:
    pieces = " ".join(
        f"b{i} = Cast<to: int = 1>(a{i}) c{i} = Exp(b{i}) d{i} = Cast<to: int = 10>(c{i}) e{i} = Neg(d{i}) "
        f"a{i + 1} = Abs(e{i})"
        for i in range(3)
    )
    report = of_text(tmp_path, f"g (float16[4] a0) => (float16[4] a3) {{ {pieces} }}")
    assert report.island_count == 3
    assert [(each.alike_count, each.operators) for each in report.islands] == [(3, ("Exp",))]


def test_a_float32_model_has_no_islands() -> None:
    report = precision_of(open_model(str(SAMPLES / "transformer_block.onnx")))
    assert report.half_type == "" and report.islands == ()


# ---------------------------------------------------------------- float16


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_the_limits_are_those_of_a_conversion(numbers: list[float]) -> None:
    edges = [FIRST_INFINITE, LAST_ZERO, FIRST_NORMAL, 2.0**-14, 65504.0, 2.0**-24, 3 * 2.0**-26]
    values = np.abs(np.array(numbers + edges, np.float32))
    values = np.concatenate([values, np.nextafter(values, np.float32(0)), np.nextafter(values, np.float32(1e30))])
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    assert np.array_equal(np.isinf(half), values >= FIRST_INFINITE)
    assert np.array_equal((half == 0) & (values != 0), (values > 0) & (values <= LAST_ZERO))
    is_denormal = (half != 0) & (half < np.float16(2.0**-14))
    assert np.array_equal(is_denormal, (values > LAST_ZERO) & (values < FIRST_NORMAL))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16])
def test_troubles_are_counted_for_each_tensor(tmp_path: Path, dtype: type) -> None:
    bad: Array = np.array([1e5, -1e5, 1e-9, -1e-9, 1e-9, 1e-5, 0, 1, np.inf, np.nan], dtype)
    tensors = [numpy_helper.from_array(np.ones(5, dtype), "good"), numpy_helper.from_array(bad, "bad")]
    outputs = [helper.make_empty_tensor_value_info(each.name) for each in tensors]
    half = precision_of(opened(tmp_path, helper.make_model(helper.make_graph([], "g", [], outputs, tensors)))).half
    assert half is not None
    assert (half.tensor_count, half.element_count, half.unread_count) == (2, 15, 0)
    assert [each.name for each in half.worst] == ["bad"]
    worst = half.worst[0]
    assert (worst.overflow_count, worst.zero_count, worst.denormal_count) == (2, 3, 1)
    assert worst.largest == pytest.approx(1e5, rel=0.01)


def test_weights_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    model = onnx.load(SAMPLES / "digits_cnn.onnx")
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="data.bin", size_threshold=0)
    (tmp_path / "data.bin").unlink()
    half = precision_of(open_model(str(tmp_path / "m.onnx"))).half
    assert half is not None and half.unread_count > 0 and half.tensor_count + half.unread_count == 13


def test_real_models_share_out_all_their_macs() -> None:
    for path in sorted(SAMPLES.glob("*.onnx")):
        report = precision_of(open_model(str(path)))
        assert not report.macs or sum(each.share for each in report.macs) == pytest.approx(1)
        assert not report.weights or sum(each.byte_share for each in report.weights) == pytest.approx(1)


def test_parsing_of_texts_used_here_is_that_of_onnx() -> None:
    """The quantized texts are valid models, so that a typing error can't pass for a scheme."""
    for what, (text, _) in QUANTIZED.items():
        if what != "4 bits":
            onnx.checker.check_model(parser.parse_model(f"{HEADER} {text}"), full_check=True)


def test_weights_packed_into_bytes_are_counted_one_by_one(tmp_path: Path) -> None:
    text = """g (float[1, 64] x) => (float[1, 2] y) <uint8[2, 2, 16] w = {%s}, float[4] s = {1, 1, 1, 1}> {
        y = com.microsoft.MatMulNBits<K: int = 64, N: int = 2, bits: int = 4, block_size: int = 32>(x, w, s) }"""
    report = of_text(tmp_path, text % ", ".join(["17"] * 64))
    assert report.bits_per_weight == pytest.approx(8 * (64 + 16) / 128)
    assert report.quantized_element_share == 1.0
