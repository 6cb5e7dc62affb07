"""fuse_reduction_shape: reductions leave their axes out themselves."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs
from tests.passes.weighted import weighted

NAME = "fuse_reduction_shape"


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = GlobalAveragePool(x)  y = Flatten(a)", {"ReduceMean": 1}),
        ("a = GlobalMaxPool(x)  y = Reshape(a, flat)", {"ReduceMax": 1}),
        ("a = GlobalAveragePool(x)  y = Squeeze(a, last)", {"ReduceMean": 1}),
        ("a = MEAN  y = Squeeze(a, last)", {"ReduceMean": 1}),
        ("a = MEAN  y = Reshape(a, flat)", {"ReduceMean": 1}),
        ("a = MEAN  b = Reshape(a, flat)  c = Relu(a)  d = Reshape(c, flat)  y = Add(b, d)", None),
        ("a = GlobalAveragePool(x)  y = Reshape(a, all)", None),
        ("a = GlobalAveragePool(x)  y = Squeeze(a, one)", None),
    ],
)
def test_shapes(optimize: Optimizer, opset: int, body: str, left: Mapping[str, int] | None) -> None:
    mean = "ReduceMean<axes = [2, 3]>(x)" if opset < 18 else "ReduceMean(x, last)"
    constants = "int64[2] flat = {2, 3}, int64[2] last = {2, 3}, int64[1] one = {3}, int64[1] all = {6}"
    head = f'<ir_version: 8, opset_import: ["" : {opset}]>'
    text = body.replace("MEAN", mean)
    model = weighted(f"{head} agraph (float[2, 3, 4, 5] x) => (float y) <{constants}, float[99] spare> {{ {text} }}")
    optimized = optimize(model, "remove_unused", NAME)
    assert optimized.operators == (optimize(model, "remove_unused").operators if left is None else left)
    assert_equal_outputs(optimized, tolerance=1e-6)


def test_a_symbol_stays_one(optimize: Optimizer) -> None:
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> agraph (double[N, 3, 4, 5] x) => (double[N, 3] y) '
        "{ a = ReduceSum(x, axes)  y = Flatten(a) }"
    ).replace("=> (double[N, 3] y)", "=> (double[N, 3] y) <int64[2] axes = {2, 3}>")
    optimized = optimize(text, NAME)
    assert optimized.operators == {"ReduceSum": 1}
    assert_equal_outputs(optimized, tolerance=1e-12)
