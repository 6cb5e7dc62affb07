"""merge_product_transposes: products whose result is transposed are computed the other way round."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs
from tests.passes.weighted import weighted

NAMES = ("merge_product_transposes", "fold_constants", "fold_layouts", "remove_unused")
LAST = "<perm = [0, 2, 1]>"


@pytest.mark.parametrize("opset", [7, 13, 23])
@pytest.mark.parametrize(
    ("body", "left"),
    [
        (f"a = Transpose{LAST}(x)  b = Transpose{LAST}(z)  c = MatMul(a, b)  y = Transpose{LAST}(c)", ["MatMul"]),
        (f"a = Transpose{LAST}(x)  b = Transpose(m)  c = MatMul(a, b)  y = Transpose{LAST}(c)", ["MatMul"]),
        (f"a = Transpose{LAST}(x)  c = MatMul(a, w)  y = Transpose{LAST}(c)", ["MatMul"]),
        (f"a = Transpose{LAST}(z)  c = MatMul(v, a)  y = Transpose{LAST}(c)", ["MatMul"]),
        (
            f"a = Transpose{LAST}(x)  b = Transpose{LAST}(z)  c = MatMul(a, b)  d = Transpose{LAST}(c)  y = Add(d, c)",
            ["Add", "MatMul", "Transpose", "Transpose", "Transpose"],
        ),
        (
            f"a = Transpose<perm = [2, 1, 0]>(x)  b = Transpose{LAST}(q)  c = MatMul(a, b)  y = Transpose{LAST}(c)",
            ["MatMul", "Transpose", "Transpose", "Transpose"],
        ),
        (f"c = MatMul(z, x)  y = Transpose{LAST}(c)", ["MatMul", "Transpose"]),
        (
            f"a = Transpose{LAST}(x)  c = MatMul(a, w)  d = MatMul(m, w)  e = Transpose{LAST}(c)  y = Add(d, e)",
            ["Add", "MatMul", "MatMul", "Transpose", "Transpose"],
        ),
    ],
)
def test_products(optimize: Optimizer, body: str, left: list[str], opset: int) -> None:
    model = weighted(
        f"""<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[2, 3, 3] x, float[2, 3, 3] z, float[3, 3] m,
        float[3, 4, 2] q) => (float y) <float[3, 3] w, float[3, 3] v> {{ {body} }}"""
    )
    optimized = optimize(model, *NAMES)
    assert sorted(optimized.operators.elements()) == left
    assert_equal_outputs(optimized, tolerance=1e-5)
