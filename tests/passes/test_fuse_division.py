"""fuse_division: reciprocals become divisions, where nothing else reads them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

NAME = "fuse_division"
HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


@pytest.mark.parametrize("kind", ["float", "double", "float16"])
@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("r = Reciprocal(z)  y = Mul(x, r)", {"Div": 1}),
        ("r = Reciprocal(z)  y = Mul(r, x)", {"Div": 1}),
        ("r = Div(one, z)  y = Mul(x, r)", {"Div": 1}),
        ("r = Div(wide, z)  y = Mul(x, r)", {"Div": 1, "Mul": 1}),
        ("r = Div(x, z)  y = Mul(z, r)", {"Div": 1, "Mul": 1}),
        ("r = Reciprocal(z)  y = Mul(r, r)", {"Reciprocal": 1, "Mul": 1}),
        ("r = Reciprocal(z)  a = Mul(x, r)  y = Add(a, r)", {"Reciprocal": 1, "Mul": 1, "Add": 1}),
    ],
)
def test_reciprocals(optimize: Optimizer, kind: str, body: str, left: Mapping[str, int]) -> None:
    shape = "[1, 1, 3]" if "wide" in body else "[3]"
    number = "15360" if kind == "float16" else "1"  # the text syntax takes float16 as bits
    constants = f"{kind} one = {{{number}}}, {kind}[1, 1, 1] wide = {{{number}}}"
    text = f"{HEAD} agraph ({kind}[3] x, {kind}[3] v) => ({kind}{shape} y) <{constants}> {{ z = Add(v, one)  {body} }}"
    optimized = optimize(text, "eliminate_identity", NAME)
    counts = optimized.operators
    counts["Add"] -= 1
    assert +counts == left
    tolerance = {"float": 1e-6, "double": 1e-14, "float16": 2e-3}[kind]
    assert_equal_outputs(optimized, tolerance=tolerance)
