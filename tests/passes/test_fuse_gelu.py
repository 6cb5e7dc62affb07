"""fuse_gelu: its two forms, however their factors are ordered."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from tests.passes.optimizing import Optimizer, assert_equal_outputs

HEAD = '<ir_version: 9, opset_import: ["" : 20]>'
NAME = "fuse_gelu"
VALUES = {
    "half": 0.5,
    "one": 1,
    "root": 1.41421354,
    "inverse": 0.70710677,
    "three": 3,
    "cubic": 0.044715,
    "k": 0.7978846,
}
ERF = "d = Div(x, root)  e = Erf(d)  f = Add(e, one)"


def model_of(body: str, kind: str = "float") -> ModelProto:
    """A model of x, another input w, and the constants that the body may name."""
    model = onnx.parser.parse_model(f"{HEAD} agraph ({kind}[3, 4] x, {kind}[3, 4] w) => ({kind}[3, 4] y) {{ {body} }}")
    dtype = np.float32 if kind == "float" else np.float16
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, dtype), name) for name, value in VALUES.items()
    )
    return model


@pytest.mark.parametrize(
    "body",
    [
        f"{ERF}  g = Mul(x, f)  y = Mul(g, half)",
        f"{ERF}  g = Mul(half, x)  y = Mul(g, f)",
        f"{ERF}  g = Mul(f, half)  y = Mul(x, g)",
        "d = Mul(inverse, x)  e = Erf(d)  f = Add(one, e)  g = Mul(f, x)  y = Mul(half, g)",
        "a = Pow(x, three)  b = Mul(a, cubic)  c = Add(x, b)  d = Mul(c, k)  e = Tanh(d)  f = Add(e, one)  "
        "g = Mul(x, half)  y = Mul(g, f)",
        "s = Mul(x, x)  a = Mul(s, x)  b = Mul(cubic, a)  c = Add(b, x)  d = Mul(k, c)  e = Tanh(d)  "
        "f = Add(one, e)  g = Mul(x, f)  y = Mul(g, half)",
        "s = Mul(x, x)  a = Mul(s, cubic)  b = Add(a, one)  m = Mul(x, k)  d = Mul(m, b)  e = Tanh(d)  "
        "f = Add(e, one)  g = Mul(x, half)  y = Mul(g, f)",
    ],
)
@pytest.mark.parametrize("kind", ["float", "float16"])
def test_forms(optimize: Optimizer, body: str, kind: str) -> None:
    optimized = optimize(model_of(body, kind), NAME)
    assert optimized.operators == {"Gelu": 1}
    assert_equal_outputs(optimized, tolerance=1e-5 if kind == "float" else 4e-3)


def test_x_may_itself_be_a_product(optimize: Optimizer) -> None:
    body = f"p = Mul(x, w)  {ERF.replace('x', 'p')}  g = Mul(p, f)  y = Mul(g, half)"
    optimized = optimize(model_of(body), NAME)
    assert optimized.operators == {"Gelu": 1, "Mul": 1}
    assert_equal_outputs(optimized, tolerance=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        f"{ERF}  g = Mul(x, f)  y = Mul(g, three)",
        f"{ERF}  g = Mul(w, f)  y = Mul(g, half)",
        f"{ERF}  g = Mul(x, f)  h = Mul(g, half)  y = Add(h, e)",
        "d = Div(x, three)  e = Erf(d)  f = Add(e, one)  g = Mul(x, f)  y = Mul(g, half)",
        "d = Div(x, root)  e = Erf(d)  f = Add(e, half)  g = Mul(x, f)  y = Mul(g, half)",
        "a = Pow(x, three)  b = Mul(a, three)  c = Add(x, b)  d = Mul(c, k)  e = Tanh(d)  f = Add(e, one)  "
        "g = Mul(x, half)  y = Mul(g, f)",
        "a = Pow(w, three)  b = Mul(a, cubic)  c = Add(x, b)  d = Mul(c, k)  e = Tanh(d)  f = Add(e, one)  "
        "g = Mul(x, half)  y = Mul(g, f)",
    ],
)
def test_other_functions(optimize: Optimizer, body: str) -> None:
    optimized = optimize(model_of(body), NAME)
    assert optimized.after.graph.node == optimized.before.graph.node


def test_older_operator_sets_have_none(optimize: Optimizer) -> None:
    body = f"{ERF}  g = Mul(x, f)  y = Mul(g, half)"
    model = model_of(body)
    model.opset_import[0].version = 17
    optimized = optimize(model, NAME)
    assert "Gelu" not in optimized.operators
