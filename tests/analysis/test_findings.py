"""Each finding on a model that has it, and none of them on models that don't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser

from onnxctl.analysis.findings import look_closer, worst_first
from onnxctl.analysis.findings.weights import GAP_BYTES
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import Model, open_model
from onnxctl.model.propagation import propagate
from onnxctl.reports import Finding
from tests.analysis.test_summary import opened
from tests.conftest import SAMPLES, shared_paths

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'

TEXTS = {
    "overridable-initializer": "g (float[1] x, float[1] w) => (float[1] y) <float[1] w = {2}> { y = Mul(x, w) }",
    "unused-input": "g (float[1] x, float[1] unused) => (float[1] y) { y = Relu(x) }",
    "trivial-output": "g (float[1] x) => (float[1] y, float[1] c) <float[1] c = {2}> { y = Relu(x) }",
    "unnamed-dimension": "g (float[?] x) => (float[?] y) { y = Relu(x) }",
    "suspicious-dimension": "g (float[0, 3] x) => (float[0, 3] y) { y = Relu(x) }",
    "fixed-batch": "g (float[1, seq] x) => (float[1, seq] y) { y = Relu(x) }",
    "dead-node": "g (float[1] x) => (float[1] y) { y = Relu(x) z = Abs(x) d = Neg(z) }",
    "unused-initializer": "g (float[1] x) => (float[1] y) <float[1] w = {2}> { y = Relu(x) }",
    "constant-condition": """g (float[1] x) => (float[1] y) <bool always = {1}> {
        y = If (always) <
            then_branch = t () => (float[1] a) { a = Relu(x) },
            else_branch = e () => (float[1] b) { b = Neg(x) }> }""",
    "redundant-cast": "g (float[1] x) => (float[1] y) { y = Cast <to = 1> (x) }",
    "unfused-batch-normalization": """g (float[1,1,4,4] x) => (float[1,1,4,4] y)
        <float[1,1,1,1] w = {2}, float[1] s = {1}, float[1] b = {1}, float[1] m = {1}, float[1] v = {1}> {
        c = Conv(x, w) y = BatchNormalization(c, s, b, m, v) }""",
    "float64-compute": "g (double[1] x) => (double[1] y) { y = Relu(x) }",
    "stated-shape": "g (float[2] x) => (float[2] z) <float[3] y> { y = Relu(x) z = Relu(y) }",
    "shape-contradiction": "g (float[2,3] x, float[4,5] w) => (float[a,b] y) { y = MatMul(x, w) }",
    "unknown-shape": "g (float[N] x, int64[M] s) => (float[A,B] y) { r = Reshape(x, s) y = Flatten(r) }",
    "training-mode": """g (float[4] x) => (float[4] y) <float ratio = {0.5}, bool training = {1}> {
        y = Dropout(x, ratio, training) }""",
    "idle-dropout": "g (float[4] x) => (float[4] y) { y = Dropout(x) }",
    "training-operator": """g (float[2,3] x, int64[2] labels) => (float y) {
        y = SoftmaxCrossEntropyLoss <reduction = "mean"> (x, labels) }""",
    "names-differ-by-case": "g (float[1] x) => (float[1] X) { X = Relu(x) }",
    "endless-loop": """g (float[1] x) => (float[1] y) <int64 trips = {4611686018427387904}, bool go = {1}> {
        y = Loop(trips, go, x) <body = b (int64 i, bool c, float[1] s) => (bool k, float[1] t) {
            k = Identity(c) t = Add(s, s) }> }""",
}
"""A graph for each code that small models can have."""


@pytest.mark.parametrize(
    ("trips", "going_on", "told"),
    [
        ("", "k = Identity(c)", True),
        ("trips", "k = Identity(c)", True),
        ("few", "k = Identity(c)", False),
        ("trips", "k = Not(c)", False),
        ("trips", "sum = ReduceSum <keepdims = 0> (s) k = Less(sum, limit)", False),
    ],
)
def test_a_loop_is_endless_where_its_rounds_are_known_and_no_condition_ends_it(
    trips: str, going_on: str, told: bool, tmp_path: Path
) -> None:
    text = f"""g (float[1] x) => (float[1] y)
        <int64 trips = {{9223372036854775807}}, int64 few = {{1000}}, bool go = {{1}}, float limit = {{9}}> {{
        y = Loop({trips}, go, x) <body = b (int64 i, bool c, float[1] s) => (bool k, float[1] t) {{
            {going_on} t = Add(s, s) }}> }}"""
    found = look_closer(ModelGraphs(opened(tmp_path, f"{HEADER} {text}")))
    assert ("endless-loop" in {each.code for each in found}) == told


def test_a_dropout_whose_mode_is_an_input_is_not_idle(tmp_path: Path) -> None:
    text = "g (float[4] x, bool training) => (float[4] y) <float ratio = {0.5}> { y = Dropout(x, ratio, training) }"
    graphs = ModelGraphs(opened(tmp_path, f"{HEADER} {text}"))
    assert not {"idle-dropout", "training-mode"} & {each.code for each in look_closer(graphs, propagate(graphs))}


def has_large_constant(folder: Path) -> Model:
    value = numpy_helper.from_array(np.ones((512, 512), np.float32))
    nodes = [helper.make_node("Constant", [], ["c"], value=value), helper.make_node("Relu", ["c"], ["y"])]
    return opened(
        folder, helper.make_model(helper.make_graph(nodes, "g", [], [helper.make_empty_tensor_value_info("y")]))
    )


def has_duplicates(folder: Path) -> Model:
    values = np.arange(20_000, dtype=np.float32)
    tensors = [numpy_helper.from_array(values, name) for name in ("a", "b")]
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [20_000])]
    return opened(folder, helper.make_model(helper.make_graph(nodes, "g", [], outputs, tensors)))


def has_gap(folder: Path) -> Model:
    model = onnx.load(SAMPLES / "digits_cnn.onnx")
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="data.bin", size_threshold=0)
    with open(folder / "data.bin", "ab") as file:
        file.write(bytes(GAP_BYTES))
    return open_model(str(folder / "m.onnx"))


def has_unused_function(folder: Path) -> Model:
    return opened(
        folder,
        """<ir_version: 8, opset_import: ["" : 17, "local" : 1]> g (float[1] x) => (float[1] y) { y = local.Used(x) }
        <domain: "local", opset_import: ["" : 17]> Used (p) => (q) { q = Relu(p) }
        <domain: "local", opset_import: ["" : 17]> Unused (p) => (q) { q = Neg(p) }""",
    )


def has_unused_import(folder: Path) -> Model:
    return opened(
        folder,
        '<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]> g (float[1] x) => (float[1] y) { y = Relu(x) }',
    )


def with_metadata(value: str, count: int) -> Callable[[Path], Model]:
    def build(folder: Path) -> Model:
        model = parser.parse_model(f"{HEADER} g (float[1] x) => (float[1] y) {{ y = Relu(x) }}")
        for index in range(count):
            model.graph.node[0].metadata_props.add(key=f"trace{index}", value=value)
        return opened(folder, model)

    return build


def of_three_gigabytes(folder: Path) -> Model:
    """A sparse file: one tensor whose bytes the file system does not store."""
    model = ModelProto(ir_version=8, opset_import=[helper.make_opsetid("", 17)])
    model.graph.output.append(helper.make_tensor_value_info("w", TensorProto.UINT8, [3 << 30]))
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[3 << 30]).SerializeToString()
    payload = (3 << 30).to_bytes(5, "little")
    varint = encoded(3 << 30)
    tensor += b"\x4a" + varint
    length = len(tensor) + int.from_bytes(payload, "little")
    graph = model.graph.SerializeToString() + b"\x2a" + encoded(length) + tensor
    model.ClearField("graph")
    head = model.SerializeToString() + b"\x3a" + encoded(len(graph) + (3 << 30)) + graph
    with open(folder / "large.onnx", "wb") as file:
        file.write(head)
        file.truncate(len(head) + (3 << 30))
    return open_model(str(folder / "large.onnx"))


def encoded(value: int) -> bytes:
    """The value as a protobuf varint."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


BUILT: dict[str, Callable[[Path], Model]] = {
    "large-constant": has_large_constant,
    "duplicate-initializer": has_duplicates,
    "external-data-unused-bytes": has_gap,
    "unused-function": has_unused_function,
    "unused-opset-import": has_unused_import,
    "private-metadata": with_metadata('File "/home/alice/train.py", line 12', 1),
    "bulky-metadata": with_metadata('File "/opt/train.py"' + 80 * "x", 1000),
    "protobuf-too-large": of_three_gigabytes,
}


def of_text(text: str) -> Callable[[Path], Model]:
    return lambda folder: opened(folder, f"{HEADER} {text}")


MODELS = {**{code: of_text(text) for code, text in TEXTS.items()}, **BUILT}


def findings_of(model: Model) -> dict[str, Finding]:
    return {finding.code: finding for finding in look_closer(ModelGraphs(model))}


@pytest.mark.parametrize("code", MODELS)
def test_each_finding_is_found_where_it_is(tmp_path: Path, code: str) -> None:
    found = findings_of(MODELS[code](tmp_path))
    assert code in found
    assert set(found) - {code} <= RELATED.get(code, set())


RELATED = {
    "large-constant": {"unnamed-dimension"},
    "protobuf-too-large": {"trivial-output", "suspicious-dimension"},
    "training-operator": {"unknown-shape"},
    "external-data-unused-bytes": {"unfused-batch-normalization"},
}
"""What else is found in that model, and rightly so."""


@pytest.mark.parametrize("name", ["digits_mlp", "if_branches", "int8_qdq", "loop_sum", "strings", "transformer_block"])
def test_models_without_oddities_have_no_findings(name: str) -> None:
    assert findings_of(open_model(str(SAMPLES / f"{name}.onnx"))) == {}


@pytest.mark.parametrize("path", shared_paths(), ids=lambda path: path.name)
def test_real_models_have_no_errors(path: Path) -> None:
    assert not [each for each in look_closer(ModelGraphs(open_model(str(path)))) if each.severity == "error"]


def test_findings_say_how_many_and_where_first(tmp_path: Path) -> None:
    dead = findings_of(opened(tmp_path, f"{HEADER} {TEXTS['dead-node']}"))["dead-node"]
    assert dead.message.endswith("2 nodes")
    assert dead.where == "Abs(z)"


def test_values_that_only_subgraphs_read_are_used(tmp_path: Path) -> None:
    text = """g (float[1] x, bool b) => (float[1] y) <float[1] w = {2}> {
        r = Relu(w)
        y = If (b) <
            then_branch = t () => (float[1] a) { a = Mul(x, r) },
            else_branch = e () => (float[1] c) { c = Mul(x, w) }> }"""
    assert (
        not {"dead-node", "unused-initializer", "unused-input"}
        & findings_of(opened(tmp_path, f"{HEADER} {text}")).keys()
    )


def test_nodes_that_only_dead_nodes_of_a_subgraph_read_are_told_there(tmp_path: Path) -> None:
    text = """g (float[1] x, bool b) => (float[1] y) {
        y = If (b) <
            then_branch = t () => (float[1] a) { a = Relu(x) u = Neg(a) },
            else_branch = e () => (float[1] c) { c = Neg(x) }> }"""
    assert findings_of(opened(tmp_path, f"{HEADER} {text}"))["dead-node"].where == "If/then_branch/Neg(u)"


def test_tensors_that_only_look_alike_are_no_duplicates(tmp_path: Path) -> None:
    values = np.zeros(50_000, np.float32)
    other = values.copy()
    other[12_345] = 1  # not among the samples
    tensors = [numpy_helper.from_array(values, "a"), numpy_helper.from_array(other, "b")]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [50_000])]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", [], outputs, tensors)
    assert "duplicate-initializer" not in findings_of(opened(tmp_path, helper.make_model(graph)))


def test_initializers_that_share_their_bytes_in_a_data_file_are_no_duplicates(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(80_000))
    tensors = []
    for name in "ab":
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[20_000], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="data.bin")
        tensors.append(tensor)
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [20_000])]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", [], outputs, tensors)
    (tmp_path / "model.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    assert "duplicate-initializer" not in findings_of(open_model(str(tmp_path / "model.onnx")))


def test_missing_data_is_no_reason_to_fail(tmp_path: Path) -> None:
    model = onnx.load(SAMPLES / "digits_cnn.onnx")
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="data.bin", size_threshold=0)
    (tmp_path / "data.bin").unlink()
    assert set(findings_of(open_model(str(tmp_path / "m.onnx")))) == {"unfused-batch-normalization"}


@pytest.mark.parametrize(
    "path", ["/home/alice/x.py", "/Users/alice/x.py", r"C:\Users\alice\x.py", "see /root/.cache/model for more"]
)
def test_home_folders_are_recognised(tmp_path: Path, path: str) -> None:
    assert "private-metadata" in findings_of(with_metadata(path, 1)(tmp_path))


@pytest.mark.parametrize("path", ["/usr/lib/python3/x.py", "a/home/alice", "https://example.org/roots", "layer/root/x"])
def test_other_paths_are_not_private(tmp_path: Path, path: str) -> None:
    found = findings_of(with_metadata(path, 1)(tmp_path))
    assert ("private-metadata" in found) == (path == "a/home/alice")


def test_the_worst_comes_first() -> None:
    findings = tuple(Finding(code=code, severity=code, message="") for code in ("info", "error", "warning", "error"))
    assert [each.severity for each in worst_first(findings)] == ["error", "error", "warning", "info"]


@pytest.mark.parametrize(("source", "middle", "told"), [(1, 11, True), (1, 10, False), (1, 7, False), (6, 7, True)])
def test_a_cast_back_is_redundant_where_the_first_lost_nothing(
    tmp_path: Path, source: int, middle: int, told: bool
) -> None:
    kind = {1: "float", 6: "int32"}[source]
    text = f"g ({kind}[1] x) => ({kind}[1] y) {{ a = Cast <to = {middle}> (x) y = Cast <to = {source}> (a) }}"
    found = findings_of(opened(tmp_path, f"{HEADER} {text}"))
    assert ("redundant-cast" in found) == told


def test_duplicates_that_are_a_small_part_of_the_model_are_not_told(tmp_path: Path) -> None:
    bias = np.zeros(20_000, np.float32)
    weight = np.arange(2_000_000, dtype=np.float32) * 5
    tensors = [numpy_helper.from_array(bias, "a"), numpy_helper.from_array(bias, "b")]
    many = [numpy_helper.from_array(weight + index, f"w{index}") for index in range(2)]
    names = [each.name for each in (*tensors, *many)]
    nodes = [helper.make_node("Concat", names, ["y"], axis=0)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4_040_000])]
    graph = helper.make_graph(nodes, "g", [], outputs, [*tensors, *many])
    assert "duplicate-initializer" not in findings_of(opened(tmp_path, helper.make_model(graph)))
