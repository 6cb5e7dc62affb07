"""remove_unused: what no output depends on goes, the interface and whatever may have effects stays."""

from __future__ import annotations

from tests.passes.optimizing import Optimizer, assert_equal_outputs

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


def test_dead_nodes_initializers_and_types_go(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (float[2] x, float[2] unused) => (float[2] y)
            <float[2] a = {1, 2}, float[2] b = {3, 4}, float[2] unused = {5, 6}, float[2] dead2> {
            dead1 = Add(x, b)
            dead2 = Neg(dead1)
            y = Add(x, a)
        }""",
        "remove_unused",
    )
    assert optimized.operators == {"Add": 1}
    assert [tensor.name for tensor in optimized.after.graph.initializer] == ["a", "unused"]
    assert not optimized.after.graph.value_info
    assert_equal_outputs(optimized)


def test_values_that_only_subgraphs_read_stay(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (bool c, float[2] x) => (float[2] y) {
            outer = Neg(x)
            y = If (c) <
                then_branch = one () => (float[2] t) { dead = Abs(x)  t = Identity(outer) },
                else_branch = two () => (float[2] e) { e = Identity(x) }
            >
        }""",
        "remove_unused",
    )
    assert optimized.operators == {"Neg": 1, "If": 1, "Identity": 2}


def test_optional_outputs_are_left_out_and_the_last_ones_cut_off(optimize: Optimizer) -> None:
    optimized = optimize(
        HEAD
        + """agraph (float[1, 1, 4, 4] x, float[2, 1, 3] s) => (float[1, 1, 2, 2] y, float[1, 1, 4] h)
            {
            y, indices = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
            all, h, c = LSTM<hidden_size = 4>(s, wide, recurrent)
            wide = ConstantOfShape<value = float[1] {0.5}>(ws)
            recurrent = ConstantOfShape<value = float[1] {0.5}>(rs)
            ws = Constant<value_ints = [1, 16, 3]>()
            rs = Constant<value_ints = [1, 16, 4]>()
        }""",
        "remove_unused",
    )
    outputs = {node.op_type: list(node.output) for node in optimized.after.graph.node}
    assert outputs["MaxPool"] == ["y"]
    assert outputs["LSTM"] == ["", "h"]
    assert_equal_outputs(optimized)


def test_outputs_of_split_stay(optimize: Optimizer) -> None:
    optimized = optimize(HEAD + "agraph (float[4] x) => (float[2] y) { y, z = Split(x) }", "remove_unused")
    assert list(optimized.after.graph.node[0].output) == ["y", "z"]


def test_unused_functions_go_and_nested_ones_stay(optimize: Optimizer) -> None:
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        agraph (float[2] x) => (float[2] y) { y = local.outer(x)  dead = local.unused(x) }
        <domain: "local", opset_import: ["" : 17, "local" : 1]> outer (x) => (y) { y = local.inner(x) }
        <domain: "local", opset_import: ["" : 17]> inner (x) => (y) { y = Neg(x) }
        <domain: "local", opset_import: ["" : 17]> unused (x) => (y) { y = Abs(x) }""",
        "remove_unused",
    )
    assert [function.name for function in optimized.after.functions] == ["outer", "inner"]
    assert_equal_outputs(optimized)


def test_operators_of_unknown_domains_may_have_effects(optimize: Optimizer) -> None:
    optimized = optimize(
        """<ir_version: 8, opset_import: ["" : 17, "vendor" : 1]>
        agraph (float[2] x) => (float[2] y) { dead = vendor.Log(x)  y = Neg(x) }""",
        "remove_unused",
    )
    assert optimized.operators == {"Log": 1, "Neg": 1}
    assert any("unknown domain" in reason for reason in optimized.reasons)
