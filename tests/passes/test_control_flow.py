"""Branches, loops and functions that need not be one go; names stay unique, outer values are still seen."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxctl.model.propagation.walk import MAXIMUM_FUNCTION_DEPTH
from tests.passes.optimizing import Optimizer, assert_equal_outputs

BRANCHES = """
    y = If (c) <
        then_branch = one () => (float[n] o) <float two = {2}> { a = Add(x, two)  o = Mul(a, x) },
        else_branch = two () => (float[n] o) { a = Neg(x)  o = Exp(a) }
    >"""


def _if(condition: str, body: str = BRANCHES, opset: int = 17) -> str:
    return (
        f'<ir_version: 8, opset_import: ["" : {opset}]> agraph (float[n] x, bool flag) => (float[n] y)'
        f" <bool yes = {{1}}, bool no = {{0}}> {{ {condition}  {body} }}"
    )


def _feeds(flag: bool = True) -> dict[str, np.ndarray]:
    return {"x": np.array([1.5, -2, 0.25], np.float32), "flag": np.array(flag)}


@pytest.mark.parametrize(("condition", "left"), [("yes", {"Add": 1, "Mul": 1}), ("no", {"Neg": 1, "Exp": 1})])
def test_a_constant_condition_takes_its_branch(optimize: Optimizer, condition: str, left: dict[str, int]) -> None:
    optimized = optimize(_if(f"c = Identity({condition})"), "eliminate_identity", "inline_if", "remove_unused")
    assert optimized.operators == left
    assert_equal_outputs(optimized, _feeds())


def test_a_condition_on_sizes_is_known_by_propagation(optimize: Optimizer) -> None:
    condition = "s = Shape(x)  r = Size(s)  k = Constant<value_int = 1>()  c = Equal(r, k)"
    optimized = optimize(_if(condition), "inline_if", "remove_unused")
    assert optimized.operators == {"Add": 1, "Mul": 1}
    assert_equal_outputs(optimized, _feeds())


def test_a_computed_condition_stays(optimize: Optimizer) -> None:
    optimized = optimize(_if("c = Not(flag)"), "inline_if")
    assert optimized.operators["If"] == 1
    for flag in (True, False):
        assert_equal_outputs(optimized, _feeds(flag))


def test_names_stay_unique_where_branches_share_them(optimize: Optimizer) -> None:
    body = """
    z = If (yes) <
        then_branch = one () => (float[n] o) { a = Neg(x)  o = Exp(a) },
        else_branch = two () => (float[n] o) { o = Identity(x) }
    >
    y = If (flag) <
        then_branch = three () => (float[n] o) { a = Abs(z)  o = Exp(a) },
        else_branch = four () => (float[n] o) {
            o = If (no) <
                then_branch = five () => (float[n] p) { p = Identity(x) },
                else_branch = six () => (float[n] p) { a = Sin(z)  b = Add(a, x)  p = Cos(b) }
            >
        }
    >"""
    optimized = optimize(_if("", body), "inline_if", "remove_unused")
    assert optimized.operators["If"] == 1
    for flag in (True, False):
        assert_equal_outputs(optimized, _feeds(flag))


def test_branches_that_hand_on_outer_values_and_constants(optimize: Optimizer) -> None:
    body = """
    y, z = If (yes) <
        then_branch = one () => (float[n] o, float k) <float k = {3}> { o = Identity(x) },
        else_branch = two () => (float[n] o, float q) { o = Neg(x)  q = Constant<value_float = 1.0>() }
    >"""
    text = _if("", body).replace("=> (float[n] y)", "=> (float[n] y, float z)")
    optimized = optimize(text, "inline_if", "remove_unused")
    assert "If" not in optimized.operators
    assert_equal_outputs(optimized, _feeds())


def test_inside_a_function_before_initializers(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        agraph (float[n] x) => (float[n] y) { a = local.f(x)  y = local.f(a) }
        <opset_import: ["" : 17], domain: "local">
        f (v) => (w) {
            yes = Constant<value = bool {1}>()
            w = If (yes) <
                then_branch = one () => (float[n] o) <float two = {2}> { o = Mul(v, two) },
                else_branch = two () => (float[n] o) { o = Neg(v) }
            >
        }"""
    optimized = optimize(text, "inline_if", "remove_unused")
    assert optimized.operators["If"] == 0
    assert_equal_outputs(optimized, {"x": np.array([1, 2], np.float32)})


LOOP = """
    y, s = Loop (m, {condition}, x) <body = step (int64 i, bool go, float[n] v) => (bool on, float[n] w, float[n] t) {{
        on = Identity(go)  f = Cast<to = 1>(i)  a = Add(v, f)  w = Mul(a, x)  t = Neg(w)
    }}>"""


def _loop(trips: int, body: str) -> str:
    return (
        '<ir_version: 8, opset_import: ["" : 17]> agraph (float[n] x, bool flag) => (float[n] y, float[p, n] s)'
        f" <int64 m = {{{trips}}}, bool yes = {{1}}> {{ {body} }}"
    )


def test_a_loop_of_one_iteration_is_its_body(optimize: Optimizer) -> None:
    optimized = optimize(_loop(1, LOOP.format(condition="yes")), "unroll_loops", "remove_unused")
    assert "Loop" not in optimized.operators
    assert_equal_outputs(optimized, _feeds())


@pytest.mark.parametrize(("trips", "condition"), [(2, "yes"), (1, "flag"), (0, "yes")])
def test_loops_that_stay(optimize: Optimizer, trips: int, condition: str) -> None:
    optimized = optimize(_loop(trips, LOOP.format(condition=condition)), "unroll_loops", "remove_unused")
    assert optimized.operators["Loop"] == 1
    assert len(optimized.reasons) == 1


def test_a_loop_that_collects_several_results_is_fewer_nodes(optimize: Optimizer) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> agraph (float[n] x) => (float[p, n] s, float[p, n] t)
        <int64 m = {1}, bool yes = {1}> { s, t = Loop (m, yes) <body = step (int64 i, bool go) =>
        (bool on, float[n] v, float[n] w) { on = Identity(go)  v = Neg(x)  w = Exp(x) }> }"""
    assert optimize(text, "unroll_loops").operators["Loop"] == 1


@pytest.mark.parametrize("trips", [0, 1, 2])
def test_tiny_loops_without_collected_results(optimize: Optimizer, trips: int) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17]> agraph (float[n] x) => (float[n] y)
        <int64 m = {{{trips}}}, bool yes = {{1}}> {{
        y = Loop (m, yes, x) <body = step (int64 i, bool go, float[n] v) => (bool on, float[n] w) {{
            on = Identity(go)  w = Mul(v, x) }}> }}"""
    optimized = optimize(text, "unroll_loops", "remove_unused", "eliminate_identity")
    assert "Loop" not in optimized.operators
    assert_equal_outputs(optimized, {"x": np.array([1.5, -2], np.float32)})


def test_a_loop_that_ends_itself_stays(optimize: Optimizer) -> None:
    body = LOOP.format(condition="yes").replace("on = Identity(go)", "z = ReduceSum<keepdims = 0>(v)  on = Less(z, z)")
    assert optimize(_loop(1, body), "unroll_loops").operators["Loop"] == 1


FUNCTION = """<opset_import: ["" : 17], domain: "local">
    f <alpha, beta: float = 0.5> (v, w) => (r, q) {
        a = LeakyRelu<alpha: float = @alpha>(v)  b = LeakyRelu<alpha: float = @beta>(a)
        r = Add(b, v)  q = Identity(v)
    }"""


def test_a_function_that_is_called_once_is_inlined(optimize: Optimizer) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17, "local" : 1]> agraph (float[n] x) => (float[n] y)
        {{ a = Neg(x)  b, c = local.f<alpha = 0.25>(a)  y = Exp(b) }} {FUNCTION}"""
    optimized = optimize(text, "inline_functions", "remove_unused")
    assert not optimized.after.functions
    assert [item.domain for item in optimized.after.opset_import] == ["", "local"]
    assert optimized.operators == {"Neg": 1, "LeakyRelu": 2, "Add": 1, "Exp": 1}
    assert_equal_outputs(optimized, {"x": np.array([1.5, -2], np.float32)})


def test_a_function_that_is_called_twice_stays(optimize: Optimizer) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17, "local" : 1]> agraph (float[n] x) => (float[n] y)
        {{ b, c = local.f<alpha = 0.25>(x)  y, d = local.f<alpha = 0.5>(b) }} {FUNCTION}"""
    assert len(optimize(text, "inline_functions").after.functions) == 1


def test_a_function_for_another_opset_stays(optimize: Optimizer) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17, "local" : 1]> agraph (float[n] x) => (float[n] y)
        {{ y, d = local.f<alpha = 0.25>(x) }} {FUNCTION.replace("17", "16")}"""
    optimized = optimize(text, "inline_functions")
    assert len(optimized.after.functions) == 1
    assert len(optimized.reasons) == 1


def test_functions_within_functions(optimize: Optimizer) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17, "local" : 1]> agraph (float[n] x) => (float[n] y)
        {{ y = local.g(x) }} {FUNCTION}
        <opset_import: ["" : 17, "local" : 1], domain: "local"> g (v) => (r)
        {{ a = Neg(v)  r, q = local.f<alpha = 0.25>(a) }}"""
    model = onnx.parser.parse_model(text)
    optimized = optimize(model, "inline_functions", "remove_unused")
    assert not optimized.after.functions
    assert_equal_outputs(optimized, {"x": np.array([1.5, -2], np.float32)})


def test_a_long_chain_of_functions(optimize: Optimizer) -> None:
    """Each calls the next one, so that no body is plain before the last; all the same it takes few rounds."""
    count = 200
    links = "\n".join(
        f"""<opset_import: ["" : 17, "local" : 1], domain: "local"> f{at} (v) => (r)
        {{ a = Neg(v)  r = {f"local.f{at + 1}" if at + 1 < count else "Exp"}(a) }}"""
        for at in range(count)
    )
    text = f"""<ir_version: 8, opset_import: ["" : 17, "local" : 1]> agraph (float[n] x) => (float[n] y)
        {{ y = local.f0(x) }} {links}"""
    optimized = optimize(text, "inline_functions", "remove_unused", "eliminate_identity")
    assert not optimized.after.functions
    assert optimized.operators == {"Neg": count, "Exp": 1}
    assert optimized.result.rounds <= 10


CASTING = """<opset_import: ["" : 17], domain: "local"> h (v) => (w) { a = Cast<to = 1>(v)  w = Exp(a) }"""


@pytest.mark.parametrize(("other", "left"), [("float", 0), ("double", 1)])
def test_the_body_of_a_function_is_simplified_by_what_all_its_callers_give(
    optimize: Optimizer, other: str, left: int
) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17, "local" : 1]> agraph (float[2] x, {other}[2] z)
        => (float[2] y, float[2] w) {{ y = local.h(x)  w = local.h(z) }} {CASTING}"""
    optimized = optimize(text)
    assert optimized.operators["Cast"] == left
    assert_equal_outputs(optimized)


def test_a_call_too_deep_to_look_into_counts_as_one_of_any_type(optimize: Optimizer) -> None:
    """Only one call of h is seen, the one with a float."""
    count = MAXIMUM_FUNCTION_DEPTH
    links = "\n".join(
        f"""<opset_import: ["" : 17, "local" : 1], domain: "local"> f{at} (v) => (r)
        {{ a = Neg(v)  r = {f"local.f{at + 1}(a)" if at + 1 < count else "local.h(a)"} }}"""
        for at in range(count)
    )
    text = f"""<ir_version: 8, opset_import: ["" : 17, "local" : 1]> agraph (float[2] x, double[2] z)
        => (float[2] y, float[2] w) {{ y = local.h(x)  w = local.f0(z) }} {links} {CASTING}"""
    optimized = optimize(text, "eliminate_cast")
    assert optimized.operators["Cast"] == 1
    assert_equal_outputs(optimized)
