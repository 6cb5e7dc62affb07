"""Costs of com.microsoft's operators, worked out by hand, and by loops whose results are onnxruntime's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from tests.analysis.cost import naive
from tests.analysis.cost.counted import cost_of, model_of, one_operator
from tests.analysis.cost.naive import Array, Tally

SCALAR: tuple[int, ...] = ()


@dataclass(frozen=True)
class Case:
    """An operator on inputs of these shapes, and its multiply-accumulates and other operations."""

    op_type: str
    shapes: list[tuple[int, ...] | None]
    macs: int
    others: int
    attributes: dict[str, Any] = field(default_factory=dict)


BLOCKS = {"K": 32, "N": 16, "block_size": 32}
KERNEL = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
SCORES = 2 * 2 * 5  # of each key: 2 images, 2 heads, 5 queries

CASES = [
    # a weight is scaled, and shifted where its zero point is not 0
    Case("MatMulNBits", [(6, 32), (16, 1, 16), (16,)], 6 * 32 * 16, 2 * 32 * 16, {**BLOCKS, "bits": 4}),
    Case(
        "MatMulNBits",
        [(6, 32), (16, 1, 16), (16,), None, None, (16,)],
        6 * 32 * 16,
        2 * 32 * 16 + 6 * 16,
        {**BLOCKS, "bits": 4},
    ),
    Case("MatMulBnb4", [(2, 3, 32), (256,), (16,)], 6 * 32 * 16, 32 * 16, {**BLOCKS, "quant_type": 1}),
    Case(
        "MatMulNBitsMlp",
        [(6, 32), None, (32,), (16, 1, 16), (16,), (16,), (16, 1, 16), (16,), None],
        2 * 6 * 32 * 16,
        2 * 2 * 32 * 16 + 4 * 6 * 32 + 6 * 16 * (1 + 5 + 1),  # weights, norm, bias, SiLU and product
        {**BLOCKS, "activation": "silu"},
    ),
    Case(
        "MatMulNBitsQkv",
        [(6, 32), (6, 32), (32,), (16, 1, 16), (16,), None, (8, 1, 16), (8,), None, (8, 1, 16), (8,), (8,)],
        6 * 32 * (16 + 8 + 8),
        2 * 32 * 32 + 5 * 6 * 32 + 6 * 8,
        {"K": 32, "Nq": 16, "Nkv": 8},
    ),
    # A is [K, batch, M]
    Case("FusedMatMul", [(4, 2, 3), (2, 4, 5)], 2 * 3 * 5 * 4, 0, {"transBatchA": 1, "transA": 1}),
    Case("FusedMatMul", [(3, 4), (4, 5)], 60, 15, {"alpha": 0.5}),
    Case("FusedMatMulActivation", [(3, 4), (4, 5)], 60, 4 * 15, {"activation": "Sigmoid"}),
    Case("FusedGemm", [(3, 4), (4, 5), (5,)], 60, 2 * 15, {"activation": "Relu"}),
    Case("GemmFastGelu", [(3, 4), (4, 5), (5,)], 60, 10 * 15),
    Case("MatMulIntegerToFloat", [(3, 4), (4, 5), SCALAR, SCALAR, None, None, (5,)], 60, 2 * 15),
    Case("DynamicQuantizeMatMul", [(3, 4), (4, 5), SCALAR], 60, 15 + 6 * 12),
    # convolutions on [batch, height, width, channels]
    Case("NhwcConv", [(1, 5, 6, 2), (3, 2, 3, 3), (3,)], 90 * 18, 90, KERNEL),
    Case(
        "NhwcFusedConv",
        [(1, 5, 6, 2), (3, 2, 3, 3), (3,), (1, 5, 6, 3)],
        90 * 18,
        3 * 90,  # bias, sum, Relu
        {**KERNEL, "activation": "Relu"},
    ),
    Case(
        "QLinearConv",
        [(1, 5, 6, 2), SCALAR, SCALAR, (3, 2, 3, 3), SCALAR, SCALAR, SCALAR, SCALAR, (3,)],
        90 * 18,
        5 * 90,
        {**KERNEL, "channels_last": 1},
    ),
    Case("NhwcMaxPool", [(1, 6, 6, 2)], 0, 4 * 18, {"kernel_shape": [2, 2], "strides": [2, 2]}),
    # 7 steps of 2 rows: four gates of 4 units over 3 inputs and 4 states
    Case(
        "DynamicQuantizeLSTM",
        [(7, 2, 3), (1, 3, 16), (1, 4, 16)],
        14 * 16 * (3 + 4),
        14 * (26 * 4 + 2 * 16 + 6 * (3 + 4)),
        {"hidden_size": 4},
    ),
    # normalization
    Case("GroupNorm", [(1, 4, 4, 8), (8,), (8,)], 0, (7 + 5) * 128, {"groups": 2, "activation": 1}),
    Case("SkipGroupNorm", [(1, 4, 4, 8), (8,), (8,), (1, 8), (8,)], 0, (7 + 2) * 128, {"groups": 2, "activation": 0}),
    Case("SkipLayerNormalization", [(2, 3, 4), (2, 3, 4), (4,), (4,), (4,)], 0, (7 + 2) * 24),
    Case("SkipSimplifiedLayerNormalization", [(2, 3, 4), (2, 3, 4), (4,), (4,)], 0, (4 + 2) * 24),
    Case("EmbedLayerNormalization", [(2, 3), None, (9, 4), (5, 4), None, (4,), (4,)], 0, (7 + 1) * 24),
    Case(
        "QEmbedLayerNormalization",
        [(2, 3), (2, 3), (9, 4), (5, 4), (2, 4), (4,), (4,), None, *[SCALAR] * 10],
        0,
        (3 * 2 + 2 + 7) * 24,
    ),
    Case("BiasSoftmax", [(2, 3, 5), (2, 3, 5)], 0, 6 * 30, {"axis": 2, "is_inner_broadcast": 0}),
    # element by element
    Case("BiasAdd", [(2, 3, 8), (8,), (2, 3, 8)], 0, 2 * 48),
    Case("BiasSplitGelu", [(2, 3, 8), (8,)], 0, (2 + 5 + 1) * 24),
    Case("BiasDropout", [(2, 3, 8), (8,), (2, 3, 8)], 0, 2 * 48),
    Case("QLinearWhere", [(2, 3), (2, 3), SCALAR, SCALAR, (2, 3), *[SCALAR] * 4], 0, 9 * 6),
    Case("QLinearAdd", [(2, 3), SCALAR, SCALAR, (2, 3), *[SCALAR] * 4], 0, 9 * 6),
    Case("CDist", [(3, 4), (5, 4)], 60, 60 + 15, {"metric": "euclidean"}),
    Case("TorchEmbedding", [(9, 4), (3,)], 0, 0),
    # attention: 8 keys with those of the past
    Case(
        "QAttention",
        [(2, 5, 8), (8, 24), (24,), SCALAR, SCALAR, None, SCALAR, SCALAR, (2, 2, 2, 3, 4)],
        2 * 5 * 24 * 8 + SCORES * 8 * (4 + 4),
        2 * 2 * 5 * 24 + SCORES * 8 * 6,
        {"num_heads": 2},
    ),
    Case(
        "Attention",
        [(2, 5, 8), (8, 20), (20,)],
        2 * 5 * 20 * 8 + SCORES * 5 * (4 + 2),
        2 * 5 * 20 + SCORES * 5 * 6,
        {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]},
    ),
    Case("MultiHeadAttention", [(2, 5, 2, 3, 4)], SCORES * 5 * 8, SCORES * 5 * 6, {"num_heads": 2}),
    Case(
        "MultiHeadAttention",
        [(2, 5, 8), (2, 5, 8), (2, 5, 8), (24,), None, None, (2, 2, 3, 4), (2, 2, 3, 4)],
        SCORES * 8 * 8,
        SCORES * 8 * 6 + 2 * 5 * 24,
        {"num_heads": 2},
    ),
    Case(
        "DecoderMaskedMultiHeadAttention",
        [(2, 1, 8), (2, 1, 8), (2, 1, 8), None, None, (2, 2, 3, 4), (2, 2, 3, 4)],
        2 * 2 * 4 * 8,
        2 * 2 * 4 * 6,
        {"num_heads": 2},
    ),
    # 7 tokens of two sequences that were padded to 5
    Case(
        "PackedAttention",
        [(7, 8), (8, 24), (24,), (2, 5), (3,)],
        7 * 24 * 8 + SCORES * 5 * 8,
        7 * 24 + SCORES * 5 * 6,
        {"num_heads": 2},
    ),
    Case(
        "PackedMultiHeadAttention",
        [(7, 8), (7, 8), (7, 8), (24,), (2, 5), (3,)],
        SCORES * 5 * 8,
        7 * 24 + SCORES * 5 * 6,
        {"num_heads": 2},
    ),
    # 5 tokens to 2 of 3 experts: 8 wide, 4 hidden units and their gates, two weights in a byte
    Case(
        "QMoE",
        [(5, 8), (5, 3), (3, 8, 4), (3, 8), None, (3, 8, 2), (3, 8)],
        10 * (8 * 8 + 8 * 4 + 8),
        5 * 5 * 3 + 10 * 8 * 4,
        {"k": 2, "activation_type": "swiglu", "swiglu_fusion": 1},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op_type)
def test_costs_what_its_parts_do(case: Case, tmp_path: Path) -> None:
    cost = cost_of(one_operator(case.op_type, case.shapes, domain="com.microsoft", **case.attributes), tmp_path)
    assert not cost.uncounted
    assert cost.macs.value == case.macs
    assert cost.flops.value == 2 * case.macs + case.others


def test_packed_weights_of_a_shape_given_as_an_input(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 20, "com.microsoft" : 1]>
        g (float[3, 32] x, uint8[320] w) => (y) <int64[2] shape = {32, 16}> {
            y = com.microsoft.MatMulFpQ4 <blk_quant_type = 1> (x, w, shape)
        }"""
    )
    cost = cost_of(model, tmp_path)
    assert (cost.macs.value, cost.flops.value) == (3 * 32 * 16, 2 * 3 * 32 * 16 + 2 * 32 * 16)


def test_what_depends_on_the_data_is_told_apart(tmp_path: Path) -> None:
    for op_type, reason in (("PagedAttention", "its work depends on the data"), ("Snpe", "no formula")):
        model = one_operator(op_type, [(2, 3)], domain="com.microsoft")
        assert [each.reason for each in cost_of(model, tmp_path).uncounted] == [reason]


def test_an_activation_nobody_knows_is_not_counted_as_none(tmp_path: Path) -> None:
    model = one_operator("FusedGemm", [(3, 4), (4, 5)], domain="com.microsoft", activation="Surprise")
    assert [each.reason for each in cost_of(model, tmp_path).uncounted] == [
        "its shapes or attributes do not fit the operator"
    ]


# ---------------------------------------------------------------- against onnxruntime


def run(model: ModelProto, inputs: list[Array | None]) -> Array:
    import onnxruntime

    model.opset_import[0].version = 1
    model.opset_import.append(onnx.helper.make_opsetid("", 20))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {f"x{index}": value for index, value in enumerate(inputs) if value is not None}
    result: Array = session.run(["y"], given)[0]
    return result


def values(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("past", [0, 3])
def test_projection_and_attention(past: int, tmp_path: Path) -> None:
    batch, sequence, heads, width, depth = 2, 4, 2, 3, 5
    hidden = heads * width
    data, weight, bias = values(batch, sequence, depth), values(depth, 3 * hidden), values(3 * hidden)
    cache = values(2, batch, heads, past, width)
    tally = Tally()
    projected = np.zeros((batch, sequence, 3 * hidden))
    for image, row, column in naive.indices(*projected.shape):
        projected[image, row, column] = tally.add(tally.dot(data[image, row], weight[:, column]), bias[column])
    query, key, value = (
        projected[:, :, part * hidden : (part + 1) * hidden].reshape(batch, sequence, heads, width).swapaxes(1, 2)
        for part in range(3)
    )
    mixed = naive.attention(
        tally, query, np.concatenate([cache[0], key], axis=2), np.concatenate([cache[1], value], axis=2)
    )
    inputs: list[Array | None] = [data, weight, bias, *([None, cache] if past else [])]
    shapes = [None if each is None else each.shape for each in inputs]
    model = one_operator("Attention", shapes, domain="com.microsoft", num_heads=heads)
    model.graph.node[0].output.append("present")
    cost = cost_of(model, tmp_path)
    np.testing.assert_allclose(
        run(model, inputs), mixed.swapaxes(1, 2).reshape(batch, sequence, hidden), rtol=1e-4, atol=1e-5
    )
    assert (cost.macs.value, cost.flops.value) == (tally.macs, 2 * tally.macs + tally.others)


def test_experts(tmp_path: Path) -> None:
    tokens, experts, hidden, inner, k = 3, 4, 5, 6, 2
    data, router = values(tokens, hidden), values(tokens, experts)
    first, second = values(experts, inner, hidden), values(experts, hidden, inner)
    bias = values(experts, inner)
    tally = Tally()
    result = np.zeros((tokens, hidden))
    for token in range(tokens):
        most = -np.inf
        for logit in router[token]:
            most = tally.larger(most, logit)
        powers = [tally.exp(tally.add(logit, -most)) for logit in router[token]]
        total = 0.0
        for power in powers:
            total = tally.add(total, power)
        shares = [tally.divide(power, total) for power in powers]
        for expert in np.argsort(shares)[-k:]:
            units = [
                tally.larger(0, tally.add(tally.dot(data[token], first[expert, unit]), bias[expert, unit]))
                for unit in range(inner)
            ]
            for column in range(hidden):
                mixed = tally.dot(units, second[expert, column])
                result[token, column] = tally.mac(result[token, column], shares[expert], mixed)
    inputs: list[Array | None] = [data, router, first, bias, second]
    shapes = [None if each is None else each.shape for each in inputs]
    model = one_operator("MoE", shapes, domain="com.microsoft", k=k, activation_type="relu")
    cost = cost_of(model, tmp_path)
    np.testing.assert_allclose(run(model, inputs), result, rtol=1e-4, atol=1e-5)
    assert (cost.macs.value, cost.flops.value) == (tally.macs, 2 * tally.macs + tally.others)


# ---------------------------------------------------------------- bodies of sequences


def test_a_body_runs_once_for_each_element_of_a_sequence(tmp_path: Path) -> None:
    model = model_of(
        """g (float[n, 12] x) => (float[n, 12] y) {
            size = Constant <value_int = 4> ()
            parts = SplitToSequence <axis = 1> (x, size)
            changed = SequenceMap <body = each (float[n, 4] a) => (float[n, 4] b) { b = Relu (a) }> (parts)
            y = ConcatFromSequence <axis = 1> (changed)
        }"""
    )
    assert cost_of(model, tmp_path).flops.terms == ((12, "n"),)
