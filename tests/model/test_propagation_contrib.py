"""The operators of com.microsoft, one node at a time with symbolic sizes, against what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.model.test_propagation_truth import found_in, is_fully_claimed, lies

SIZES = {"b": 2, "s": 5, "t": 7}
F32, U8, I8, I32 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32
Given = tuple[Any, ...] | None
"""Element type, shape, and the value that fills it (random where none is given); None leaves an input out."""


@dataclass(frozen=True)
class Case:
    op_type: str
    inputs: Sequence[Given]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1
    domain: str = "com.microsoft"


SCALE: Given = (F32, [], 0.1)
ZERO: Given = (U8, [], 3)
X: Given = (F32, ["b", "s", 8])
Q: Given = (U8, ["b", "s", 8])
IMAGE: Given = (U8, ["b", 3, "s", "t"])

CASES = [
    Case("BiasGelu", [X, (F32, [8])]),
    Case("FastGelu", [X, (F32, [8])]),
    Case("Gelu", [X]),
    Case("QuickGelu", [X]),
    Case("Inverse", [(F32, ["b", 4, 4])]),
    Case("CDist", [(F32, ["s", 4]), (F32, ["t", 4])], {"metric": "euclidean"}),
    Case("FusedMatMul", [X, (F32, ["b", 8, "t"])]),
    Case("FusedMatMul", [X, (F32, ["b", "t", 8])], {"transB": 1}),
    Case("FusedMatMul", [(F32, ["b", 8, "s"]), (F32, [8, 4])], {"transA": 1}),
    Case("FusedMatMul", [(F32, ["s", "b", 8]), (F32, [8, "b", 4])], {"transBatchA": 1, "transBatchB": 1}),
    Case("FusedGemm", [(F32, ["s", 8]), (F32, [4, 8]), (F32, [4])], {"transB": 1, "activation": "Relu"}),
    Case("FusedConv", [(F32, ["b", 3, "s", "t"]), (F32, [4, 3, 3, 3])], {"activation": "Relu", "strides": [2, 2]}),
    Case(
        "MatMulNBits",
        [(F32, ["b", "s", 64]), (U8, [32, 2, 16]), (F32, [64])],
        {"K": 64, "N": 32, "bits": 4, "block_size": 32},
    ),
    Case("DynamicQuantizeMatMul", [X, (U8, [8, 4]), SCALE]),
    Case("MatMulIntegerToFloat", [Q, (U8, [8, 4]), SCALE, SCALE]),
    Case("QGemm", [(U8, ["s", 8]), SCALE, ZERO, (U8, [8, 4]), SCALE, ZERO]),
    Case("QGemm", [(U8, ["s", 8]), SCALE, ZERO, (U8, [4, 8]), SCALE, ZERO, None, SCALE, ZERO], {"transB": 1}),
    Case("QLinearAdd", [Q, SCALE, ZERO, (U8, [8]), SCALE, ZERO, SCALE, ZERO]),
    Case("QLinearMul", [(U8, [8]), SCALE, ZERO, Q, SCALE, ZERO, SCALE, ZERO]),
    Case("QLinearSigmoid", [Q, SCALE, ZERO, SCALE, ZERO]),
    Case("QLinearLeakyRelu", [Q, SCALE, ZERO, SCALE, ZERO]),
    Case("QLinearSoftmax", [Q, SCALE, ZERO, SCALE, ZERO], {"opset": 13}),
    Case("QLinearConcat", [SCALE, ZERO, Q, SCALE, ZERO, (U8, ["b", "t", 8]), SCALE, ZERO], {"axis": 1}),
    Case("QLinearAveragePool", [IMAGE, SCALE, ZERO, SCALE, ZERO], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    Case(
        "QLinearAveragePool",
        [(U8, ["b", "s", "t", 3]), SCALE, ZERO, SCALE, ZERO],
        {"kernel_shape": [3, 2], "strides": [2, 2], "channels_last": 1},
    ),
    Case(
        "QLinearConv",
        [(U8, ["b", "s", "t", 3]), SCALE, ZERO, (U8, [4, 3, 3, 2]), SCALE, ZERO, SCALE, ZERO],
        {"channels_last": 1, "strides": [1, 2], "kernel_shape": [3, 2]},
    ),
    Case("QLinearGlobalAveragePool", [IMAGE, SCALE, ZERO, SCALE, ZERO]),
    Case("QLinearGlobalAveragePool", [IMAGE, SCALE, ZERO, SCALE, ZERO], {"channels_last": 1}),
    Case("SkipLayerNormalization", [X, X, (F32, [8])], outputs=4),
    Case("SkipSimplifiedLayerNormalization", [X, X, (F32, [8])], outputs=4),
    Case("SimplifiedLayerNormalization", [X, (F32, [8])], {"axis": -1}, outputs=2, domain=""),
    Case(
        "EmbedLayerNormalization",
        [(I32, ["b", "s"]), (I32, ["b", "s"]), (F32, [9, 8]), (F32, [20, 8]), (F32, [2, 8]), (F32, [8]), (F32, [8])],
        outputs=3,
    ),
    Case("Attention", [X, (F32, [8, 24]), (F32, [24])], {"num_heads": 2}, outputs=2),
    Case("Attention", [X, (F32, [8, 24]), (F32, [24]), None, (F32, [2, "b", 2, "t", 4])], {"num_heads": 2}, outputs=2),
    Case("QAttention", [Q, (U8, [8, 24]), (F32, [24]), SCALE, SCALE, None, ZERO, ZERO], {"num_heads": 2}),
    Case("MultiHeadAttention", [X, (F32, ["b", "t", 8]), (F32, ["b", "t", 8])], {"num_heads": 2}, outputs=3),
    Case("MultiHeadAttention", [X, (F32, ["b", 2, "t", 4]), (F32, ["b", 2, "t", 4])], {"num_heads": 2}),
    Case(
        "GroupQueryAttention",
        [
            (F32, ["b", "s", 64]),
            (F32, ["b", "s", 32]),
            (F32, ["b", "s", 32]),
            None,
            None,
            (I32, ["b"], 4),
            (I32, [], 5),
        ],
        {"num_heads": 4, "kv_num_heads": 2},
    ),
    Case(
        "RotaryEmbedding",
        [(F32, ["b", "s", 8]), (TensorProto.INT64, [1], 0), (F32, [9, 2]), (F32, [9, 2])],
        {"num_heads": 2},
    ),
]


def _feed(given: tuple[Any, ...], random: np.random.Generator) -> Any:
    dtype = helper.tensor_dtype_to_np_dtype(given[0])
    shape = [SIZES[size] if isinstance(size, str) else size for size in given[1]]
    if len(given) == 3:
        return np.full(shape, given[2], dtype)
    return random.random(shape).astype(dtype) if dtype.kind == "f" else random.integers(0, 2, shape).astype(dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op_type)
def test_claims_what_onnxruntime_does(case: Case, tmp_path: Path) -> None:
    import onnxruntime

    random = np.random.default_rng(0)
    given = {f"i{index}": each for index, each in enumerate(case.inputs) if each is not None}
    names = [f"i{index}" if each is not None else "" for index, each in enumerate(case.inputs)]
    outputs = [f"o{index}" for index in range(case.outputs)]
    node = helper.make_node(case.op_type, names, outputs, domain=case.domain, **case.attributes)
    inputs = [helper.make_tensor_value_info(name, each[0], list(each[1])) for name, each in given.items()]
    graph = helper.make_graph([node], "g", inputs, [helper.make_empty_tensor_value_info(name) for name in outputs])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    _, found = found_in(model, tmp_path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    seen = session.run([outputs[0]], {name: _feed(each, random) for name, each in given.items()})
    assert is_fully_claimed(found.top.fact(outputs[0]), SIZES)
    assert not lies(found.top.fact(outputs[0]), seen[0], SIZES)
    for name in outputs[1:]:
        try:
            (value,) = session.run([name], {each: _feed(of, random) for each, of in given.items()})
        except Exception as error:  # noqa: BLE001 - outputs that the CPU's kernels leave out
            del error
            continue
        assert not lies(found.top.fact(name), value, SIZES)


def test_every_operator_listed_exists() -> None:
    """Names are onnxruntime's own, so that none is misspelt."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    from onnxctl.model.propagation.operators import BY_DOMAIN

    known = {(schema.domain, schema.name) for schema in state.get_all_operator_schema()}
    known |= {(schema.domain, schema.name) for schema in onnx.defs.get_all_schemas_with_history()}
    listed = {("" if domain == "ai.onnx" else domain, name) for domain, table in BY_DOMAIN.items() for name in table}
    assert listed <= known


def test_every_standard_operator_has_a_rule() -> None:
    from onnxctl.model.propagation.operators import BY_DOMAIN

    without = {
        f"{schema.domain}.{schema.name}"
        for schema in onnx.defs.get_all_schemas()
        if schema.name not in BY_DOMAIN.get(schema.domain, {})
    }
    assert without == {"ai.onnx.preview.training.Gradient"}
