"""The summary against an independent count, and what it says of interfaces, files, nodes and weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from onnxctl.analysis.summary import summarize
from onnxctl.errors import UsageError
from onnxctl.model.loading import Model, open_model
from onnxctl.model.tensors import dtype_name
from onnxctl.reports import ModelSummary
from tests.analysis.counting import count_by_hand
from tests.conftest import sample_paths, shared_paths

REAL_MODELS = [*sample_paths(), *shared_paths()]


def opened(folder: Path, model: onnx.ModelProto | str) -> Model:
    """The model, or the model that an ONNX text describes, written to the folder and opened."""
    proto = parser.parse_model(model) if isinstance(model, str) else model
    onnx.save(proto, folder / "model.onnx")
    return open_model(str(folder / "model.onnx"))


def summary_of(folder: Path, model: onnx.ModelProto | str, **options: object) -> ModelSummary:
    return summarize(opened(folder, model), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", REAL_MODELS, ids=lambda path: path.name)
def test_figures_are_those_of_an_independent_count(path: Path) -> None:
    summary, count = summarize(open_model(str(path)), nodes=True, weights=True), count_by_hand(path)
    assert summary.node_count == count.nodes == len(summary.nodes or ())
    assert summary.top_node_count == len(onnx.load(path, load_external_data=False).graph.node)
    assert summary.subgraph_count == count.subgraphs
    assert summary.initializer_count == count.initializers
    assert {(row.domain, row.op_type): row.count for row in summary.operators} == count.operators
    assert [row.count for row in summary.operators] == sorted(count.operators.values(), reverse=True)
    elements = {row.dtype: row.element_count for row in summary.parameters}
    assert elements == {dtype_name(kind): number for kind, number in count.elements.items()}
    tensors = {row.dtype: row.tensor_count for row in summary.parameters}
    assert tensors == {dtype_name(kind): number for kind, number in count.tensors.items()}
    assert summary.parameter_count == sum(weight.element_count for weight in summary.weights or ())
    assert summary.parameter_bytes == sum(weight.byte_count for weight in summary.weights or ())


@pytest.mark.parametrize("path", REAL_MODELS, ids=lambda path: path.name)
def test_inputs_and_outputs_are_all_there_in_order(path: Path) -> None:
    summary, proto = summarize(open_model(str(path))), onnx.load(path, load_external_data=False)
    assert [spec.name for spec in summary.inputs] == [value.name for value in proto.graph.input]
    assert [spec.name for spec in summary.outputs] == [value.name for value in proto.graph.output]
    for spec, value in zip(summary.inputs, proto.graph.input, strict=True):
        if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
            said = [
                d.dim_param or (d.dim_value if d.HasField("dim_value") else None)
                for d in value.type.tensor_type.shape.dim
            ]
            assert list(spec.shape or ()) == [None if isinstance(d, int) and d < 0 else d for d in said]


def test_bytes_of_each_dtype_are_those_of_its_raw_data(tmp_path: Path) -> None:
    graph = helper.make_graph([], "g", [], [helper.make_empty_tensor_value_info("w1")])
    expected = {}
    for kind in sorted(set(TensorProto.DataType.values()) - {TensorProto.UNDEFINED, TensorProto.STRING}):
        array = np.ones(3, dtype=helper.tensor_dtype_to_np_dtype(kind))
        graph.initializer.append(numpy_helper.from_array(array, f"w{kind}"))
        expected[dtype_name(kind)] = len(graph.initializer[-1].raw_data)
    summary = summary_of(tmp_path, helper.make_model(graph))
    assert {row.dtype: row.byte_count for row in summary.parameters} == expected
    assert expected["int4"] == 2 and expected["int2"] == 1 and expected["bfloat16"] == 6


# ---------------------------------------------------------------- interfaces

INTERFACE = """
<ir_version: 10, opset_import: ["": 20]>
g (float[batch, 3, 224, side] image, int64[] ids, float[1] scale, seq(float[batch]) parts, optional(int32[4]) extra,
   sparse_tensor(float[4, batch]) sparse)
=> (float[batch, N] logits, seq(float[batch]) same) <float[1] scale = {2}>
{ logits = Identity(image)  same = Identity(parts) }
"""


def test_types_are_named_as_what_they_are(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, INTERFACE)
    assert [(spec.kind, spec.type) for spec in summary.inputs] == [
        ("tensor", "float32[batch, 3, 224, side]"),
        ("tensor", "int64[...]"),
        ("tensor", "float32[1]"),
        ("sequence", "seq(float32[batch])"),
        ("optional", "optional(int32[4])"),
        ("sparse_tensor", "sparse(float32[4, batch])"),
    ]
    assert [spec.shape for spec in summary.inputs] == [
        ("batch", 3, 224, "side"),
        None,
        (1,),
        ("batch",),
        (4,),
        (4, "batch"),
    ]
    assert [spec.name for spec in summary.inputs if spec.has_default] == ["scale"]


def test_maps_are_named_with_their_key(tmp_path: Path) -> None:
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    scores = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, value))
    info = [helper.make_value_info("scores", scores)]
    graph = helper.make_graph([], "g", info, info)
    spec = summary_of(tmp_path, helper.make_model(graph)).inputs[0]
    assert (spec.kind, spec.type, spec.dtype) == ("sequence", "seq(map(int64, float32))", "float32")


def test_dims_replace_symbols_everywhere(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, INTERFACE, dims={"batch": 8, "N": 10})
    assert summary.inputs[0].shape == (8, 3, 224, "side")
    assert [spec.type for spec in summary.outputs] == ["float32[8, 10]", "seq(float32[8])"]
    assert [spec.type for spec in summary.inputs[3:]] == [
        "seq(float32[8])",
        "optional(int32[4])",
        "sparse(float32[4, 8])",
    ]


def test_an_unknown_symbol_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'bacth'") as caught:
        summary_of(tmp_path, INTERFACE, dims={"bacth": 8})
    assert caught.value.hint == "did you mean batch? it has: batch, side, N"


def test_a_size_below_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="-1"):
        summary_of(tmp_path, INTERFACE, dims={"batch": -1})


# ---------------------------------------------------------------- nodes, functions, weights

NESTED = """
<ir_version: 10, opset_import: ["": 20, "local": 1]>
g (bool c, float[2] x) => (float[2] y) <float[2] w = {1, 2}>
{
  [choice] y = If (c) <
    then_branch = inner () => (float[2] a) <float[2] v = {3, 4}> { k = Constant <value_ints = [1, 2, 3]> ()
      a = local.Twice (x) },
    else_branch = other () => (float[2] b) { t = local.Twice (w) b = local.Twice (t) }
  >
}
<domain: "local", opset_import: ["": 20]>
Twice (p) => (q) { two = Constant <value = float {2}> () q = Mul (p, two) }
"""


def test_subgraphs_and_functions_are_counted_once_each(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, NESTED, nodes=True, weights=True)
    assert (summary.top_node_count, summary.node_count, summary.subgraph_count) == (1, 7, 2)
    assert [(f.domain, f.name, f.node_count, f.call_count) for f in summary.functions] == [("local", "Twice", 2, 3)]
    assert [(w.scope, w.name, w.source, w.shape) for w in summary.weights or ()] == [
        ("", "w", "initializer", (2,)),
        ("choice/then_branch", "v", "initializer", (2,)),
        ("choice/then_branch", "k", "constant", (3,)),
        ("function:local:Twice", "two", "constant", ()),
    ]
    assert summary.initializer_count == 2
    assert {node.scope for node in summary.nodes or ()} == {
        "",
        "choice/then_branch",
        "choice/else_branch",
        "function:local:Twice",
    }


def test_attributes_are_shown_in_few_words(tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]> g (float[1, 1, 8, 8] x) => (y)
    { [n] y = Foo <alpha = 0.1, axis = -1, mode = "a]b", pads = [1, 2, 3, 4, 5, 6, 7, 8, 9], none: ints = [],
                   w = float[2, 2] {1, 2, 3, 4}, floats = [0.5, 1.0], words = ["p", "q"]> (x) }
    """
    nodes = summary_of(tmp_path, text, nodes=True).nodes
    assert nodes is not None
    assert dict(nodes[0].attributes) == {
        "alpha": "0.1",
        "axis": "-1",
        "mode": '"a]b"',
        "pads": "[1, 2, 3, 4, 5, 6, 7, 8, ... 9 in all]",
        "none": "[]",
        "w": "float32[2, 2]",
        "floats": "[0.5, 1]",
        "words": '["p", "q"]',
    }


def test_a_sparse_initializer_counts_what_it_stores(tmp_path: Path) -> None:
    values = numpy_helper.from_array(np.array([1, 2, 3], dtype=np.float32), "s")
    indices = numpy_helper.from_array(np.array([0, 5, 9], dtype=np.int64), "")
    sparse = helper.make_sparse_tensor(values, indices, [4, 1000])
    graph = helper.make_graph([], "g", [], [helper.make_empty_tensor_value_info("s")], sparse_initializer=[sparse])
    summary = summary_of(tmp_path, helper.make_model(graph), weights=True)
    assert summary.weights is not None
    weight = summary.weights[0]
    assert (weight.source, weight.shape, weight.element_count) == ("sparse_initializer", (4, 1000), 3)
    assert weight.byte_count == 3 * 4 + 3 * 8
    assert (summary.parameter_count, summary.initializer_count) == (3, 1)


# ---------------------------------------------------------------- files


def two_tensors_in_one_file(folder: Path) -> onnx.ModelProto:
    """`a` and `b` share all 16 bytes of weights.bin."""
    (folder / "weights.bin").write_bytes(bytes(16))
    model = parser.parse_model(
        "<ir_version: 10, opset_import: ['': 20]> g () => (y) { y = Add (a, b) }".replace("'", '"')
    )
    for name in ("a", "b"):
        tensor = model.graph.initializer.add(name=name, data_type=TensorProto.FLOAT, dims=[4])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": "weights.bin", "offset": "0", "length": "16"}.items():
            tensor.external_data.add(key=key, value=value)
    return model


def test_data_files_are_listed_and_their_bytes_counted_once(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, two_tensors_in_one_file(tmp_path), weights=True)
    assert [(file.path, file.role, file.problem) for file in summary.files[1:]] == [("weights.bin", "data", "")]
    assert summary.total_bytes == (tmp_path / "model.onnx").stat().st_size + 16
    assert [weight.storage for weight in summary.weights or ()] == ["weights.bin", "weights.bin"]
    assert summary.parameter_bytes == 32


def test_a_missing_data_file_is_told_and_everything_else_as_well(tmp_path: Path) -> None:
    model = two_tensors_in_one_file(tmp_path)
    (tmp_path / "weights.bin").unlink()
    summary = summary_of(tmp_path, model, weights=True, nodes=True, text=True)
    assert summary.files[1].file_bytes is None and "missing" in summary.files[1].problem
    assert summary.parameter_count == 8 and len(summary.nodes or ()) == 1
    assert '"weights.bin"' in (summary.text or "")


def test_an_unsafe_location_is_never_opened(tmp_path: Path) -> None:
    model = two_tensors_in_one_file(tmp_path)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "/etc/passwd"
    summary = summary_of(tmp_path, model)
    assert summary.files[1].file_bytes is None and "absolute" in summary.files[1].problem


def test_header_fields_are_passed_on_byte_for_byte(tmp_path: Path) -> None:
    model = parser.parse_model(
        "<ir_version: 10, opset_import: ['': 20, 'ai.onnx.ml': 3]> g () => () {}".replace("'", '"')
    )
    model.producer_name, model.producer_version, model.domain, model.model_version = "maker", "1", "org.example", 7
    model.doc_string = "line\n\x1b[31mred"
    model.metadata_props.add(key="a", value="1")
    data = model.SerializeToString().replace(b"maker", b"m\xffker")
    (tmp_path / "model.onnx").write_bytes(data)
    summary = summarize(open_model(str(tmp_path / "model.onnx")))
    assert summary.producer_name == "m\udcffker"
    assert summary.doc_string == "line\n\x1b[31mred"
    assert summary.opset_imports == (("ai.onnx", 20), ("ai.onnx.ml", 3))
    assert (summary.ir_version, summary.domain, summary.model_version) == (10, "org.example", 7)
    assert summary.metadata == (("a", "1"),) and summary.graph_name == "g"
