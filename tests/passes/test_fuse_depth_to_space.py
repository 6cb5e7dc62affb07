"""fuse_depth_to_space: rearrangements of channels and places, to the bit."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

NAME = "fuse_depth_to_space"


def rearranged(optimize: Optimizer, shape: str, inner: str, perm: str, outer: str, result: str) -> set[str]:
    """The operators left of a Reshape, a Transpose and a Reshape; the outputs have to be equal to the bit."""
    optimized = optimize(
        f'<ir_version: 8, opset_import: ["" : 17]> agraph (float{shape} x) => (float{result} y) '
        f"<int64[6] s = {{{inner}}}, int64[4] t = {{{outer}}}> "
        f"{{ a = Reshape(x, s)  b = Transpose<perm = [{perm}]>(a)  y = Reshape(b, t) }}",
        NAME,
    )
    assert_equal_outputs(optimized)
    return set(optimized.operators)


@pytest.mark.parametrize("batch", ["2", "N"])
@pytest.mark.parametrize(
    ("shape", "inner", "perm", "outer", "result", "operator"),
    [
        ("8, 3, 5", "2, 2, 2, 3, 5", "0, 3, 4, 1, 5, 2", "2, 6, 10", "2, 6, 10", "DepthToSpace"),
        ("8, 3, 5", "2, 2, 2, 3, 5", "0, 1, 4, 2, 5, 3", "2, 6, 10", "2, 6, 10", "DepthToSpace"),
        ("18, 3, 5", "2, 3, 3, 3, 5", "0, 1, 4, 2, 5, 3", "2, 9, 15", "2, 9, 15", "DepthToSpace"),
        ("3, 4, 6", "3, 2, 2, 3, 2", "0, 3, 5, 1, 2, 4", "12, 2, 3", "12, 2, 3", "SpaceToDepth"),
    ],
)
def test_blocks(
    optimize: Optimizer, batch: str, shape: str, inner: str, perm: str, outer: str, result: str, operator: str
) -> None:
    first = "0" if batch == "N" else batch
    assert rearranged(
        optimize, f"[{batch}, {shape}]", f"{first}, {inner}", perm, f"{first}, {outer}", f"[{batch}, {result}]"
    ) == {operator}


@pytest.mark.parametrize(
    ("shape", "inner", "perm", "outer", "result"),
    [
        ("8, 3, 5", "2, 2, 2, 3, 5", "0, 3, 4, 2, 5, 1", "2, 6, 10", "2, 6, 10"),
        ("8, 3, 5", "2, 2, 2, 3, 5", "0, 3, 4, 1, 5, 2", "4, 3, 10", "4, 3, 10"),
        ("12, 3, 5", "2, 3, 2, 3, 5", "0, 3, 4, 1, 5, 2", "2, 6, 15", "2, 6, 15"),
        ("3, 4, 6", "3, 2, 2, 2, 3", "0, 3, 5, 1, 2, 4", "12, 2, 3", "12, 2, 3"),
    ],
)
def test_other_rearrangements(optimize: Optimizer, shape: str, inner: str, perm: str, outer: str, result: str) -> None:
    left = rearranged(optimize, f"[2, {shape}]", f"2, {inner}", perm, f"2, {outer}", f"[2, {result}]")
    assert left == {"Reshape", "Transpose"}
