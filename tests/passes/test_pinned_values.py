"""Values that a quantization annotation refers to by name stay, whatever could be made of the nodes around them."""

from __future__ import annotations

import onnx
import pytest

from tests.passes.optimizing import Optimizer, assert_equal_outputs, nodes_of

CONSTANTS = (
    "int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2}, int64[1] i3 = {3}, int64[2] rows = {-1, 5},"
    " int64[3] whole = {-1, 4, 5}, float zero = {0}, float one = {1}, float two = {2}, int64[2] i11 = {1, 1},"
    " int64[6] pads = {0, 0, 1, 0, 0, 1}, int64[2] halves = {2, 2}"
)


@pytest.mark.parametrize(
    "body",
    [
        "m = Reshape(x, rows)  a = Reshape(m, whole)  e = Exp(a)",
        "m = Transpose<perm = [1, 2, 0]>(x)  a = Transpose<perm = [1, 2, 0]>(m)  e = Exp(a)",
        "m = Flatten<axis = 2>(x)  a = Transpose<perm = [1, 0]>(m)  e = Exp(a)",
        "m = Unsqueeze(x, i0)  a = Squeeze(m, i0)  e = Exp(a)",
        "m = Slice(x, i1, i3, i1)  a = Slice(m, i0, i2, i2)  e = Exp(a)",
        "m = Concat<axis = 0>(x, x)  a = Concat<axis = 0>(m, x)  e = Exp(a)",
        "m = Concat<axis = 0>(x, x)  a = Slice(m, i0, i2, i0)  e = Exp(a)",
        "m = Clip(x, zero, two)  a = Clip(m, one, two)  e = Exp(a)",
        "m = Cast<to = 11>(x)  a = Cast<to = 1>(m)  e = Exp(a)",
        "m = Pad(x, pads)  a = Pad(m, pads)  e = Exp(a)",
        "m = Add(x, one)  a = Add(m, two)  e = Exp(a)",
        "m = Neg(x)  a = Neg(m)  e = Exp(a)",
        "m, k = Split<axis = 1>(x, halves)  a, b = Split<axis = 1>(m, i11)  e = Concat<axis = 1>(k, a, b)",
        "m = Gather<axis = 1>(x, i1)  a = Gather<axis = 1>(m, i0)  e = Exp(a)",
        "m = Mul(x, two)  s = Sigmoid(m)  e = Mul(m, s)",
    ],
)
def test_a_value_with_an_annotation_stays(optimize: Optimizer, body: str) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[2, 4, 5] x) => (float[p, q] y) <{CONSTANTS}>'
        f" {{ {body}  y = Flatten<axis = 0>(e) }}"
    )
    model.graph.quantization_annotation.add(tensor_name="m")
    optimized = optimize(model)
    assert any("m" in node.output for node in nodes_of(optimized.after))
    assert_equal_outputs(optimized, tolerance=1e-6)
