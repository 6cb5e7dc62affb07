"""fuse_group_normalization: at level max only, and what would be something else."""

from __future__ import annotations

import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs

NAMES = ("fuse_group_normalization", "remove_unused")
NORMALIZED = "r = Reshape(x, groups)  i = InstanceNormalization<epsilon = 0.001>(r, ones, zeros)  q = Reshape(i, whole)"


def model_of(body: str, *, opset: int = 21, batch: str = "2", groups: str = "0, 2, -1", ones: str = "1, 1") -> str:
    """A model of four channels in two groups."""
    return f"""<ir_version: 10, opset_import: ["" : {opset}]> agraph (float[{batch}, 4, 3, 5] x)
        => (float[a, b, c, d] y)
        <int64[3] groups = {{{groups}}}, int64[4] whole = {{-1, 4, 3, 5}}, float[2] ones = {{{ones}}},
        float[2] zeros = {{0, 0}},
        float[4, 1, 1] w = {{1, 2, 3, 4}}, float[1, 4, 1, 1] v = {{4, 3, 2, 1}}, float[5] k = {{1, 2, 3, 4, 5}}>
        {{ {body} }}"""


@pytest.mark.parametrize("opset", [21, 23])
@pytest.mark.parametrize("batch", ["2", "n"])
@pytest.mark.parametrize(
    "body",
    [f"{NORMALIZED}  m = Mul(q, w)  y = Add(m, v)", f"{NORMALIZED}  m = Mul(v, q)  y = Add(w, m)"],
)
def test_group_normalization(optimize: Optimizer, body: str, batch: str, opset: int) -> None:
    optimized = optimize(model_of(body, batch=batch, opset=opset), *NAMES)
    assert optimized.operators == {"GroupNormalization": 1}
    assert_equal_outputs(optimized, tolerance=1e-5)


def test_not_by_default(optimize: Optimizer) -> None:
    optimized = optimize(model_of(f"{NORMALIZED}  m = Mul(q, w)  y = Add(m, v)"))
    assert optimized.operators["GroupNormalization"] == 0
    assert_equal_outputs(optimized, tolerance=1e-5)


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (f"{NORMALIZED}  m = Mul(q, w)  y = Add(m, v)", {"opset": 20}),
        (f"{NORMALIZED}  m = Mul(q, w)  y = Add(m, v)", {"ones": "1, 2"}),
        (f"{NORMALIZED}  m = Mul(q, w)  y = Sub(m, v)", {}),
        (f"{NORMALIZED}  m = Mul(q, k)  y = Add(m, v)", {}),
        (f"{NORMALIZED}  m = Mul(q, w)  t = Add(m, v)  y = Add(t, q)", {}),
        (f"{NORMALIZED}  y = Add(q, v)", {}),
    ],
)
def test_no_group_normalization(optimize: Optimizer, body: str, changed: dict[str, object]) -> None:
    optimized = optimize(model_of(body, **changed), *NAMES)  # type: ignore[arg-type]
    assert optimized.operators["GroupNormalization"] == 0
    assert_equal_outputs(optimized, tolerance=1e-5)
