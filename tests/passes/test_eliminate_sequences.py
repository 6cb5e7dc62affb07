"""Sequences that are packed only to be unpacked go."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

PASSES = ("eliminate_sequences", "remove_unused")
CONSTANTS = (
    "int64 i0 = {0}, int64 i1 = {1}, int64 last = {-1}, int64 far = {7}, int64 two = {2}, int64[2] sizes = {1, 4}"
)


def _model(body: str, opset: int = 17) -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[n, 5] x, float[n, 5] w, int64 k) =>'
        f" (float[p, q] y, float[r, s] z) <{CONSTANTS}> {{ {body} }}"
    )


@pytest.mark.parametrize("opset", [11, 17, 18])
@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("s = SplitToSequence<axis = 1>(x, two)  y = SequenceAt(s, i0)  z = SequenceAt(s, last)", ["Split"]),
        (
            "s = SplitToSequence<axis = -1>(x, sizes)  a = SequenceAt(s, i1)  y = Exp(a)  z = Neg(a)",
            ["Split", "Exp", "Neg"],
        ),
        ("s = SequenceConstruct(x, w)  a = SequenceAt(s, last)  y = Exp(a)  z = Neg(a)", ["Exp", "Neg"]),
        ("s = SequenceConstruct(x, w)  y = ConcatFromSequence<axis = 1>(s)  z = Neg(x)", ["Concat", "Neg"]),
    ],
)
def test_pieces_are_named(optimize: Optimizer, opset: int, body: str, left: list[str]) -> None:
    optimized = optimize(_model(body, opset), *PASSES)
    assert sorted(optimized.operators.elements()) == sorted(left)
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "s = SplitToSequence<axis = 1>(x, two)  y = SequenceAt(s, k)  z = SequenceAt(s, i0)",
            "a position in the sequence is computed",
        ),
        (
            "s = SplitToSequence<axis = 1>(x, two)  y = SequenceAt(s, i0)  z = SequenceAt(s, i0)",
            "one piece has two names that must stay",
        ),
        (
            "s = SplitToSequence<axis = 0>(x, two)  y = SequenceAt(s, i0)  z = SequenceAt(s, i1)",
            "its pieces are not known, or the sequence is read as a whole",
        ),
        (
            "s = SplitToSequence<axis = 1>(x)  y = SequenceAt(s, i0)  z = SequenceAt(s, i1)",
            "its pieces are not known, or the sequence is read as a whole",
        ),
        (
            "s = SplitToSequence<axis = 1>(x, two)  y = SequenceAt(s, i0)  z = ConcatFromSequence<axis = 1>(s)",
            "its pieces are not known, or the sequence is read as a whole",
        ),
    ],
)
def test_sequences_that_stay(optimize: Optimizer, body: str, reason: str) -> None:
    optimized = optimize(_model(body), *PASSES)
    assert optimized.operators["SplitToSequence"] == 1
    assert optimized.reasons == [reason]


def test_a_new_axis_and_a_far_position_stay(optimize: Optimizer) -> None:
    body = "s = SequenceConstruct(x, w)  c = ConcatFromSequence<axis = 0, new_axis = 1>(s)"
    text = _model(f"{body}  y = ReduceSum<keepdims = 0>(c, i)  f = SequenceAt(s, far)  z = Neg(f)")
    optimized = optimize(text.replace("int64 k", "int64 k, int64[1] i"), *PASSES)
    assert optimized.operators["ConcatFromSequence"] == 1
    assert optimized.operators["SequenceAt"] == 1
