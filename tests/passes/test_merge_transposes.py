"""Transposes in a row become one, or none."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs


@pytest.mark.parametrize("first", list(permutations(range(3))))
def test_any_two_of_rank_three(optimize: Optimizer, first: tuple[int, ...]) -> None:
    for second in permutations(range(3)):
        text = (
            '<ir_version: 8, opset_import: ["" : 17]> agraph (float[2, 3, 4] x) => (float[a, b, c] y)'
            f" {{ t = Transpose<perm = {list(first)}>(x)  u = Transpose<perm = {list(second)}>(t)  y = Exp(u) }}"
        )
        optimized = optimize(text, "merge_transposes", "eliminate_transpose", "remove_unused")
        identity = [first[axis] for axis in second] == [0, 1, 2]
        assert optimized.operators["Transpose"] == (0 if identity else 1)
        assert_equal_outputs(optimized)


def test_default_permutations_and_other_readers(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (float[2, n] x) => (float[2, n] y, float[n, 2] z)
        { t = Transpose(x)  u = Transpose(t)  y = Exp(u)  z = Exp(t) }"""
    optimized = optimize(text, "merge_transposes", "remove_unused")
    assert optimized.operators["Transpose"] == 1
    assert_equal_outputs(optimized)


def test_without_a_rank_the_default_means_nothing(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (float x, int64[r] s) => (float y)
        { a = Reshape(x, s)  t = Transpose(a)  u = Transpose(t)  y = ReduceSum<keepdims = 0>(u) }"""
    optimized = optimize(text, "merge_transposes")
    assert optimized.operators["Transpose"] == 2
    assert optimized.reasons == ["the rank of its input is not known"]


def test_in_a_subgraph(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (bool c, float[2, 3] x) => (float[p, q] y) {
        y = If (c) <
            then_branch = one () => (float[p, q] o) { t = Transpose(x)  u = Transpose(t)  o = Exp(u) },
            else_branch = two () => (float[p, q] o) { o = Neg(x) }
        >
    }"""
    optimized = optimize(text, "merge_transposes", "remove_unused")
    assert optimized.operators["Transpose"] == 0
