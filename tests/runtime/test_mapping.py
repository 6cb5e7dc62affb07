"""Weights mapped from the model's own file give the answers that weights loaded by path give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxctl.errors import UnreadableFile, UnsafePath
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.runtime.feeds import generate_feeds
from onnxctl.runtime.mapping import MAPPED_CONFIG, mapped_model
from onnxctl.runtime.session import SessionSettings, open_session
from tests.conftest import sample_paths, shared_paths

HEAVY = [
    path
    for path in (*sample_paths(), *shared_paths())
    if path.stat().st_size > 20_000 or path.parent.name == "external_data"
]


def _outputs(model: str | bytes, path: str) -> list[object]:
    opened = open_model(path)
    feeds = generate_feeds(opened, ModelGraphs(opened), dims={}, seed=3)
    config = MAPPED_CONFIG if isinstance(model, bytes) else ()
    return list(
        open_session(model, SessionSettings(graph_optimization="disable", config=config), path=path).run(feeds.values)
    )


@pytest.mark.parametrize("path", [path for path in HEAVY if path.name != "super_resolution.onnx"], ids=lambda p: p.stem)
def test_mapped_and_loaded_models_give_the_same_outputs(path: Path) -> None:
    mapped = mapped_model(open_model(str(path)))
    for one, other in zip(_outputs(mapped, str(path)), _outputs(str(path), str(path)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shift", range(4))
def test_weights_need_no_alignment(shift: int, tmp_path: Path) -> None:
    weight = np.arange(4096, dtype=np.float32).reshape(64, 64)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "g" * (shift + 1),
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)]), path)
    model = open_model(str(path))
    mapped = mapped_model(model)
    assert len(mapped) < weight.nbytes / 10
    session = open_session(mapped, SessionSettings(graph_optimization="disable", config=MAPPED_CONFIG))
    (found,) = session.run({"x": np.ones((1, 64), np.float32)})
    np.testing.assert_array_equal(found, weight.sum(axis=0, keepdims=True))


def test_weights_in_nodes_subgraphs_and_typed_fields_are_put_back(tmp_path: Path) -> None:
    values = np.arange(600, dtype=np.int32)
    typed = helper.make_tensor("t", TensorProto.INT32, [600], values.tolist())
    branch = helper.make_graph(
        [helper.make_node("Add", ["x", "inner"], ["p"])],
        "b",
        [],
        [helper.make_tensor_value_info("p", TensorProto.INT32, [600])],
        [numpy_helper.from_array(values, "inner")],
    )
    nodes = [
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(values, "k")),
        helper.make_node("If", ["c"], ["q"], then_branch=branch, else_branch=branch),
        helper.make_node("Sum", ["q32", "k32", "t32"], ["y"]),
    ]
    casts = [helper.make_node("Cast", [name], [f"{name}32"], to=1) for name in ("q", "k", "t")]
    graph = helper.make_graph(
        [*nodes[:2], *casts, nodes[2]],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.INT32, [600]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [600])],
        [typed],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)]), path)
    session = open_session(
        mapped_model(open_model(str(path))), SessionSettings(graph_optimization="disable", config=MAPPED_CONFIG)
    )
    (found,) = session.run({"x": np.zeros(600, np.int32), "c": np.array(True)})
    np.testing.assert_array_equal(found, 3 * values.astype(np.float32))


def _with_external_data(folder: Path, location: str) -> str:
    tensor = TensorProto(name="w", data_type=1, dims=[512], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])],
        "g",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [512])],
        [tensor],
    )
    path = folder / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)]).SerializeToString()
    )
    return str(path)


def test_linked_data_in_a_cache_is_mapped_and_data_outside_is_refused(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    values = np.arange(512, dtype=np.float32)
    (blobs / "abc").write_bytes(values.tobytes())
    Path(_with_external_data(blobs, "weights")).rename(blobs / "def")
    (snapshot / "weights").symlink_to(blobs / "abc")
    (snapshot / "model.onnx").symlink_to(blobs / "def")
    mapped = mapped_model(open_model(str(snapshot / "model.onnx")))
    (found,) = open_session(mapped, SessionSettings(graph_optimization="disable", config=MAPPED_CONFIG)).run({})
    np.testing.assert_array_equal(found, values)
    with pytest.raises(UnsafePath):
        mapped_model(open_model(_with_external_data(snapshot / "..", "../outside")))
    with pytest.raises(UnreadableFile, match="missing"):
        mapped_model(open_model(_with_external_data(tmp_path, "nowhere")))
