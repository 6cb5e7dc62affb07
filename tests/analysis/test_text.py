"""The text form: it parses back where nothing had to be elided, and says what was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from onnxctl.analysis.text import SHOWN_ELEMENTS, model_text
from onnxctl.model.loading import open_model
from tests.analysis.test_summary import opened
from tests.conftest import sample_paths


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.name)
def test_text_of_the_samples_parses_back_to_the_same_graph(path: Path) -> None:
    written = parser.parse_model(model_text(open_model(str(path)))).graph
    graph = onnx.load(path, load_external_data=False).graph
    assert [(n.op_type, list(n.input), list(n.output)) for n in written.node] == [
        (n.op_type, list(n.input), list(n.output)) for n in graph.node
    ]
    assert [v.name for v in (*written.input, *written.output)] == [v.name for v in (*graph.input, *graph.output)]
    assert [(t.name, t.data_type, list(t.dims)) for t in written.initializer] == [
        (t.name, t.data_type, list(t.dims)) for t in graph.initializer
    ]


def weights_model(count: int) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.arange(count, dtype=np.float32), "w")
    info = [helper.make_tensor_value_info("w", TensorProto.FLOAT, [count])]
    return helper.make_model(helper.make_graph([], "g", [], info, [weight]))


def test_small_weights_are_shown_and_larger_ones_elided(tmp_path: Path) -> None:
    shown = parser.parse_model(model_text(opened(tmp_path, weights_model(SHOWN_ELEMENTS)))).graph.initializer[0]
    assert numpy_helper.to_array(shown).tolist() == list(range(SHOWN_ELEMENTS))
    assert 'float[17] w = ["elided": "68 bytes"]' in model_text(opened(tmp_path, weights_model(17)))
    assert 'float[4000] w = ["elided": "16000 bytes"]' in model_text(opened(tmp_path, weights_model(4000)))


def test_nothing_of_our_own_markers_is_shown_and_the_model_stays_as_it_is(tmp_path: Path) -> None:
    model = opened(tmp_path, weights_model(4000))
    before = model.proto.SerializeToString()
    assert "onnxctl:" not in model_text(model)
    assert model.proto.SerializeToString() == before


def test_sparse_tensors_are_not_silently_dropped(tmp_path: Path) -> None:
    values, indices = np.array([1, 2], dtype=np.float32), np.array([0, 5], dtype=np.int64)
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(values, "a\nb"), numpy_helper.from_array(indices), [4, 1000]
    )
    node = helper.make_node("Constant", [], ["c"], sparse_value=sparse)
    info = [helper.make_empty_tensor_value_info("c")]
    graph = helper.make_graph([node], "g", [], info, sparse_initializer=[sparse])
    text = model_text(opened(tmp_path, helper.make_model(graph)))
    assert '# sparse initializer "a\\nb": float32[4, 1000], 2 stored values' in text
    assert '# sparse constant "c": float32[4, 1000], 2 stored values' in text


def test_attributes_without_a_type_are_shown_with_their_values(tmp_path: Path) -> None:
    text = '<ir_version: 3, opset_import: ["": 7]> g (float[1, 4] x) => (y) { y = Transpose <perm = [1, 0]> (x) }'
    proto = parser.parse_model(text)
    proto.graph.node[0].attribute[0].ClearField("type")
    assert "perm: ints = [1, 0]" in model_text(opened(tmp_path, proto))


def test_names_and_locations_that_are_not_utf8_can_be_shown(tmp_path: Path) -> None:
    proto = weights_model(4000)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="data.bin", size_threshold=0)
    data = (tmp_path / "m.onnx").read_bytes().replace(b"data.bin", b"da\xffa.bin").replace(b'"\x01w', b'"\x01\xff')
    (tmp_path / "m.onnx").write_bytes(data)
    assert "da\\\\xffa.bin" in model_text(open_model(str(tmp_path / "m.onnx")))
