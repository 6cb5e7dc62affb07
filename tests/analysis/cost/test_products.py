"""Costs against counting by brute force: loops that compute what onnx computes, and count each step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator

from tests.analysis.cost import naive
from tests.analysis.cost.counted import cost_of, one_operator
from tests.analysis.cost.naive import Array, Tally

RANDOM = np.random.default_rng(0)


def values(*shape: int) -> Array:
    return RANDOM.uniform(-1, 1, shape).astype(np.float32)


def compare(model: ModelProto, inputs: list[Array | None], result: Array, tally: Tally, folder: Path) -> None:
    """The loops compute the operator, and what they counted is what the formula says."""
    given = {f"x{index}": value for index, value in enumerate(inputs) if value is not None}
    expected: Any = next(iter(ReferenceEvaluator(model).run(None, given)))
    np.testing.assert_allclose(result.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
    cost = cost_of(model, folder)
    assert cost.uncounted == ()
    assert cost.macs.value == tally.macs
    assert cost.flops.value == 2 * tally.macs + tally.others


def shapes(inputs: list[Array | None]) -> list[tuple[int, ...] | None]:
    return [None if value is None else value.shape for value in inputs]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((3, 4), (4, 5)),
        ((2, 3, 4), (4, 5)),
        ((2, 1, 3, 4), (3, 4, 2)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4,)),
    ],
)
def test_matmul(first: tuple[int, ...], second: tuple[int, ...], tmp_path: Path) -> None:
    inputs: list[Array | None] = [values(*first), values(*second)]
    tally = Tally()
    result = naive.matmul(tally, *inputs)  # type: ignore[arg-type]
    compare(one_operator("MatMul", shapes(inputs)), inputs, result, tally, tmp_path)


@pytest.mark.parametrize("bias", [None, (5,), (3, 5), (3, 1)])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 1.0), (1.0, 2.0)])
@pytest.mark.parametrize(("turn_first", "turn_second"), [(0, 0), (1, 0), (0, 1)])
def test_gemm(
    bias: tuple[int, ...] | None, alpha: float, beta: float, turn_first: int, turn_second: int, tmp_path: Path
) -> None:
    first, second, third = values(3, 4), values(4, 5), None if bias is None else values(*bias)
    beta = 1.0 if third is None else beta
    tally = Tally()
    result = naive.gemm(tally, first, second, third, alpha=alpha, beta=beta)
    inputs = [first.T if turn_first else first, second.T if turn_second else second, third]
    attributes: dict[str, Any] = {"alpha": alpha, "beta": beta, "transA": turn_first, "transB": turn_second}
    model = one_operator("Gemm", shapes(inputs[: 2 if third is None else 3]), **attributes)
    compare(model, inputs, result, tally, tmp_path)


@pytest.mark.parametrize("equation", ["ij,jk->ik", "bij,bjk->bik", "bhid,bhjd->bhij", "ij,ij->", "i,j->ij"])
def test_einsum(equation: str, tmp_path: Path) -> None:
    sizes = {"b": 2, "h": 3, "i": 4, "j": 5, "k": 2, "d": 3}
    inputs: list[Array | None] = [
        values(*(sizes[label] for label in term)) for term in equation.split("->")[0].split(",")
    ]
    tally = Tally()
    result = naive.einsum(tally, equation, *inputs)  # type: ignore[arg-type]
    compare(one_operator("Einsum", shapes(inputs), equation=equation), inputs, result, tally, tmp_path)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(
    ("data", "weight", "strides", "pads", "dilations", "group"),
    [
        ((1, 2, 5, 6), (3, 2, 3, 3), [1, 1], [0, 0, 0, 0], [1, 1], 1),
        ((2, 2, 7, 7), (4, 2, 3, 2), [2, 3], [1, 0, 1, 1], [1, 1], 1),
        ((1, 4, 8, 8), (4, 2, 3, 3), [1, 2], [1, 1, 1, 1], [2, 1], 2),
        ((1, 3, 6, 6), (6, 1, 3, 3), [1, 1], [1, 1, 1, 1], [1, 1], 3),
        ((2, 2, 9), (3, 2, 4), [2], [1, 2], [2], 1),
        ((1, 2, 4, 4, 4), (2, 2, 2, 2, 2), [1, 2, 1], [0, 0, 0, 0, 0, 0], [1, 1, 1], 1),
    ],
)
def test_convolution(
    data: tuple[int, ...], weight: tuple[int, ...], strides: list[int], pads: list[int], dilations: list[int],
    group: int, biased: bool, tmp_path: Path,
) -> None:  # fmt: skip
    inputs: list[Array | None] = [values(*data), values(*weight)]
    bias = values(weight[0]) if biased else None
    settings: dict[str, Any] = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    tally = Tally()
    result = naive.convolution(tally, inputs[0], inputs[1], bias, **settings)  # type: ignore[arg-type]
    inputs += [bias] if biased else []
    compare(one_operator("Conv", shapes(inputs), **settings), inputs, result, tally, tmp_path)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(
    ("data", "weight", "strides", "group"),
    [
        ((1, 2, 3, 4), (2, 3, 3, 3), [1, 1], 1),
        ((2, 2, 3, 3), (2, 2, 2, 3), [2, 3], 1),
        ((1, 4, 3, 3), (4, 2, 3, 3), [2, 2], 2),
        ((1, 2, 5), (2, 3, 4), [3], 1),
    ],
)
def test_transposed_convolution(
    data: tuple[int, ...], weight: tuple[int, ...], strides: list[int], group: int, biased: bool, tmp_path: Path
) -> None:
    inputs: list[Array | None] = [values(*data), values(*weight)]
    bias = values(weight[1] * group) if biased else None
    tally = Tally()
    result = naive.transposed_convolution(tally, inputs[0], inputs[1], bias, strides=strides, group=group)  # type: ignore[arg-type]
    inputs += [bias] if biased else []
    model = one_operator("ConvTranspose", shapes(inputs), strides=strides, group=group)
    if group == 1:  # onnx's reference is wrong for groups
        compare(model, inputs, result, tally, tmp_path)
    assert cost_of(model, tmp_path).macs.value == tally.macs


@pytest.mark.parametrize(
    ("data", "kernel", "strides"),
    [((1, 2, 6, 6), [2, 2], [2, 2]), ((2, 3, 7), [3], [1]), ((1, 1, 5, 7), [3, 2], [1, 2])],
)
def test_max_pool(data: tuple[int, ...], kernel: list[int], strides: list[int], tmp_path: Path) -> None:
    tally, given = Tally(), values(*data)
    result = naive.max_pool(tally, given, kernel=kernel, strides=strides)
    model = one_operator("MaxPool", [data], kernel_shape=kernel, strides=strides)
    compare(model, [given], result, tally, tmp_path)


@pytest.mark.parametrize(("steps", "batch", "width", "hidden"), [(3, 2, 4, 3), (1, 1, 2, 5)])
def test_recurrent_networks(steps: int, batch: int, width: int, hidden: int, tmp_path: Path) -> None:
    cases: list[tuple[str, int, Callable[..., Array], dict[str, Any]]] = [
        ("LSTM", 4, naive.lstm, {}),
        ("GRU", 3, naive.gru, {"linear_before_reset": 1}),
    ]
    for op_type, gates, loops, attributes in cases:
        data, bias = values(steps, batch, width), values(1, 2 * gates * hidden)
        weight, recurrence = values(1, gates * hidden, width), values(1, gates * hidden, hidden)
        tally = Tally()
        result = loops(tally, data, weight[0], recurrence[0], bias[0])
        inputs: list[Array | None] = [data, weight, recurrence, bias]
        model = one_operator(op_type, shapes(inputs), opset=14, hidden_size=hidden, **attributes)
        compare(model, inputs, result, tally, tmp_path)


def test_two_directions_cost_twice_as_much(tmp_path: Path) -> None:
    def macs(directions: int, direction: str) -> int | None:
        given: list[tuple[int, ...] | None] = [(5, 2, 4), (directions, 12, 4), (directions, 12, 3)]
        model = one_operator("LSTM", given, opset=14, hidden_size=3, direction=direction)
        return cost_of(model, tmp_path).macs.value

    assert macs(2, "bidirectional") == 2 * (macs(1, "forward") or 0)


@pytest.mark.parametrize(("rows", "positions", "width", "value_width"), [(3, 3, 4, 4), (2, 5, 3, 6)])
def test_attention(rows: int, positions: int, width: int, value_width: int, tmp_path: Path) -> None:
    inputs: list[Array | None] = [
        values(2, 3, rows, width),
        values(2, 3, positions, width),
        values(2, 3, positions, value_width),
    ]
    tally = Tally()
    result = naive.attention(tally, *inputs)  # type: ignore[arg-type]
    compare(one_operator("Attention", shapes(inputs)), inputs, result, tally, tmp_path)


def test_attention_of_packed_heads_costs_the_same(tmp_path: Path) -> None:
    apart = cost_of(one_operator("Attention", [(2, 3, 5, 4)] * 3), tmp_path)
    packed = one_operator("Attention", [(2, 5, 12)] * 3, q_num_heads=3, kv_num_heads=3)
    assert cost_of(packed, tmp_path).macs == apart.macs
