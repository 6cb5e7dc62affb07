"""Pads go into the Pad, Conv or AveragePool after them; those that mean something else stay."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

WEIGHTS = ", ".join(str(value % 7 - 3) for value in range(54))
CONSTANTS = (
    f"float[3, 2, 3, 3] w = {{{WEIGHTS}}},"
    " int64[8] p = {0, 0, 1, 0, 0, 0, 1, 2}, int64[8] batch = {1, 0, 0, 0, 0, 0, 0, 0},"
    " int64[8] crop = {0, 0, -1, 0, 0, 0, 1, 0}, int64[4] short = {1, 2, 0, 1}, int64[2] axes = {2, -1},"
    " float zero = {0}, float one = {1}"
)


def _model(body: str, opset: int = 18) -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[1, 2, 6, 7] x) => (float[a, b, c, d] y)'
        f" <{CONSTANTS}> {{ {body} }}"
    )


@pytest.mark.parametrize(
    "body",
    [
        "q = Pad(x, p)  y = Conv(q, w)",
        "q = Pad(x, p, zero)  y = Conv<pads = [1, 1, 0, 2], strides = [2, 1]>(q, w)",
        'q = Pad(x, p)  y = Conv<auto_pad = "VALID">(q, w)',
        "q = Pad(x, short, zero, axes)  y = Conv(q, w)",
        "q = Pad(x, p)  y = AveragePool<kernel_shape = [3, 3]>(q)",
        "q = Pad(x, p)  y = AveragePool<kernel_shape = [4, 4], pads = [1, 1, 1, 1], count_include_pad = 1>(q)",
        "q = Pad(x, p)  y = Pad(q, p)",
        "q = Pad(x, p, one)  y = Pad(q, short, one, axes)",
        "q = Pad(x, p)  y = Pad(q, batch)",
    ],
)
def test_pads_merge(optimize: Optimizer, body: str) -> None:
    optimized = optimize(_model(body), "merge_pads", "remove_unused")
    assert sum(optimized.operators.values()) == 1
    assert_equal_outputs(optimized)


@pytest.mark.parametrize("opset", [9, 10])
def test_pads_as_attributes(optimize: Optimizer, opset: int) -> None:
    body = "q = Pad<pads = [0, 0, 1, 0, 0, 0, 1, 2]>(x)  r = Pad<pads = [0, 0, 0, 0, 0, 0, 0, 1]>(q)  y = Conv(r, w)"
    optimized = optimize(_model(body, opset), "merge_pads", "remove_unused")
    assert sum(optimized.operators.values()) == 1
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("q = Pad(x, p, one)  y = Conv(q, w)", "the Pad fills with a number that counts"),
        ('q = Pad<mode = "edge">(x, p)  y = Conv(q, w)', "the Pad's mode, value or widths are not constant"),
        ("q = Pad(x, batch)  y = Conv(q, w)", "the Pad widens the batch or the channels"),
        ("q = Pad(x, crop)  y = Conv(q, w)", "the Pad crops"),
        ('q = Pad(x, p)  y = Conv<auto_pad = "SAME_UPPER">(q, w)', "the pads of the second node follow from auto_pad"),
        ("q = Pad(x, p)  z = Conv(q, w)  c = ReduceMax(q)  y = Add(z, c)", "others read the padded tensor too"),
        (
            "q = Pad(x, p)  y = AveragePool<kernel_shape = [2, 2]>(q)",
            "AveragePool can't be padded by its kernel's size",
        ),
        (
            "q = Pad(x, p)  y = AveragePool<kernel_shape = [4, 4], pads = [1, 1, 1, 1]>(q)",
            "AveragePool does not count what it pads",
        ),
        ("q = Pad(x, p, one)  y = Pad(q, p)", "the two Pads differ in mode or value, or one crops"),
    ],
)
def test_pads_that_mean_something_else_stay(optimize: Optimizer, body: str, reason: str) -> None:
    optimized = optimize(_model(body), "merge_pads", "remove_unused")
    assert optimized.operators == optimize(_model(body), "remove_unused").operators
    assert optimized.reasons == [reason]
    assert_equal_outputs(optimized)


MAXIMA = "float least = {-inf}, float lowest = {-3.4028235e38}, float one = {1}, float six = {6}"
PADS = "int64[8] p = {0, 0, 1, 0, 0, 0, 1, 2}, float zero = {0}"


def _pooled(body: str, opset: int = 18, outputs: str = "float[a, b, c, d] y") -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[1, 2, 6, 7] x) => ({outputs})'
        f" <{PADS}, {MAXIMA}> {{ {body} }}"
    )


@pytest.mark.parametrize("opset", [12, 18])
@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("q = Pad(x, p, least)  y = MaxPool<kernel_shape = [3, 3]>(q)", ["MaxPool"]),
        ("q = Pad(x, p, lowest)  y = MaxPool<kernel_shape = [4, 4], pads = [1, 0, 2, 1]>(q)", ["MaxPool"]),
        ("q = Pad(x, p, least)  y = MaxPool<kernel_shape = [3, 3], dilations = [2, 1]>(q)", ["MaxPool"]),
        ("r = Relu(x)  q = Pad(r, p)  y = MaxPool<kernel_shape = [3, 3], strides = [2, 2]>(q)", ["MaxPool", "Relu"]),
        ("r = Clip(x, one, six)  q = Pad(r, p, one)  y = MaxPool<kernel_shape = [3, 3]>(q)", ["Clip", "MaxPool"]),
    ],
)
def test_maximum_pooling_pads_with_what_is_never_larger(
    optimize: Optimizer, body: str, left: list[str], opset: int
) -> None:
    optimized = optimize(_pooled(body, opset), "merge_pads", "remove_unused")
    assert sorted(optimized.operators.elements()) == left
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("q = Pad(x, p)  y = MaxPool<kernel_shape = [3, 3]>(q)", "fills with a number that counts"),
        ("r = Relu(x)  q = Pad(r, p, one)  y = MaxPool<kernel_shape = [3, 3]>(q)", "fills with a number that counts"),
        ("r = Clip(x, zero, six)  q = Pad(r, p, one)  y = MaxPool<kernel_shape = [3, 3]>(q)", "a number that counts"),
        ("q = Pad(x, p, least)  y = MaxPool<kernel_shape = [2, 2]>(q)", "its kernel's size"),
        ("q = Pad(x, p, least)  y = MaxPool<kernel_shape = [3, 3], ceil_mode = 1>(q)", "ceil_mode"),
    ],
)
def test_maximum_pooling_that_would_see_the_pads(optimize: Optimizer, body: str, reason: str) -> None:
    optimized = optimize(_pooled(body), "merge_pads", "remove_unused")
    assert optimized.operators["Pad"] == 1
    assert any(reason in each for each in optimized.reasons)


def test_indices_of_maxima_count_the_pads(optimize: Optimizer) -> None:
    body = "q = Pad(x, p, least)  y, z = MaxPool<kernel_shape = [3, 3]>(q)"
    optimized = optimize(_pooled(body, outputs="float[a, b, c, d] y, int64[e, f, g, h] z"), "merge_pads")
    assert optimized.operators["Pad"] == 1
