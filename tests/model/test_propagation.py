"""Propagation through dynamic shapes, scopes and functions, and what it does with odd models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, parser

from onnxctl.model.dimensions import evaluate, is_known, symbol
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import Model, open_model
from onnxctl.model.propagation import Fact, Propagation, propagate
from tests.conftest import SAMPLES

Opener = Callable[[ModelProto | str], ModelGraphs]


def is_complete(fact: Fact) -> bool:
    """Whether the type and every dimension are known, up to symbols of the model's own."""
    if fact.kind in ("sequence", "optional"):
        return fact.element is not None and is_complete(fact.element)
    if fact.kind == "map":
        return True
    return fact.dtype is not None and fact.shape is not None and all(map(is_known, fact.shape))


@pytest.fixture
def graphs_of(tmp_path: Path) -> Opener:
    """Opens a model given as a proto or as ONNX text."""

    def graphs_of(model: ModelProto | str) -> ModelGraphs:
        proto = parser.parse_model(model) if isinstance(model, str) else model
        path = tmp_path / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        return ModelGraphs(open_model(str(path)))

    return graphs_of


def model_text(body: str, *, opset: int = 18, functions: str = "", more: str = "") -> str:
    return f'<ir_version: 10, opset_import: ["" : {opset}, "local" : 1]{more}> {body} {functions}'


def shown(found: Propagation, name: str) -> str:
    shape = found.top.shape(name)
    return "?" if shape is None else f"[{', '.join(map(str, shape))}]"


# ---------------------------------------------------------------- shapes as contents


RESHAPE_CHAIN = model_text("""
agraph (float[batch, seq, 768] x) => (y)
<int64 zero = {0}, int64 one = {1}, int64[1] heads = {12}, int64[1] rest = {-1}, int64[1] axes = {0}> {
    shape = Shape (x)
    b = Gather (shape, zero)
    s = Gather (shape, one)
    b1 = Unsqueeze (b, axes)
    s1 = Unsqueeze (s, axes)
    target = Concat <axis = 0> (b1, s1, heads, rest)
    split = Reshape (x, target)
    y = Transpose <perm = [0, 2, 1, 3]> (split)
}""")


def test_a_reshape_chain_is_solved_symbolically(graphs_of: Opener) -> None:
    found = propagate(graphs_of(RESHAPE_CHAIN))
    assert shown(found, "split") == "[batch, seq, 12, 64]"
    assert shown(found, "y") == "[batch, 12, seq, 64]"
    assert [str(each) for each in found.top.integers("target") or ()] == ["batch", "seq", "12", "-1"]
    assert found.top.values("b") == (symbol("batch"),)
    assert found.top.element_type("y") == TensorProto.FLOAT
    assert not found.assumptions


def test_symbols_can_be_bound_from_the_start(graphs_of: Opener) -> None:
    graphs = graphs_of(RESHAPE_CHAIN)
    found = propagate(graphs, dims={"batch": 2, "seq": symbol("half") * 2})
    assert shown(found, "y") == "[2, 12, 2*half, 64]"
    assert propagate(graphs, dims={"batch": 2, "seq": 3}).top.static_shape("y") == (2, 12, 3, 64)
    assert found.top.static_shape("y") is None


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ("y = Slice (x, one, big, axes)", "[max(n - 1, 0), 4]"),
        ("y = Slice (x, zeros, minus, axes)", "[max(n - 1, 0), 4]"),
        ("y = Slice (x, minus, big, axes)", "[min]"),
        ("y = Concat <axis = 0> (x, x)", "[2*n, 4]"),
        ("y = Flatten <axis = 0> (x)", "[1, 4*n]"),
        ("y = Pad (x, pads)", "[n + 3, 10]"),
        ("y = Tile (x, two)", "[2*n, 12]"),
        ("r = Size (x) y = Range (zero, r, step)", "[((n + 2)//3) + n]"),
        ("s = Shape (x) y = ConstantOfShape (s)", "[n, 4]"),
        ("y = Expand (x, three)", "[3, n, 4]"),
        (
            "s = Shape (x) p = ReduceProd <keepdims = 0> (s) q = Div (p, step) r = Unsqueeze (q, axes) "
            "y = Expand (zero, r)",
            "[(n//3) + n]",
        ),
        (
            "s = Shape (x) f = Cast <to = 1> (s) h = Mul (f, half) c = Floor (h) i = Cast <to = 7> (c) "
            "y = Expand (zero, i)",
            "[n//2, 2]",
        ),
        ("s = Shape (x) e = Equal (s, ones) w = Where (e, s, s) y = ConstantOfShape (w)", "[n, 4]"),
        ("y = Reshape (x, flat)", "[4*n]"),
        ("y = Reshape (x, pairs)", "[2*n, 2]"),
        ("y, z = Split <axis = 0, num_outputs = 2> (x)", "[(n + 1)//2, 4]"),
        ("z, y = Split <axis = 0, num_outputs = 2> (x)", "[n - ((n + 1)//2), 4]"),
        ("t = NonZero (x) y = Transpose (t)", "[?t.1, 2]"),
    ],
)
def test_dynamic_shapes(graphs_of: Opener, nodes: str, shape: str) -> None:
    text = f"""agraph (float[n, 4] x) => (y)
    <int64[1] one = {{1}}, int64[1] zeros = {{0}}, int64[1] minus = {{-1}}, int64[1] big = {{9223372036854775807}},
     int64[1] axes = {{0}}, int64[4] pads = {{1, 2, 2, 4}}, int64[2] two = {{2, 3}}, int64 zero = {{0}},
     int64 step = {{3}}, int64[3] three = {{3, 1, 4}},
     float half = {{0.5}}, int64[2] ones = {{-1, -1}}, int64[1] flat = {{-1}},
     int64[2] pairs = {{-1, 2}}> {{ {nodes} }}"""
    found = propagate(graphs_of(model_text(text)))
    if shape == "[min]":
        length = (found.top.shape("y") or ())[0]
        assert [evaluate(length, {"n": size}) for size in range(4)] == [0, 1, 1, 1]
    else:
        assert shown(found, "y") == shape


OLD_OPSETS = [
    (11, "y = Squeeze <axes = [1]> (x)", "[n, 6]"),
    (13, "y = Squeeze (x, one)", "[n, 6]"),
    (11, "y = Unsqueeze <axes = [0, 4]> (x)", "[1, n, 1, 6, 1]"),
    (12, "y = ReduceSum <axes = [2], keepdims = 0> (x)", "[n, 1]"),
    (13, "y = ReduceSum <keepdims = 0> (x, two)", "[n, 1]"),
    (13, "y = ReduceMean <axes = [2], keepdims = 0> (x)", "[n, 1]"),
    (17, "y = ReduceMax <axes = [2]> (x)", "[n, 1, 1]"),
    (18, "y = ReduceMax (x, two)", "[n, 1, 1]"),
    (18, "y = ReduceL2 <noop_with_empty_axes = 1> (x)", "[n, 1, 6]"),
    (9, "y = Slice <axes = [2], starts = [1], ends = [-1]> (x)", "[n, 1, 4]"),
    (10, "y = Slice (x, one, five, two)", "[n, 1, 4]"),
    (2, "y = Pad <pads = [0, 0, 1, 0, 0, 2]> (x)", "[n, 1, 9]"),
    (11, "y = Pad (x, pads)", "[n, 1, 9]"),
    (18, "y = Pad (x, pair, , two)", "[n, 1, 9]"),
    (9, "y, z = TopK <axis = 2, k = 2> (x)", "[n, 1, 2]"),
    (10, "y, z = TopK <axis = 2> (x, two)", "[n, 1, 2]"),
    (11, "y, z = Split <axis = 2, split = [2, 4]> (x)", "[n, 1, 2]"),
    (13, "y, z = Split <axis = 2> (x)", "[n, 1, 3]"),
    (9, "y = Upsample (x, scales)", "[n, 2, 9]"),
    (10, "y = Resize (x, scales)", "[n, 2, 9]"),
    (13, "y = Resize (x, , scales)", "[n, 2, 9]"),
    (13, "y = Resize (x, , , target)", "[4, 5, 7]"),
    (18, "y = Resize <axes = [2]> (x, , , two)", "[n, 1, 2]"),
    (1, "y = Reshape <shape = [-1, 2]> (x)", "[3*n, 2]"),
    (14, "y = Reshape (x, copied)", "[n, 1, 3, 2]"),
    (14, "y = Reshape <allowzero = 1> (x, none)", "[0, 4]"),
    (6, "y = Add <broadcast = 1> (x, x)", "[n, 1, 6]"),
    (6, "y = Tile (x, pads3)", "[2*n, 1, 18]"),
    (11, "y = Softmax <axis = 1> (x)", "[n, 1, 6]"),
    (15, "y = Shape <start = 1> (x)", "[2]"),
    (12, 'y = Einsum <equation = "aib,acb->ac"> (x, x)', "[n, 1]"),
    (12, 'y = Einsum <equation = "...b,...b"> (x, x)', "[n, 1]"),
]


@pytest.mark.parametrize(("opset", "node", "shape"), OLD_OPSETS)
def test_each_opset_has_its_own_rules(graphs_of: Opener, opset: int, node: str, shape: str) -> None:
    text = f"""agraph (float[n, 1, 6] x) => (y)
    <int64[1] one = {{1}}, int64[1] two = {{2}}, int64[1] five = {{5}}, int64[6] pads = {{0, 0, 1, 0, 0, 2}},
     int64[2] pair = {{1, 2}}, float[3] scales = {{1, 2, 1.5}}, int64[3] target = {{4, 5, 7}},
     int64[4] copied = {{0, 0, -1, 2}},
     int64[2] none = {{0, 4}}, int64[3] pads3 = {{2, 1, 3}}> {{ {node} }}"""
    assert shown(propagate(graphs_of(model_text(text, opset=opset))), "y") == shape


def test_integers_are_divided_towards_zero(graphs_of: Opener) -> None:
    text = """agraph (float[n] x) => (y, z) <int64[1] three = {3}, int64[1] two = {2}> {
        s = Shape (x) d = Sub (s, three) y = Div (d, two) z = Mod (d, two)
    }"""
    found = propagate(graphs_of(model_text(text)))
    (quotient,), (remainder,) = found.top.integers("y") or (0,), found.top.integers("z") or (0,)
    assert [evaluate(quotient, {"n": size}) for size in range(7)] == [-1, -1, 0, 0, 0, 1, 1]
    assert [evaluate(remainder, {"n": size}) for size in range(7)] == [1, 0, 1, 0, 1, 0, 1]


def test_empty_tensors_can_be_left_aside(graphs_of: Opener) -> None:
    graphs = graphs_of(
        model_text("""agraph (float[n, 4] x) => (y)
        <int64[1] one = {1}, int64[1] big = {9223372036854775807}> { y = Slice (x, one, big) }""")
    )
    assert shown(propagate(graphs, smallest_dimension=1), "y") == "[n - 1, 4]"


# ---------------------------------------------------------------- stated and computed


def test_what_must_be_equal_is_recorded(graphs_of: Opener) -> None:
    found = propagate(graphs_of(model_text("agraph (float[a, 8] x, float[b, 8] z) => (y) { y = Add (x, z) }")))
    assert [(each.message, each.contradiction) for each in found.assumptions] == [("assumed equal: a = b", False)]
    found = propagate(graphs_of(model_text("agraph (float[2, 8] x, float[3, 8] z) => (y) { y = Add (x, z) }")))
    assert [each.contradiction for each in found.assumptions] == [True]


def test_a_broadcast_of_two_symbols_is_one_of_its_own_where_nothing_is_assumed(graphs_of: Opener) -> None:
    graphs = graphs_of(model_text("agraph (float[a, 8] x, float[b, 1] z) => (y, w) { y = Add (x, z) w = Mul (z, x) }"))
    found = propagate(graphs, assume_equal=False)
    assert shown(found, "y") == shown(found, "w") == "[?broadcast(a, b), 8]"
    assert not found.assumptions


@pytest.mark.parametrize(("cap", "sum_of_both"), [(9, "[n]"), (1, "[?broadcast(n, n - max(n - 1, 0))]")])
def test_a_size_fits_its_own_minimum_with_a_number_where_it_is_that(
    graphs_of: Opener, cap: int, sum_of_both: str
) -> None:
    text = f"""agraph (float[n] x, float[{cap}] table) => (y) <int64[1] zero = {{0}}> {{
        n = Shape (x) t = Slice (table, zero, n, zero) y = Add (x, t) }}"""
    found = propagate(graphs_of(model_text(text)), assume_equal=False)
    assert shown(found, "y") == sum_of_both


def test_what_is_computed_wins_over_what_is_stated(graphs_of: Opener) -> None:
    found = propagate(graphs_of(model_text("agraph (float[2, 3] x) => (float[2, 7] y) { y = Relu (x) }")))
    assert shown(found, "y") == "[2, 3]"
    assert [each.message for each in found.assumptions] == ["contradiction: computed 3, stated 7"]


def test_what_is_stated_fills_what_nobody_computes(graphs_of: Opener) -> None:
    found = propagate(graphs_of(model_text("agraph (float[n] x) => (float[n, 7] y) { y = local.Own (x) }")))
    assert shown(found, "y") == "[n, 7]"
    found = propagate(graphs_of(model_text("agraph (float[n] x) => (int64[1, k] y) { y = NonZero (x) }")))
    assert shown(found, "y") == "[1, k]"
    assert not is_complete(found.top.fact("y"))


def test_an_overridable_initializer_is_no_constant(graphs_of: Opener) -> None:
    text = "agraph (float[n, 6] x, int64[2] target) => (y) <int64[2] target = {-1, 3}> { y = Reshape (x, target) }"
    found = propagate(graphs_of(model_text(text)))
    assert all(not isinstance(dim, int) for dim in found.top.shape("y") or ())


# ---------------------------------------------------------------- scopes


def test_branches_are_joined(graphs_of: Opener) -> None:
    text = """agraph (float[n, 4] x, bool c) => (y, same) {
        y, same = If (c) <then_branch = t () => (a, b) { a = Concat <axis = 0> (x, x) b = Neg (x) },
                          else_branch = e () => (a2, b2) { a2 = Relu (x) b2 = Abs (x) }>
    }"""
    graphs = graphs_of(model_text(text))
    found = propagate(graphs)
    assert shown(found, "y") == "[?y.0, 4]"
    assert shown(found, "same") == "[n, 4]"
    (node,) = graphs.top.nodes
    then_branch, else_branch = found.top.scopes_in(node)
    assert then_branch.shape("a") == (2 * symbol("n"), 4)
    assert (then_branch.trip_count, else_branch.trip_count) == (1, 1)


def test_a_condition_that_is_known_decides(graphs_of: Opener) -> None:
    text = """agraph (float[n, 4] x) => (y) <int64 four = {4}, int64 at = {1}> {
        s = Shape (x)
        d = Gather (s, at)
        c = Equal (d, four)
        y = If (c) <then_branch = t () => (a) { a = Relu (x) }, else_branch = e () => (b) { b = Shape (x) }>
    }"""
    graphs = graphs_of(model_text(text))
    found = propagate(graphs)
    assert shown(found, "y") == "[n, 4]"
    assert [scope.trip_count for scope in found.top.scopes_in(graphs.top.nodes[-1])] == [1, 0]


LOOP = """agraph (float[n, 4] x) => (kept, grown, stacked) <int64 trips = {%s}, bool yes = {1}> {
    kept, grown, stacked = Loop (trips, yes, x, x) <body = b (int64 i, bool c, float[p, q] k, float[r, q] g) =>
        (c_out, k_out, g_out, s) {
        c_out = Identity (c)
        k_out = Relu (k)
        g_out = Concat <axis = 0> (g, k)
        s = ReduceSum <keepdims = 0> (k)
    }>
}"""


def test_loops_reach_a_fixed_point(graphs_of: Opener) -> None:
    graphs = graphs_of(model_text(LOOP % 5))
    found = propagate(graphs)
    assert shown(found, "kept") == "[n, 4]"
    assert shown(found, "grown") == "[?grown.0, 4]"
    assert shown(found, "stacked") == "[5]"
    (body,) = found.top.scopes_in(graphs.top.nodes[0])
    assert body.trip_count == 5
    inside = {str(dim) for name in body.facts for dim in body.shape(name) or ()}
    assert not inside & {str(dim) for name in found.top.facts for dim in found.top.shape(name) or () if "?" in str(dim)}


def test_a_loop_that_never_starts_makes_nothing(graphs_of: Opener) -> None:
    found = propagate(graphs_of(model_text((LOOP % 5).replace("yes = {1}", "yes = {0}"))))
    assert shown(found, "stacked") == "[0]"
    assert shown(found, "kept") == "[n, 4]"


def test_trips_that_depend_on_data_are_unknown(graphs_of: Opener) -> None:
    text = LOOP.replace("<int64 trips = {%s}, bool yes = {1}>", "<bool yes = {1}>").replace(
        "x) =>", "x, int64 trips) =>", 1
    )
    graphs = graphs_of(model_text(text))
    found = propagate(graphs)
    (body,) = found.top.scopes_in(graphs.top.nodes[0])
    assert found.top.shape("stacked") == (body.trip_count,)
    assert not is_complete(found.top.fact("stacked"))


FUNCTIONS = """
<domain: "local", opset_import: ["" : 18, "local" : 1]> Twice <axis> (x) => (y) {
    y = Concat <axis : int = @axis> (x, x)
}
<domain: "local", opset_import: ["" : 18, "local" : 1]> Outer (x) => (y) { z = local.Twice <axis = 1> (x) y = Relu (z) }
"""


def test_functions_are_walked_for_each_call(graphs_of: Opener) -> None:
    text = """agraph (float[n, 4] x) => (y, z, o) {
        y = local.Twice <axis = 0> (x) z = local.Twice <axis = 1> (y) o = local.Outer (x)
    }"""
    graphs = graphs_of(model_text(text, functions=FUNCTIONS))
    found = propagate(graphs)
    assert (shown(found, "y"), shown(found, "z"), shown(found, "o")) == ("[2*n, 4]", "[2*n, 8]", "[n, 8]")
    (body,) = found.top.scopes_in(graphs.top.nodes[0])
    attribute = body.attribute(body.graph.nodes[0], "axis")
    assert attribute is not None and attribute.i == 0
    joined = found.of(body.graph)
    assert joined is not None
    assert len(joined.shape("y") or ()) == 2
    assert all(not isinstance(dim, int) for dim in joined.shape("y") or ())


def test_unknown_sizes_of_two_calls_are_two_sizes(graphs_of: Opener) -> None:
    functions = '<domain: "local", opset_import: ["" : 18]> Find (x) => (y) { y = NonZero (x) }'
    text = "agraph (float[n] x) => (y, z) { y = local.Find (x) z = local.Find (x) }"
    found = propagate(graphs_of(model_text(text, functions=functions)))
    assert found.top.shape("y") != found.top.shape("z")


def test_the_transformer_block_is_fully_known() -> None:
    graphs = ModelGraphs(open_model(str(SAMPLES / "transformer_block.onnx")))
    found = propagate(graphs)
    assert all(is_complete(found.top.fact(name)) for node in graphs.top.nodes for name in node.output)


# ---------------------------------------------------------------- odd and hostile models


def test_malformed_nodes_are_unknown_and_told(graphs_of: Opener) -> None:
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 0, 7])
    bad = helper.make_node("Concat", ["x", "x"], ["z"], axis=9)
    conv = helper.make_node("Conv", ["x", "x"], ["w"], strides=[0, 0])
    few = helper.make_node("Gather", [], ["v"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 8, 8])
    outputs = [helper.make_empty_tensor_value_info(name) for name in "yzwv"]
    found = propagate(graphs_of(helper.make_model(helper.make_graph([node, bad, conv, few], "g", [x], outputs))))
    assert [found.top.shape(name) for name in "yzwv"] == [None] * 4
    assert sum("not understood" in each.message for each in found.assumptions) >= 3


def test_recursive_functions_end(graphs_of: Opener) -> None:
    functions = (
        '<domain: "local", opset_import: ["" : 18, "local" : 1]> Me (x) => (y) { z = local.Me (x) y = Relu (z) }'
    )
    text = "agraph (float[n] x) => (float[n] y) { y = local.Me (x) }"
    assert shown(propagate(graphs_of(model_text(text, functions=functions))), "y") == "[n]"


def test_functions_that_double_at_each_level_are_bounded(graphs_of: Opener) -> None:
    """F30 calls F29 twice on shapes that differ, and so on: 2**30 calls in all."""
    levels = 30
    functions = ['<domain: "local", opset_import: ["" : 18]> F0 (x) => (y) { y = Concat <axis = 0> (x, x) }']
    for level in range(1, levels):
        below = f"local.F{level - 1}"
        functions.append(
            f'<domain: "local", opset_import: ["" : 18, "local" : 1]> F{level} (x) => (y) '
            f"{{ a = {below} (x) b = Concat <axis = 0> (x, a) y = {below} (b) }}"
        )
    text = f"agraph (float[n] x) => (y) {{ y = local.F{levels - 1} (x) }}"
    found = propagate(graphs_of(model_text(text, functions=" ".join(functions))))
    assert not found.complete


def test_functions_called_alike_are_walked_once(graphs_of: Opener) -> None:
    """2**40 calls in all, of 40 bodies."""
    functions = ['<domain: "local", opset_import: ["" : 18]> F0 (x) => (y) { y = Relu (x) }']
    for level in range(1, 31):
        below = f"local.F{level - 1}"
        functions.append(
            f'<domain: "local", opset_import: ["" : 18, "local" : 1]> F{level} (x) => (y) '
            f"{{ a = {below} (x) y = {below} (a) }}"
        )
    text = "agraph (float[n] x) => (y) { y = local.F30 (x) }"
    found = propagate(graphs_of(model_text(text, functions=" ".join(functions))))
    assert shown(found, "y") == "[n]"
    assert len(list(found.top.walk())) == 32


def test_long_chains_need_no_stack(graphs_of: Opener) -> None:
    count = 50_000
    nodes = [helper.make_node("Concat", [f"v{i}", "x"], [f"v{i + 1}"], axis=0) for i in range(count)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    nodes[0].input[0] = "x"
    graph = helper.make_graph(nodes, "g", [x], [helper.make_empty_tensor_value_info(f"v{count}")])
    found = propagate(graphs_of(helper.make_model(graph)))
    assert shown(found, f"v{count}") == f"[{count + 1}*n, 4]"


def test_a_rank_no_runtime_has_is_unknown(graphs_of: Opener) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1] * 200_000)
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [x], [helper.make_empty_tensor_value_info("y")])
    found = propagate(graphs_of(helper.make_model(graph)))
    assert found.top.shape("y") is None and found.top.element_type("y") == TensorProto.FLOAT


def test_a_cycle_leaves_what_is_stated(graphs_of: Opener) -> None:
    nodes = [helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("b", TensorProto.FLOAT, [3])])
    assert propagate(graphs_of(helper.make_model(graph))).top.shape("b") is None


_OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_node_makes_it_raise(data: st.DataObject) -> None:
    """Any operator with any inputs and attributes."""
    op_type = data.draw(st.sampled_from(_OPERATORS))
    schema = onnx.defs.get_schema(op_type)
    values = ["x", "v", "i", "u", "b", "s", ""]
    inputs = data.draw(st.lists(st.sampled_from(values), max_size=6))
    node = helper.make_node(op_type, inputs, ["y", "z"])
    anything = st.one_of(
        st.integers(-4, 70000),
        st.lists(st.integers(-4, 9), min_size=1, max_size=5),
        st.floats(width=32),
        st.text(max_size=5),
    )
    for name in schema.attributes:
        if data.draw(st.booleans()):
            node.attribute.append(helper.make_attribute(name, data.draw(anything)))
    sizes: st.SearchStrategy[str | int | None] = st.sampled_from(["n", "m", 0, 1, 2, 3, 8])
    shape = data.draw(st.none() | st.lists(sizes, max_size=5))
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("v", TensorProto.INT64, [data.draw(st.integers(0, 4))]),
            helper.make_tensor_value_info("u", 0, None),
        ],
        [],
        [
            helper.make_tensor(
                "i", TensorProto.INT64, [3], data.draw(st.lists(st.integers(-3, 9), min_size=3, max_size=3))
            ),
            helper.make_tensor("b", TensorProto.BOOL, [1], [data.draw(st.booleans())]),
            helper.make_tensor("s", TensorProto.INT64, [], [data.draw(st.integers(-(2**63), 2**63 - 1))]),
        ],
    )
    model = Model(helper.make_model(graph), "model.onnx", None, [])  # type: ignore[arg-type]
    found = propagate(ModelGraphs(model))
    for name in ("y", "z"):
        fact = found.top.fact(name)
        assert fact.shape is None or all(not isinstance(dim, int) or dim >= 0 for dim in fact.shape)


def test_a_backward_slice_that_starts_before_all_starts_at_the_first(graphs_of: Opener) -> None:
    found = propagate(
        graphs_of("""<ir_version: 8, opset_import: ["" : 17]> agraph (bool[2] x) => (int64[n] y)
        <int64[1] start = {-2}, int64[1] end = {-9}, int64[1] axes = {0}, int64[1] steps = {-2}>
        { s = Shape (x) y = Slice (s, start, end, axes, steps) }""")
    )
    assert found.top.values("y") == (2,)


def test_a_backward_slice_to_the_largest_end_is_left_open(graphs_of: Opener) -> None:
    found = propagate(
        graphs_of("""<ir_version: 8, opset_import: ["" : 17]> agraph (bool[2] x) => (int64[n] y)
        <int64[1] start = {0}, int64[1] end = {9223372036854775807}, int64[1] axes = {0}, int64[1] steps = {-1}>
        { s = Shape (x) y = Slice (s, start, end, axes, steps) }""")
    )
    assert found.top.values("y") is None


def test_a_transposed_convolution_whose_kernel_is_shorter_than_its_stride(graphs_of: Opener) -> None:
    found = propagate(
        graphs_of("""<ir_version: 8, opset_import: ["" : 17]>
        agraph (float[1, 1, 2] x, float[1, 1, 1] w, float[1, 1, 3] v) => (float[a, b, c] y, float[a, b, d] z)
        { y = ConvTranspose <auto_pad = "SAME_UPPER", strides = [2]> (x, w)
          z = ConvTranspose <auto_pad = "SAME_UPPER", strides = [2]> (x, v) }""")
    )
    assert found.top.static_shape("y") is None
    assert found.top.static_shape("z") == (1, 1, 4)


# ---------------------------------------------------------------- sequences


def test_how_many_a_sequence_holds_is_followed(graphs_of: Opener) -> None:
    found = propagate(
        graphs_of(
            model_text("""
            agraph (float[batch, seq, 3] x, float[batch, 2, 3] y) => (a, b, c, d, e, n) <int64 first = {0}> {
                rows = SplitToSequence <axis = 1, keepdims = 0> (x)
                a = ConcatFromSequence <axis = 0, new_axis = 1> (rows)
                none = SequenceEmpty ()
                one = SequenceInsert (none, y)
                two = SequenceInsert (one, y, first)
                b = ConcatFromSequence <axis = 1> (two)
                fewer = SequenceErase (two)
                c = ConcatFromSequence <axis = 1, new_axis = 1> (fewer)
                pair = SequenceConstruct (x, y)
                d = ConcatFromSequence <axis = 1> (pair)
                mapped = SequenceMap <body = each (float[p, q, 3] i) => (float[p, q, 3] o) { o = Relu (i) }> (two)
                e = ConcatFromSequence <axis = 0> (mapped)
                n = SequenceLength (pair)
            }""")
        )
    )
    assert [shown(found, name) for name in "abce"] == [
        "[seq, batch, 3]", "[batch, 4, 3]", "[batch, 1, 2, 3]", "[2*batch, 2, 3]"
    ]  # fmt: skip
    assert "joined" in shown(found, "d")
    assert found.top.values("n") == (2,)


def test_a_loop_that_grows_a_sequence_leaves_its_length_open(graphs_of: Opener) -> None:
    found = propagate(
        graphs_of(
            model_text("""
            agraph (float[3] x) => (n) <int64 trips = {4}, bool go = {1}> {
                none = SequenceEmpty ()
                full = Loop <body = step (int64 i, bool c, seq(float[3]) before) => (bool again, seq(float[3]) after) {
                    again = Identity (c)
                    after = SequenceInsert (before, x)
                }> (trips, go, none)
                n = SequenceLength (full)
            }""")
        )
    )
    assert found.top.values("n") is None


@pytest.mark.parametrize(
    ("body", "dims"),
    [
        ("(float[n, 6] x) => (y) <int64[2] s = {4, 3}> { y = Reshape (x, s) }", {"n": 3}),
        ("(float[n, 4] x) => (a, b) <int64[2] s = {3, 3}> { a, b = Split <axis = 0> (x, s) }", {"n": 4}),
        ("(float[n, 4] x) => (y) <int64[1] a = {0}> { y = Squeeze (x, a) }", {"n": 3}),
        ("(float[1, c, 8, 8] x, float[4, 3, 3, 3] w) => (y) { y = Conv (x, w) }", {"c": 4}),
        ("(float[1, c, 8, 8] x, float[4, 3, 3, 3] w) => (y) { y = Conv <group = 2> (x, w) }", {"c": 3}),
    ],
)
def test_sizes_that_do_not_fit_an_operator_are_told(body: str, dims: dict[str, int], graphs_of: Opener) -> None:
    graphs = graphs_of(model_text(f"agraph {body}"))
    assert not any(each.contradiction for each in propagate(graphs).assumptions)
    assert [each.contradiction for each in propagate(graphs, dims=dims).assumptions] == [True]
