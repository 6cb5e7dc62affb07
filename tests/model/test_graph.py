"""The index of a scope, and what edits leave behind in the message."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, parser

from onnxctl.errors import InvalidModel
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.model.nodes import attribute
from tests.conftest import sample_paths, shared_paths

HEADER = '<ir_version: 10, opset_import: ["" : 18, "custom": 1]>\n'


@pytest.fixture
def load(tmp_path: Path) -> object:
    """A function from ONNX text to the index of the model."""

    def from_text(text: str) -> ModelGraphs:
        path = tmp_path / "model.onnx"
        path.write_bytes(parser.parse_model(HEADER + text).SerializeToString())
        return ModelGraphs(open_model(str(path)))

    return from_text


CHAIN = """
g (float[N, 4] x) => (float[N, 4] y)
<float[4] w = {1, 2, 3, 4}, float[4] unused = {0, 0, 0, 0}>
{
    a = Relu(x)
    b = Add(a, w)
    c = Mul(b, b)
    y = Identity(c)
}
"""

CAPTURE = """
g (float[4] x, bool flag) => (float[4] y)
<float[4] w = {1, 2, 3, 4}>
{
    a = Relu(x)
    y = If (flag) <
        then_branch = t () => (float[4] p) {
            p = Add(a, w)
        },
        else_branch = e () => (float[4] q) {
            q = Identity(a)
        }
    >
}
"""


def by_operator(graph: Graph, op_type: str) -> NodeProto:
    """The one node of this operator."""
    (found,) = [node for node in graph.nodes if node.op_type == op_type]
    return found


def test_who_makes_and_reads_a_value(load) -> None:  # type: ignore[no-untyped-def]
    top = load(CHAIN).top
    add, mul = by_operator(top, "Add"), by_operator(top, "Mul")
    assert top.producer("b") is add
    assert top.consumers("b") == [mul]
    assert top.only_consumer("b") is None  # read twice by one node
    assert top.only_consumer("a") is add
    assert top.only_consumer("y") is None
    assert top.is_used("y")
    assert not top.is_used("unused")
    assert top.shape_of("x") == ("N", 4)
    assert top.static_shape("w") == (4,)


def test_constants(load) -> None:  # type: ignore[no-untyped-def]
    top = load("""
    g (float[4] x, float[1] given) => (float[4] y)
    <float[1] w = {3}, float[1] given = {5}>
    {
        c = Constant<value_floats = [1.0, 2.0]>()
        a = Add(x, w)
        b = Add(a, given)
        y = custom.Constant(b)
    }
    """).top
    assert top.constant_values("w").tolist() == [3]
    assert top.constant_values("c").tolist() == [1, 2]
    assert top.constant_values("c").dtype == np.float32
    assert top.constant("given") is None  # a caller can override it
    assert top.constant("y") is None
    assert top.constant_values("w", at_most=0) is None


def test_a_subgraph_reads_for_its_holder(load) -> None:  # type: ignore[no-untyped-def]
    graphs = load(CAPTURE)
    top = graphs.top
    holder = by_operator(top, "If")
    assert top.consumers("a") == [holder]
    assert top.only_consumer("a") is None
    then_branch, else_branch = top.subgraphs(holder)
    assert then_branch.path == "If/then_branch"
    assert then_branch.captured() == ["a", "w"]
    assert then_branch.constant_values("w").tolist() == [1, 2, 3, 4]
    else_branch.remove(by_operator(else_branch, "Identity"))
    then_branch.remove(by_operator(then_branch, "Add"))
    assert top.consumers("a") == []
    assert top.consumers("w") == []


def test_replacing_uses_reaches_subgraphs(load) -> None:  # type: ignore[no-untyped-def]
    graphs = load(CAPTURE)
    top = graphs.top
    top.replace_uses("a", "x")
    top.remove(by_operator(top, "Relu"))
    graphs.commit()
    branch = attribute(top.nodes[0], "else_branch")
    assert list(branch.node[0].input) == ["x"]
    onnx.checker.check_model(graphs.model.proto, full_check=True)


def test_an_inner_value_of_the_same_name_is_left_alone(load) -> None:  # type: ignore[no-untyped-def]
    graphs = load(CAPTURE)
    inner = graphs.top.subgraphs(by_operator(graphs.top, "If"))[1]
    inner.add_node("Relu", ["x"], ["a"], before=by_operator(inner, "Identity"))
    graphs.top.replace_uses("a", "x")
    assert list(by_operator(inner, "Identity").input) == ["a"]


def test_edits_reach_the_message_at_commit(load) -> None:  # type: ignore[no-untyped-def]
    graphs = load(CHAIN)
    top = graphs.top
    add = by_operator(top, "Add")
    new = top.add_node("Neg", ["a"], [top.fresh_name("b")], before=add, attributes={"note": 3})
    assert new.output[0] == "b_1"
    top.set_input(add, 0, "b_1")
    top.remove_initializer("unused")
    top.set_initializer(onnx.numpy_helper.from_array(np.ones(4, np.float32), "v"))
    top.set_input(add, 1, "v")
    graphs.commit()
    graph = graphs.model.proto.graph
    assert [node.op_type for node in graph.node] == ["Relu", "Neg", "Add", "Mul", "Identity"]
    assert [tensor.name for tensor in graph.initializer] == ["w", "v"]
    assert attribute(graph.node[1], "note") == 3
    assert not top.is_used("w")


def test_several_nodes_before_one_keep_their_order(load) -> None:  # type: ignore[no-untyped-def]
    graphs = load(CHAIN)
    top = graphs.top
    anchor = by_operator(top, "Mul")
    for name in ("one", "two", "three"):
        top.add_node("Neg", ["x"], [name], before=anchor)
    assert [n.output[0] for n in top.nodes] == ["a", "b", "one", "two", "three", "c", "y"]


def test_a_cycle_is_an_error(load) -> None:  # type: ignore[no-untyped-def]
    top = load(CHAIN).top
    top.set_input(by_operator(top, "Relu"), 0, "c")
    with pytest.raises(InvalidModel, match="cycle"):
        _ = top.nodes


def test_unsorted_nodes_are_sorted(tmp_path: Path) -> None:
    proto = parser.parse_model(HEADER + CHAIN)
    random.Random(3).shuffle(nodes := list(proto.graph.node))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    graphs = ModelGraphs(open_model(str(path)))
    graphs.commit()
    onnx.checker.check_model(graphs.model.proto, full_check=True)


@pytest.mark.parametrize("path", [*sample_paths(), *shared_paths()], ids=lambda path: path.name)
def test_indexing_and_committing_change_nothing(path: Path) -> None:
    model = open_model(str(path))
    before = ModelProto.FromString(model.proto.SerializeToString())
    graphs = ModelGraphs(model)
    assert sum(len(scope.nodes) for scope in graphs.scopes()) > 0
    graphs.commit()
    assert model.proto == before


def test_a_thousand_fresh_names_are_the_first_that_are_free(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] n_2) { n_2 = Relu(x) }'
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    graph = ModelGraphs(open_model(str(path))).top
    names = [graph.fresh_name("n") for _ in range(1000)]
    assert names[:4] == ["n", "n_1", "n_3", "n_4"]
    assert len(set(names)) == 1000
