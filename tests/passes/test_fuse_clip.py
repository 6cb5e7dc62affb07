"""fuse_clip: Min and Max in either order, and what does not clamp between two numbers."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs


def model_of(body: str, opset: int = 17, kind: str = "float") -> str:
    """A model of x and the bounds that the body may name."""
    return f"""<ir_version: 8, opset_import: ["" : {opset}]> agraph ({kind}[3, 4] x) => ({kind}[a, b] y)
        <{kind} low = {{-1}}, {kind}[1] high = {{1}}, {kind}[3, 1] rows = {{0, 1, 2}}> {{ {body} }}"""


@pytest.mark.parametrize(("opset", "kind"), [(11, "float"), (12, "double"), (17, "float")])
@pytest.mark.parametrize(
    "body",
    ["a = Max(x, low)  y = Min(a, high)", "a = Min(high, x)  y = Max(low, a)", "a = Max(low, x)  y = Min(high, a)"],
)
def test_clamps(optimize: Optimizer, body: str, opset: int, kind: str) -> None:
    optimized = optimize(model_of(body, opset, kind), "fuse_clip", "remove_unused")
    assert optimized.operators == {"Clip": 1}
    assert_equal_outputs(optimized)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("a = Max(x, high)  y = Min(a, low)", "float"),
        ("a = Max(x, low)  y = Min(a, rows)", "float"),
        ("a = Max(x, low)  b = Min(a, high)  y = Add(a, b)", "float"),
        ("a = Max(x, low)  y = Max(a, high)", "float"),
        ("a = Max(x, low)  y = Min(a, high)", "int32"),
    ],
)
def test_other_choices_stay(optimize: Optimizer, body: str, kind: str) -> None:
    assert "Clip" not in optimize(model_of(body, kind=kind), "fuse_clip").operators
