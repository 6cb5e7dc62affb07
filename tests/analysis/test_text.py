"""The text form: it parses back to the same model, says what was elided, and what the syntax has no place for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import Message
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper, parser

from onnxctl.analysis.attributes import type_of_value
from onnxctl.analysis.text import SHOWN_ELEMENTS, model_text, values
from onnxctl.analysis.text.syntax import begins_a_graph, identifier_of, is_identifier
from onnxctl.errors import ModelError, ResourceLimit
from onnxctl.model.loading import open_model, tensors_of_graph, tensors_of_model
from onnxctl.model.tensors import DTYPES
from tests.analysis.test_summary import opened
from tests.conftest import sample_paths, shared_paths
from tests.runtime.models import node_tests

BACKEND = Path(onnx.__file__).parent / "backend" / "test" / "data"


# ---------------------------------------------------------------- back to the same model


def same(model: ModelProto) -> bytes:
    """The model without what the syntax has no place for, its tensors in one encoding; equal bytes are equal models."""
    plain = ModelProto()
    plain.CopyFrom(model)
    for tensor in tensors_of_model(plain):
        tensor.ClearField("doc_string")
        if tensor.data_location != TensorProto.EXTERNAL:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    for function in plain.functions:
        function.ClearField("metadata_props")
    plain.ClearField("training_info")
    clear(plain.graph)
    for function in plain.functions:
        clear(function)
    clear_empty(plain)
    return plain.SerializeToString(deterministic=True)


def clear(body: GraphProto | FunctionProto) -> None:
    body.ClearField("metadata_props")
    if isinstance(body, GraphProto):
        for field in ("doc_string", "quantization_annotation", "sparse_initializer"):
            body.ClearField(field)
    values = body.value_info if isinstance(body, FunctionProto) else (*body.input, *body.output, *body.value_info)
    for each in (*values, *body.node):
        each.ClearField("doc_string")
        each.ClearField("metadata_props")
    for node in body.node:
        kept = [each for each in node.attribute if each.type not in (AttributeProto.SPARSE_TENSOR, *LISTS)]
        del node.attribute[:]
        node.attribute.extend(kept)
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
            attribute.type = attribute.type or type_of_value(attribute)  # IR version 1 has none
            if attribute.HasField("t") and not is_identifier(attribute.t.name):
                attribute.t.ClearField("name")
            if attribute.HasField("g"):
                if not begins_a_graph(attribute.g.name):
                    attribute.g.name = identifier_of(attribute.g.name)
                clear(attribute.g)


def clear_empty(message: Message) -> None:
    """Clear text fields that are there and empty: the parser writes some."""
    for field, value in message.ListFields():
        if isinstance(value, Message):
            clear_empty(value)
            if field.name == "type" and not value.ListFields():
                message.ClearField(field.name)
        elif isinstance(value, str) and not value:
            message.ClearField(field.name)
        elif field.type == field.TYPE_MESSAGE:
            for each in value:
                clear_empty(each)


LISTS = (AttributeProto.TENSORS, AttributeProto.GRAPHS, AttributeProto.TYPE_PROTOS, AttributeProto.SPARSE_TENSORS)


def parsed_back(path: Path) -> ModelProto:
    return parser.parse_model(model_text(open_model(str(path)), whole=True))


@pytest.mark.parametrize("path", [*sample_paths(), *shared_paths()], ids=lambda path: path.name)
def test_the_whole_text_of_real_models_parses_back_to_the_same(path: Path) -> None:
    assert same(parsed_back(path)) == same(onnx.load(path))


def test_the_whole_text_of_the_models_of_onnx_itself_parses_back_to_the_same() -> None:
    paths = sorted(path for path in BACKEND.rglob("model.onnx"))
    assert len(paths) > 100
    assert [path.parent.name for path in paths if same(parsed_back(path)) != same(onnx.load(path))] == []


@pytest.mark.slow
def test_the_whole_text_of_the_backend_tests_of_single_operators_parses_back_to_the_same(tmp_path: Path) -> None:
    differ = []
    for name, model in node_tests().items():
        text = "" if model is None else model_text(opened(tmp_path, model), whole=True)
        if text and same(parser.parse_model(text)) != same(model):
            differ.append(name)
    assert len(node_tests()) > 1000 and differ == []


@pytest.mark.parametrize("number", [each for each in DTYPES if each != TensorProto.UNDEFINED])
def test_every_element_type_parses_back(tmp_path: Path, number: int) -> None:
    bits = DTYPES[number].bits
    if number == TensorProto.STRING:
        tensor = TensorProto(name="w", data_type=number, dims=[3], string_data=[b'a"b\\c', b"line\nfeed", b""])
    else:
        raw = np.random.default_rng(0).integers(0, 100, bits, dtype=np.uint8).tobytes()
        tensor = TensorProto(name="w", data_type=number, dims=[8], raw_data=raw)
    model = of_tensor(tensor)
    back = parser.parse_model(model_text(opened(tmp_path, model), whole=True))
    assert same(back) == same(model)


def of_tensor(tensor: TensorProto) -> ModelProto:
    info = [helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)]
    return helper.make_model(helper.make_graph([], "g", [], info, [tensor]))


def test_the_last_digits_and_special_numbers_survive(tmp_path: Path) -> None:
    numbers = [0.1, -0.0, 1e-45, 3.4028235e38, float("inf"), float("-inf"), float("nan"), 16777216, 1 / 3]
    array = np.array(numbers, dtype=np.float32)
    node = helper.make_node("Own", [], ["y"], domain="own", floats=array.tolist(), alone=float(array[-1]), whole=2.0)
    graph = helper.make_graph(
        [node], "g", [], [helper.make_empty_tensor_value_info("y")], [numpy_helper.from_array(array, "w")]
    )
    back = parser.parse_model(model_text(opened(tmp_path, helper.make_model(graph)))).graph
    assert numpy_helper.to_array(back.initializer[0]).tobytes() == array.tobytes()
    attributes = {each.name: helper.get_attribute_value(each) for each in back.node[0].attribute}
    assert np.array(attributes["floats"], np.float32).tobytes() == array.tobytes()
    assert attributes["whole"] == 2.0 and isinstance(attributes["whole"], float)


AWKWARD = {
    "names that need quotes": r"""
        "a b" (float["n*2"] "in put", float[] "float") => ("out\"put") { "out\"put" = Add("in put", "float") }""",
    "a scalar and an unknown rank": "g (float x, float[] y, float[?] z) => (w) { w = Sum(x, y, z) }",
    "every kind of type": """
        g (seq(float[1]) a, optional(seq(int64)) b, map(string, float) c, sparse_tensor(float[2]) d) => (y) {
            y = Op(a, b, c, d) }""",
    "optional inputs and outputs": 'g (float[1] x) => (y) { "", y = Op("", x, "") = Op(x) z = Op() }',
    "every plain attribute": r"""
        g (x) => (y) { y = Op<a: int = -1, b: float = 1.0, c: string = "s\"\\", d: ints = [], e: floats = [1.0, nan],
            f: strings = ["", "x"]>(x) }""",
    "types and tensors as attributes": """
        g (x) => (y) { y = Op<a: type_proto = seq(float[2]), b: tensor = int4[3] {33, 1}, c: tensor = float n = {1.5},
            d: type_proto = float[]>(x) }""",
    "graphs within graphs": """
        g (x) => (y) { [n] y = Op<a: graph = h (float[1] i) => (o) {
            o = Op<b: graph = k () => (p) { p = Op() }, c: int = 1>(i) }, d: int = 2>(x) }""",
    "functions": r"""
        g (x) => (y) { y = local.F:one<alpha: float = 2.0>(x) }
        <domain: "local", opset_import: ["": 17], overload: "one", doc_string: "Says \"hi\".">
        F <beta, alpha: float = 1.0> (p) => (q) <float[2] r> { r = Op<a: float = @alpha>(p) q = Op(r) }""",
}


@pytest.mark.parametrize("what", AWKWARD)
def test_awkward_things_parse_back(tmp_path: Path, what: str) -> None:
    header = '<ir_version: 10, opset_import: ["": 17, "local": 1], producer_name: "p", metadata_props: ["k": "v\\"w"]>'
    model = parser.parse_model(f"{header} {AWKWARD[what]}")
    assert same(parser.parse_model(model_text(opened(tmp_path, model)))) == same(model)


# ---------------------------------------------------------------- what is elided


def weights_model(count: int) -> onnx.ModelProto:
    return of_tensor(numpy_helper.from_array(np.arange(count, dtype=np.float32), "w"))


def digest_of(count: int) -> str:
    return hashlib.sha256(np.arange(count, dtype="<f4").tobytes()).hexdigest()


def test_small_weights_are_shown_and_larger_ones_elided_by_a_digest(tmp_path: Path) -> None:
    shown = parser.parse_model(model_text(opened(tmp_path, weights_model(SHOWN_ELEMENTS)))).graph.initializer[0]
    assert numpy_helper.to_array(shown).tolist() == list(range(SHOWN_ELEMENTS))
    for count in (SHOWN_ELEMENTS + 1, 4000):
        text = model_text(opened(tmp_path, weights_model(count)))
        assert f'float[{count}] w = ["sha256": "{digest_of(count)}", "elided": "{4 * count} bytes"]' in text
        assert parser.parse_model(text).graph.initializer[0].dims == [count]


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.name)
def test_the_elided_text_parses_back_to_the_same_but_for_the_weights(path: Path) -> None:
    written, model = parser.parse_model(model_text(open_model(str(path)))), onnx.load(path)
    for graph in (written.graph, model.graph):
        for tensor in tensors_of_graph(graph):
            tensor.CopyFrom(TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims))
            tensor.data_location = TensorProto.EXTERNAL
    assert same(written) == same(model)


def test_where_weights_lie_in_files_their_place_is_kept(tmp_path: Path) -> None:
    onnx.save(weights_model(40), tmp_path / "m.onnx", save_as_external_data=True, location="d.bin", size_threshold=0)
    text = model_text(open_model(str(tmp_path / "m.onnx")))
    place = f'["location": "d.bin", "offset": "0", "length": "160", "sha256": "{digest_of(40)}", "elided": "160 bytes"]'
    assert place in text
    assert "{0.0, 1.0," in model_text(open_model(str(tmp_path / "m.onnx")), whole=True)


def test_missing_weights_are_told_by_their_place_alone(tmp_path: Path) -> None:
    onnx.save(weights_model(40), tmp_path / "m.onnx", save_as_external_data=True, location="d.bin", size_threshold=0)
    (tmp_path / "d.bin").unlink()
    text = model_text(open_model(str(tmp_path / "m.onnx")))
    assert '"length": "160", "elided": "160 bytes"]' in text and "sha256" not in text
    with pytest.raises(ModelError, match="missing"):
        model_text(open_model(str(tmp_path / "m.onnx")), whole=True)


def test_huge_weights_are_neither_digested_nor_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "DIGESTED_BYTES", 1000)
    monkeypatch.setattr(values, "LARGEST_TEXT_ELEMENTS", 1000)
    model = opened(tmp_path, weights_model(4000))
    assert 'w = ["elided": "16000 bytes"]' in model_text(model)
    with pytest.raises(ResourceLimit, match="4,000 numbers"):
        model_text(model, whole=True)


def test_nothing_of_our_own_markers_is_shown_and_the_model_stays_as_it_is(tmp_path: Path) -> None:
    model = opened(tmp_path, weights_model(4000))
    before = model.proto.SerializeToString()
    assert "onnxctl:" not in model_text(model)
    assert model.proto.SerializeToString() == before


# ---------------------------------------------------------------- what becomes a comment


def documented(model: ModelProto) -> list[str]:
    graph, node = model.graph, model.graph.node[0]
    graph.doc_string = "of the graph"
    graph.input[0].doc_string = "of the input"
    node.metadata_props.add(key="trace", value='File "x.py"\nline 2')
    node.attribute[0].doc_string = "of the attribute"
    graph.quantization_annotation.add(tensor_name="x").quant_parameter_tensor_names.add(key="SCALE", value="s")
    return [
        '# doc_string: "of the graph"',
        '# doc_string of x: "of the input"',
        '# metadata_props "trace": "File \\"x.py\\"\\nline 2"',
        "# doc_string of 'a': \"of the attribute\"",
        '# quantization_annotation: "x: SCALE=s"',
    ]


def misnamed(model: ModelProto) -> list[str]:
    node = model.graph.node[0]
    node.domain, node.overload = "pkg.1.my-ops", "2"
    model.opset_import.add(domain=node.domain, version=1)
    node.attribute[0].name = "a-b"
    return ['# operator: "pkg.1.my-ops.Op"', '# overload: "2"', '# attribute "a-b": "1"']


def with_lists(model: ModelProto) -> list[str]:
    tensor = helper.make_tensor("", TensorProto.FLOAT, [1], [1.0])
    model.graph.node[0].attribute.append(helper.make_attribute("b", [tensor, tensor]))
    model.graph.node[0].attribute.append(helper.make_attribute("c", b"\xff\x00"))
    return ['# attribute b: "[float32[1], float32[1]]"', "# attribute c: bytes ff00"]


def with_training(model: ModelProto) -> list[str]:
    model.training_info.add().algorithm.name = "step"
    return ["# training_info algorithm: step () => ()"]


def with_sparse_tensors(model: ModelProto) -> list[str]:
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([1, 2], np.float32), "a\nb"), numpy_helper.from_array(np.array([0, 5])), [4, 9]
    )
    model.graph.sparse_initializer.append(sparse)
    model.graph.node[0].attribute.append(helper.make_attribute("s", sparse))
    values = "float[4,9] with values float[2] {1.0, 2.0} at int64[2] {0, 5}"
    return [f'# sparse_initializer "a\\nb": {values}', f"# attribute s: {values}"]


def named_like_a_type(model: ModelProto) -> list[str]:
    inner = helper.make_graph([], "float", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))
    return ['# name of the graph body: "float"']


@pytest.mark.parametrize(
    "change", [documented, misnamed, with_lists, with_training, with_sparse_tensors, named_like_a_type]
)
def test_what_the_syntax_has_no_place_for_is_a_comment(
    tmp_path: Path, change: Callable[[ModelProto], list[str]]
) -> None:
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 17]> g (float[1] x) => (y) { y = Op<a: int = 1>(x) }'
    )
    comments = change(model)
    text = model_text(opened(tmp_path, model), whole=True)
    lines = [line.strip() for line in text.splitlines()]
    for each in comments:
        assert each in lines
    assert parser.parse_model(text).graph.node[0].input == ["x"]


def test_long_comments_are_cut_and_metadata_left_out_unless_all_is_wanted(tmp_path: Path) -> None:
    model = parser.parse_model('<ir_version: 10, opset_import: ["": 17]> g (float[1] x) => (y) { y = Relu(x) }')
    model.graph.node[0].doc_string = "long " * 1000
    model.graph.node[0].metadata_props.add(key="trace", value="x")
    cut = model_text(opened(tmp_path, model))
    assert "... (5000 characters)" in cut and "# 1 metadata_props of nodes" in cut
    assert "long " * 1000 in model_text(opened(tmp_path, model), whole=True)


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
    assert "da\udcffa.bin" in model_text(open_model(str(tmp_path / "m.onnx")))
