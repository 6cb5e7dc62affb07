"""fold_shapes: known sizes become constants although others are dynamic."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

CONSTANTS = (
    "int64 zero = {0}, int64 two = {2}, int64[1] zero1 = {0}, int64[1] one1 = {1}, int64[1] two1 = {2}, "
    "int64[9] unused = {1, 2, 3, 4, 5, 6, 7, 8, 9}"
)
HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("s = Shape<start = 1>(x)  y = Identity(s)", {"Identity": 1}),
        ("s = Shape(x)  y = Gather(s, two)", {"Constant": 1}),
        ("s = Shape(x)  y = Gather(s, zero)", {"Shape": 1, "Gather": 1}),
        ("s = Shape(x)  y = Slice(s, one1, two1)", {"Constant": 1}),
        ("s = Shape(x)  y = Slice(s, zero1, two1)", {"Shape": 1, "Slice": 1}),
        ("z = Slice(x, one1, two1)  s = Shape(z)  y = Gather(s, two)", {"Constant": 1}),
        ("y = Size(x)", {"Size": 1}),
    ],
)
def test_sizes_asked_for(optimize: Optimizer, body: str, left: dict[str, int]) -> None:
    result = "int64[k]" if "1)" in body else "int64"
    optimized = optimize(
        f"{HEAD} agraph (float[n, 4, 5] x) => ({result} y) <{CONSTANTS}> {{ {body} }}", "fold_shapes", "remove_unused"
    )
    assert optimized.operators == left
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("s = Shape(x)  t = Slice<starts = [1], ends = [3]>(s)  y = Neg(t)", {"Neg": 1}),
        ("s = Shape(x)  t = Slice<starts = [0], ends = [2]>(s)  y = Neg(t)", {"Shape": 1, "Slice": 1, "Neg": 1}),
        ("s = Shape(x)  t = Slice<starts = [-2], ends = [9223372036854775807]>(s)  y = Neg(t)", {"Neg": 1}),
    ],
)
def test_slices_with_bounds_in_attributes(optimize: Optimizer, body: str, left: dict[str, int]) -> None:
    optimized = optimize(
        f'<ir_version: 8, opset_import: ["" : 9]> agraph (float[n, 4, 5] x) => (int64[k] y) {{ {body} }}',
        "fold_shapes",
        "remove_unused",
    )
    assert optimized.operators == left
    assert_equal_outputs(optimized)


def test_an_index_out_of_range_is_left_to_the_runtime(optimize: Optimizer) -> None:
    optimized = optimize(
        f"{HEAD} agraph (float[3, 4, 5] x) => (int64 y) <int64 far = {{7}}> {{ s = Shape(x)  y = Gather(s, far) }}",
        "fold_shapes",
    )
    assert optimized.operators["Gather"] == 1
