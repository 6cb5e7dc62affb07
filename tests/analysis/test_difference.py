"""Comparing models: renames and order are no differences, every planted change is found and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper, parser

from onnxctl.analysis.difference.comparison import Difference, compare_models, matched_values
from onnxctl.analysis.difference.tensors import SAMPLE_BYTES, SAMPLE_COUNT, measure_distance
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.model.tensors import Tensor
from tests.conftest import SAMPLES, sample_paths, shared_paths

HEAD = '<ir_version: 10, opset_import: ["": 20]>'
CHAIN = f"""{HEAD} g (float[2, 2] x, float[2, 2] z) => (float[2, 2] y)
<float[2, 2] w = {{1, 2, 3, 4}}, float[2, 2] v = {{5, 6, 7, 8}}>
{{ [n1] a = MatMul (x, w) [n2] b = LeakyRelu <alpha = 0.5> (a) [n3] c = Add (b, z) [n4] d = MatMul (c, v)
   [n5] y = Sigmoid (d) }}"""


def saved(folder: Path, model: ModelProto, name: str) -> str:
    (folder / name).write_bytes(model.SerializeToString())
    return str(folder / name)


def compared(folder: Path, a: ModelProto | str, b: ModelProto | str, *, quick: bool = False) -> Difference:
    models = [parser.parse_model(each) if isinstance(each, str) else each for each in (a, b)]
    paths = [saved(folder, model, f"{index}.onnx") for index, model in enumerate(models)]
    return compare_models(*(ModelGraphs(open_model(path)) for path in paths), quick=quick)


def is_same(found: Difference) -> bool:
    return not (found.header or found.interface or found.nodes or found.weights)


# ---------------------------------------------------------------- what is no difference


def renamed(model: ModelProto, seed: int) -> ModelProto:
    """The model with other names for all nodes and inner values, and the nodes and initializers in another order."""
    copy = ModelProto()
    copy.CopyFrom(model)
    chance = random.Random(seed)
    _rename(copy.graph, {}, chance, is_top=True)
    return copy


def _rename(graph: GraphProto, outer: dict[str, str], chance: random.Random, *, is_top: bool) -> None:
    fixed = {value.name for value in (*graph.input, *graph.output)} if is_top else set()
    names = dict(outer)
    made = [*(t.name for t in graph.initializer), *(name for node in graph.node for name in node.output)]
    made += [] if is_top else [value.name for value in graph.input]
    names.update({name: f"r{chance.getrandbits(64):x}" for name in made if name and name not in fixed})
    for node in graph.node:
        node.name = f"n{chance.getrandbits(64):x}"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names, chance, is_top=False)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    del graph.value_info[:]
    if not is_top:
        for value in (*graph.input, *graph.output):
            value.name = names.get(value.name, value.name)
    tensors = list(graph.initializer)
    chance.shuffle(tensors)
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    nodes = list(graph.node)
    chance.shuffle(nodes)
    del graph.node[:]
    graph.node.extend(nodes)


REAL = [path for path in (*sample_paths(), *shared_paths()) if path.stat().st_size < 3_000_000]


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_names_and_order_make_no_difference(path: Path, tmp_path: Path) -> None:
    import onnx

    original = onnx.load(str(path))
    found = compared(tmp_path, original, renamed(original, 1))
    assert found.nodes == ()
    assert found.weights == ()
    assert is_same(found)
    assert found.counts.matched_nodes == found.counts.nodes_before


def test_a_model_differs_in_nothing_from_itself_and_no_weight_is_read_for_it() -> None:
    path = str(SAMPLES / "digits_cnn.onnx")
    found = compare_models(ModelGraphs(open_model(path)), ModelGraphs(open_model(path)))
    assert is_same(found)
    assert found.counts.same_place_weights > 0
    assert found.counts.compared_bytes == 0


def test_a_default_that_is_stated_and_an_identity_on_the_way_are_told_by_nodes_alone(tmp_path: Path) -> None:
    stated = CHAIN.replace("d = MatMul", "i = Identity (c) [n6] d = MatMul").replace("(c, v)", "(i, v)")
    found = compared(tmp_path, CHAIN, stated)
    assert [(each.status, each.op_type) for each in found.nodes] == [("added", "Identity")]
    relu = CHAIN.replace("LeakyRelu <alpha = 0.5>", "LeakyRelu <alpha = 0.01>")
    assert is_same(compared(tmp_path, relu, relu.replace("<alpha = 0.01>", "")))


def test_a_constant_node_and_an_initializer_are_one_thing(tmp_path: Path) -> None:
    constant = CHAIN.replace("<float[2, 2] w = {1, 2, 3, 4}, ", "<").replace(
        "{ [n1]", "{ w = Constant <value = float[2, 2] {1, 2, 3, 4}> () [n1]"
    )
    found = compared(tmp_path, CHAIN, constant)
    assert is_same(found)
    assert found.counts.stored_otherwise == 1


# ---------------------------------------------------------------- planted changes

CHANGES: dict[str, tuple[Callable[[str], str], list[tuple[str, str, str]]]] = {
    "an attribute": (
        lambda text: text.replace("alpha = 0.5", "alpha = 0.25"),
        [("changed", "n2", "alpha: 0.5 -> 0.25")],
    ),
    "an operator": (
        lambda text: text.replace("[n5] y = Sigmoid", "[n5] y = Tanh"),
        [("replaced", "n5", "now Tanh")],
    ),
    "a node put in": (
        lambda text: text.replace("(c, v)", "(e, v)").replace("[n4]", "[new] e = Neg (c) [n4]"),
        [("added", "new", "between 'c' and n4")],
    ),
    "a node left out": (
        lambda text: text.replace("[n2] b = LeakyRelu <alpha = 0.5> (a) ", "").replace("(b, z)", "(a, z)"),
        [("removed", "n2", "was between 'a' and n3")],
    ),
    "inputs swapped": (
        lambda text: text.replace("(b, z)", "(z, b)"),
        [("changed", "n3", "input 0: 'z' instead of 'b'; input 1: 'b' instead of 'z'")],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", [None, 3])
def test_a_change_of_a_node_is_told_and_nothing_else(tmp_path: Path, change: str, seed: int | None) -> None:
    edit, expected = CHANGES[change]
    after = parser.parse_model(edit(CHAIN))
    found = compared(tmp_path, CHAIN, after if seed is None else renamed(after, seed))
    told = [(each.status, each.before or each.after, "; ".join(each.details)) for each in found.nodes]
    if seed is None:
        assert told == expected
    else:
        assert [each[0] for each in told] == [each[0] for each in expected]
    assert found.weights == ()
    assert found.header == ()
    assert found.interface == ()


def test_values_of_weights_are_measured_and_nodes_stay_matched(tmp_path: Path) -> None:
    found = compared(tmp_path, CHAIN, renamed(parser.parse_model(CHAIN.replace("{5, 6, 7, 8}", "{5, 6, 7, 9}")), 2))
    assert found.nodes == ()
    (change,) = found.weights
    assert (change.status, change.before, change.changed_count, change.element_count) == ("changed", "v", 1, 4)
    assert (change.max_absolute, change.max_relative) == (1.0, 0.125)
    a, b = np.array([5, 6, 7, 8.0]), np.array([5, 6, 7, 9.0])
    assert change.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_interface_and_the_header_are_compared(tmp_path: Path) -> None:
    after = parser.parse_model(CHAIN.replace("float[2, 2] x,", "float[N, 2] x,").replace("z)", "other)"))
    after.producer_name = "somebody"
    after.opset_import[0].version = 21
    after.metadata_props.add(key="k", value="v")
    found = compared(tmp_path, CHAIN, after)
    assert [(each.role, each.before, each.after_type, each.after) for each in found.interface] == [
        ("input", "x", "float32[N, 2]", "x"),
        ("input", "z", "float32[2, 2]", "other"),
    ]
    fields = {each.field: (each.before, each.after) for each in found.header}
    assert fields == {
        "producer_name": (None, "somebody"),
        "opset_import ai.onnx": ("20", "21"),
        "metadata k": (None, "v"),
    }
    assert found.nodes == ()


def test_outputs_in_another_order_are_a_difference(tmp_path: Path) -> None:
    text = f"{HEAD} g (float[2] x) => (float[2] y, float[2] z) {{ y = Relu (x) z = Neg (x) }}"
    found = compared(tmp_path, text, text.replace("float[2] y, float[2] z", "float[2] z, float[2] y"))
    assert found.interface and found.interface[0].note == "the outputs are in another order"


def test_an_output_made_by_another_node_is_a_difference(tmp_path: Path) -> None:
    text = f"{HEAD} g (float[2] x) => (float[2] y, float[2] z) {{ y = Relu (x) z = Neg (x) }}"
    found = compared(tmp_path, text, text.replace("{ y = Relu (x) z = Neg (x) }", "{ z = Relu (x) y = Neg (x) }"))
    assert not is_same(found)


def test_a_change_within_a_subgraph_is_found_there(tmp_path: Path) -> None:
    text = f"""{HEAD} g (bool c, float[2] x) => (float[2] y) {{ [choice] y = If (c) <
        then_branch = t () => (float[2] p) {{ [inner] p = LeakyRelu <alpha = 0.5> (x) }},
        else_branch = e () => (float[2] q) {{ q = Neg (x) }}> }}"""
    found = compared(tmp_path, text, text.replace("alpha = 0.5", "alpha = 0.75"))
    assert [(each.before, each.details) for each in found.nodes] == [
        ("choice/then_branch/inner", ("alpha: 0.5 -> 0.75",))
    ]


def test_bodies_of_functions_are_compared(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["": 20, "local": 1]> g (float[2] x) => (float[2] y)
    { y = local.Twice (x) } <opset_import: ["": 20], domain: "local"> Twice (p) => (q) { q = Add (p, p) }"""
    found = compared(tmp_path, text, text.replace("Add (p, p)", "Mul (p, p)"))
    assert {(each.status, each.op_type) for each in found.nodes} == {("replaced", "Add")}
    assert is_same(compared(tmp_path, text, text.replace("Twice", "Twice")))


# ---------------------------------------------------------------- weights on disk


def with_weight(values: np.ndarray, name: str = "w") -> ModelProto:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", name], ["y"], "n")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", values.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", values.shape[1]])],
        [numpy_helper.from_array(values, name)],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


def test_one_element_between_the_samples_is_seen_but_not_in_a_hurry(tmp_path: Path) -> None:
    values = np.arange(128 * 128, dtype=np.float32).reshape(128, 128)
    assert values.nbytes > 2 * SAMPLE_COUNT * SAMPLE_BYTES
    other = values.copy()
    other.reshape(-1)[SAMPLE_BYTES // 4 + 1] += 0.5  # right behind the first sample
    found = compared(tmp_path, with_weight(values), with_weight(other))
    assert [(each.changed_count, each.max_absolute) for each in found.weights] == [(1, 0.5)]
    hasty = compared(tmp_path, with_weight(values), with_weight(other), quick=True)
    assert hasty.weights == ()
    assert hasty.counts.sampled_weights == 1
    equal = compared(tmp_path, with_weight(values), with_weight(values.copy(), "renamed"))
    assert is_same(equal)
    assert (equal.counts.whole_weights, equal.counts.renamed_weights) == (1, 1)
    assert equal.counts.compared_bytes == 2 * values.nbytes


def test_weights_whose_data_is_missing_are_not_called_equal(tmp_path: Path) -> None:
    for name in ("a", "b"):
        model = with_weight(np.ones((128, 128), np.float32))
        import onnx

        onnx.save(model, str(tmp_path / f"{name}.onnx"), save_as_external_data=True, location=f"{name}.data")
    (tmp_path / "b.data").unlink()
    found = compare_models(*(ModelGraphs(open_model(str(tmp_path / f"{name}.onnx"))) for name in ("a", "b")))
    assert [each.status for each in found.weights] == ["not compared"]
    assert "b.data" in found.weights[0].message


@given(st.integers(1, 40_000), st.integers(0, 2**32 - 1), st.sampled_from(["float32", "float64", "int32", "float16"]))
@settings(max_examples=40, deadline=None)
def test_the_streamed_distance_is_that_of_whole_arrays(count: int, seed: int, kind: str) -> None:
    chance = np.random.default_rng(seed)
    a = (chance.standard_normal(count) * 100).astype(kind)
    b = a.copy()
    b[: count // 3] += np.asarray(1, dtype=kind)
    found = measure_distance(*(Tensor(numpy_helper.from_array(each, "t"), None) for each in (a, b)))
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    assert found is not None
    assert found.changed_count == np.count_nonzero(a != b)
    assert found.max_absolute == np.abs(wide_a - wide_b).max()
    norms = np.linalg.norm(wide_a) * np.linalg.norm(wide_b)
    if norms:
        assert found.cosine == pytest.approx(wide_a @ wide_b / norms, abs=1e-9)


def test_nan_is_equal_to_nan_and_far_from_all_else() -> None:
    a = np.array([1, np.nan, np.inf, 2], np.float32)
    tensors = [Tensor(numpy_helper.from_array(each, "t"), None) for each in (a, a.copy())]
    found = measure_distance(*tensors)
    assert found is not None and (found.changed_count, found.max_absolute) == (0, 0.0)
    b = np.array([1, 3, np.inf, 2], np.float32)
    found = measure_distance(tensors[0], Tensor(numpy_helper.from_array(b, "t"), None))
    assert found is not None and (found.changed_count, found.max_absolute) == (1, np.inf)


def test_values_are_matched_across_renames_for_whoever_compares_them(tmp_path: Path) -> None:
    paths = [
        saved(tmp_path, model, f"{index}.onnx")
        for index, model in enumerate([parser.parse_model(CHAIN), renamed(parser.parse_model(CHAIN), 5)])
    ]
    a, b = (ModelGraphs(open_model(path)) for path in paths)
    pairs = matched_values(a, b)
    assert list(pairs) == ["a", "b", "c", "d", "y"]
    assert pairs["y"] == "y"
    assert all(pairs[name] != name for name in "abcd")
