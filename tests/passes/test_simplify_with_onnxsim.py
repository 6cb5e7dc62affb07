"""simplify_with_onnxsim: onnxsim sees no weights and no path, and what it returns keeps the model's interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxctl.child import Child
from onnxctl.model.loading import open_model
from onnxctl.model.saving import save
from onnxctl.passes.simplify_with_onnxsim import Simplification, simplify_with_onnxsim
from tests.passes.optimizing import nodes_of, random_feeds, run, signature

pytest.importorskip("onnxsim")


@pytest.fixture(scope="module")
def onnxsim_child() -> Iterator[Child]:
    with Child(preload=("onnxsim",)) as child:
        yield child


def _model(**changes: object) -> ModelProto:
    """Two large weights, a chain that onnxsim folds, an overridable initializer, and metadata."""
    random = np.random.default_rng(0)
    weights = [numpy_helper.from_array(random.normal(size=(32, 32)).astype(np.float32), name) for name in ("w", "v")]
    small = [numpy_helper.from_array(np.array([1.0], np.float32), name) for name in ("one", "scale")]
    nodes = [
        helper.make_node("Transpose", ["x"], ["a"], perm=[1, 0]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0]),
        helper.make_node("MatMul", ["b", "w"], ["c"]),
        helper.make_node("Add", ["one", "one"], ["two"]),
        helper.make_node("Mul", ["c", "two"], ["d"]),
        helper.make_node("Mul", ["d", "scale"], ["e"]),
        helper.make_node("MatMul", ["e", "v"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    inputs = [value("x", TensorProto.FLOAT, [3, 32]), value("scale", TensorProto.FLOAT, [1])]
    inputs.append(value("unused", TensorProto.FLOAT, ["n"]))
    graph = helper.make_graph(nodes, "g", inputs, [value("y", TensorProto.FLOAT, [3, 32])], [*weights, *small])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.doc_string, model.model_version = "kept", 7
    model.metadata_props.add(key="author", value="somebody")
    return model


def _simplify(model: ModelProto, folder: Path, child: Child) -> tuple[ModelProto, Simplification]:
    source, target = folder / "before.onnx", folder / "after.onnx"
    source.write_bytes(model.SerializeToString())
    opened = open_model(str(source))
    found = simplify_with_onnxsim(opened, child)
    save(opened, str(target))
    return onnx.load(target), found


def test_fewer_nodes_same_interface_same_answers(tmp_path: Path, onnxsim_child: Child) -> None:
    before = _model()
    after, found = _simplify(before, tmp_path, onnxsim_child)
    assert found.refusal is None
    assert found.outcome.rewrite_count == len(nodes_of(before)) - len(nodes_of(after)) >= 3
    onnx.checker.check_model(after)
    assert signature(after) == signature(before)
    for factor in (1.0, 2.0):
        feeds = {**random_feeds(before), "scale": np.array([factor], np.float32)}
        np.testing.assert_allclose(run(after, feeds)[0], run(before, feeds)[0], rtol=1e-5, atol=1e-5)


def test_onnxsim_gets_no_weights() -> None:
    from onnxctl.passes.simplify_with_onnxsim import _without_weights

    path = Path(__file__).parent.parent.parent / "sample_models" / "digits_mlp.onnx"
    model = open_model(str(path))
    given = _without_weights(model)
    assert given.ByteSize() < 4096 < path.stat().st_size
    assert not any(tensor.external_data for tensor in given.graph.initializer)
    assert [value.name for value in given.graph.input][: len(model.proto.graph.input)] == [
        value.name for value in model.proto.graph.input
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
            agraph (float[2] x) => (float[2] y) { y = local.f(x) }
            <domain: "local", opset_import: ["" : 17]> f (x) => (y) { y = Neg(x) }""",
            "functions",
        ),
        (
            """<ir_version: 8, opset_import: ["" : 17]>
            agraph (float[2] x) => (float[2] y) { a = Abs(x)  y = Neg(a) }""",
            "nothing to remove",
        ),
    ],
)
def test_refusals_say_why_and_change_nothing(tmp_path: Path, onnxsim_child: Child, text: str, reason: str) -> None:
    before = onnx.parser.parse_model(text)
    after, found = _simplify(before, tmp_path, onnxsim_child)
    assert found.refusal is not None and reason in found.refusal.reason
    assert after == before


def test_a_large_weight_that_a_subgraph_reads_is_refused(tmp_path: Path, onnxsim_child: Child) -> None:
    before = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> agraph (bool c, float[512] x) => (float[512] y) {
            y = If (c) <
                then_branch = one () => (float[512] t) { t = Add(x, w) },
                else_branch = two () => (float[512] e) { e = Identity(x) }
            >
        }"""
    )
    before.graph.initializer.append(numpy_helper.from_array(np.ones(512, np.float32), "w"))
    after, found = _simplify(before, tmp_path, onnxsim_child)
    assert found.refusal is not None and "subgraph" in found.refusal.reason
    assert after == before


def test_what_crashes_onnxsim_is_a_refusal(tmp_path: Path, onnxsim_child: Child) -> None:
    before = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> agraph (float[1, 1, 4, 4] x) => (float[1, 1, a, b] y)
        <float[1, 1, 2, 2] w = {1, 2, 3, 4}> { y = Conv<strides = [0, 0]>(x, w) }"""
    )
    after, found = _simplify(before, tmp_path, onnxsim_child)
    assert found.refusal is not None
    assert after == before
