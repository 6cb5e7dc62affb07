"""`optimize` from file to file: levels, what can't be proven, frozen sizes, dry runs, and that a second run is idle."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxctl.api.checking import check
from onnxctl.api.optimization import optimize
from onnxctl.child import Child
from onnxctl.errors import OutputExists, UnreadableFile, UsageError
from onnxctl.passes.pipeline import PIPELINE
from onnxctl.runtime.speed import MINIMUM_PAIR_COUNT
from onnxctl.runtime.timing import LEAST_ROUND_COUNT
from tests.conftest import SAMPLES, sample_paths, shared_paths
from tests.runtime.models import not_of_an_older_onnxruntime, write_model

pytest.importorskip("onnxruntime")
BLOCK = SAMPLES / "transformer_block.onnx"
PASSES = {each.name: each for each in PIPELINE}

TWIST = """<ir_version: 10, opset_import: ["": 21, "my.own": 1]> g (float[2] x) => (float[2] y)
<float one = {1}, float two = {2}>
{ a = Identity(x)  t = Add(one, two)  b = Mul(a, t)  y = my.own.Twist(b) }"""
RANDOM = """<ir_version: 10, opset_import: ["": 21]> g (float[9] x) => (float[9] y)
<float one = {1}, float two = {2}>
{ a = Identity(x)  t = Add(one, two)  r = RandomNormalLike(a)  y = Mul(r, t) }"""
GROUPED = """<ir_version: 10, opset_import: ["" : 21]> g (float[2, 4, 3] x) => (float[2, 4, 3] y)
<int64[3] groups = {0, 2, -1}, int64[3] whole = {0, 4, 3}, float[2] ones = {1, 1}, float[2] zeros = {0, 0},
float[4, 1] w = {1, 2, 3, 4}, float[4, 1] v = {4, 3, 2, 1}>
{ r = Reshape(x, groups)  i = InstanceNormalization(r, ones, zeros)  q = Reshape(i, whole)
m = Mul(q, w)  y = Add(m, v) }"""
ENDLESS = """<ir_version: 10, opset_import: ["": 21]> g (float x) => (float y)
<int64 n = {1000000000}, bool go = {1}> { a = Identity(x)  y = Loop(n, go, a)
<body = b (int64 i, bool c, float v) => (bool d, float w) { d = Identity(c)  w = Sin(v) }> }"""


# ---------------------------------------------------------------- never worse, and at rest


def check_twice(source: Path, folder: Path) -> None:
    """Optimize a model with its data files, and the result again: no larger, no more nodes, and then at rest."""
    once, twice = folder / "once", folder / "twice"
    once.mkdir()
    twice.mkdir()
    first = optimize(str(source), str(once / "model.onnx"), timeout_s=60.0)
    assert first.status == "written"
    assert first.after.node_count <= first.before.node_count
    assert first.after.file_bytes <= first.before.file_bytes
    assert not [each for each in first.findings if each.code == "pass-rolled-back"]
    second = optimize(str(once / "model.onnx"), str(twice / "model.onnx"), verify=first.verification.status == "equal")
    assert {each.name: each.read_bytes() for each in once.iterdir()} == {
        each.name: each.read_bytes() for each in twice.iterdir()
    }
    assert second.after == first.after


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.name)
def test_sample_models_only_become_smaller_and_then_stay(path: Path, tmp_path: Path) -> None:
    check_twice(path, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", shared_paths(), ids=lambda path: path.name)
def test_shared_models_only_become_smaller_and_then_stay(path: Path, tmp_path: Path) -> None:
    check_twice(path, tmp_path)


def test_the_same_model_becomes_the_same_bytes(tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("one.onnx", "two.onnx")]
    for output in outputs:
        optimize(str(BLOCK), str(output), verify=False)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


# ---------------------------------------------------------------- levels


def test_the_safe_level_keeps_every_bit(tmp_path: Path) -> None:
    report = optimize(str(BLOCK), str(tmp_path / "out.onnx"), level="safe", tolerance=0.0)
    assert all(PASSES[each.name].exact for each in report.passes)
    assert (report.level, report.status, report.verification.status) == ("safe", "written", "equal")
    assert all(each.max_absolute == 0 for each in report.verification.outputs)
    assert not report.findings
    assert report.after.node_count < report.before.node_count


def test_the_max_level_asks_onnxsim(tmp_path: Path) -> None:
    pytest.importorskip("onnxsim")
    default = optimize(str(BLOCK), str(tmp_path / "a.onnx"))
    report = optimize(str(BLOCK), str(tmp_path / "b.onnx"), level="max")
    assert report.passes[-1].name == "simplify_with_onnxsim"
    assert report.verification.status == "equal"
    assert report.after.node_count <= default.after.node_count
    assert "simplify_with_onnxsim" not in {each.name for each in default.passes}


# ---------------------------------------------------------------- proof


@pytest.mark.parametrize(
    ("text", "reason"),
    [(TWIST, "Twist"), (RANDOM, "random"), (ENDLESS, "time limit of 2 s")],
    ids=["custom", "random", "hang"],
)
def test_what_cannot_be_compared_gets_structural_passes_and_is_called_unverified(
    text: str, reason: str, tmp_path: Path
) -> None:
    source = write_model(tmp_path, text)
    report = optimize(source, str(tmp_path / "out.onnx"), timeout_s=2.0 if text is ENDLESS else None)
    assert (report.status, report.verification.status) == ("written", "not verified")
    assert reason in report.verification.reason
    assert all(PASSES[each.name].is_structural for each in report.passes)
    assert [each.code for each in report.findings] == ["structural-passes-only"]
    operators = [node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node]
    assert "Identity" not in operators
    assert ("Add" in operators) is (text is not ENDLESS), "constants are not folded"


def test_what_must_be_verified_is_written_only_then(tmp_path: Path) -> None:
    source = write_model(tmp_path, TWIST)
    report = optimize(source, str(tmp_path / "out.onnx"), require_verified=True)
    assert (report.status, report.verification.status) == ("not verified", "not verified")
    assert not (tmp_path / "out.onnx").exists()
    proven = optimize(str(SAMPLES / "strings.onnx"), str(tmp_path / "out.onnx"), require_verified=True)
    assert (proven.status, proven.verification.status) == ("written", "equal")


IMPOSSIBLE = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[2, 3] y)
<int64[2] s = {2, 3}> { a = Identity(x)  y = Reshape(a, s) }"""

DIVIDING = """<ir_version: 8, opset_import: ["": 17]> g (int32[4] x) => (int32[4] y)
<int32[4] q = {0, 0, 0, 0}> { i = Identity(x)  y = Div(i, q) }"""

NOT_A_NUMBER = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 4] y, float[N, 4] z)
{ a = Identity(x)  b = Abs(a)  c = Neg(b)  y = Log(c)  z = Neg(a) }"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(IMPOSSIBLE, id="impossible"),
        pytest.param(DIVIDING, id="dividing by zero", marks=not_of_an_older_onnxruntime),  # these crash
    ],
)
def test_an_original_that_does_not_run_proves_nothing(text: str, tmp_path: Path) -> None:
    report = optimize(write_model(tmp_path, text), str(tmp_path / "out.onnx"))
    assert (report.status, report.verification.status) == ("written", "not verified")
    assert report.verification.reason.startswith("the original doesn't run here")
    assert [each.code for each in report.findings] == ["structural-passes-only"]


def test_equal_outputs_of_nothing_but_nan_are_called_a_weak_proof(tmp_path: Path) -> None:
    report = optimize(write_model(tmp_path, NOT_A_NUMBER), str(tmp_path / "out.onnx"))
    assert report.verification.status == "equal"
    assert report.verification.reason == "but 'y' held nothing but NaN, which proves little"
    assert report.verification.run_count >= 3


def test_without_proof_all_passes_run(tmp_path: Path) -> None:
    report = optimize(write_model(tmp_path, TWIST), str(tmp_path / "out.onnx"), verify=False)
    assert (report.verification.status, report.findings) == ("skipped", ())
    assert [node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node] == ["Mul", "Twist"]


def test_a_model_beyond_memory_is_not_even_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '<ir_version: 10, opset_import: ["": 21]> g (float x) => (float y) <int64[1] n = {1000000000}>'
    model = write_model(tmp_path, text + "{ a = Identity(x)  b = Expand(a, n)  y = ReduceMax <keepdims: int = 0> (b) }")
    monkeypatch.setattr("onnxctl.memory.usual_memory_bytes", lambda: 1 << 30)
    news: list[str] = []
    report = optimize(model, str(tmp_path / "out.onnx"), progress=news.append)
    assert (report.status, report.verification.status) == ("written", "not verified")
    assert "bytes of memory" in report.verification.reason
    assert "verifying" not in news


def test_the_processes_that_work_on_a_model_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxctl.memory.usual_memory_bytes", lambda: 1 << 30)
    limits: dict[str, int | None] = {}
    start = Child.start

    def note(child: Child) -> None:
        limits[child._preload[0]] = child._memory_bytes
        start(child)

    monkeypatch.setattr(Child, "start", note)
    optimize(str(BLOCK), str(tmp_path / "out.onnx"))
    check(str(BLOCK))
    assert limits == {"onnx": 1 << 30, "onnxruntime": 1 << 30}


def test_own_data_is_compared_on(tmp_path: Path) -> None:
    picture = tmp_path / "image.npy"
    np.save(picture, np.full((3, 1, 8, 8), 7, np.float32))
    cnn = str(SAMPLES / "digits_cnn.onnx")
    report = optimize(cnn, str(tmp_path / "out.onnx"), inputs={"image": str(picture)})
    assert report.verification.status == "equal"
    assert report.verification.dims == ((("batch", 3),),)
    assert report.verification.run_count == 1
    with pytest.raises(UnreadableFile, match=r"nowhere\.npy"):
        optimize(cnn, str(tmp_path / "out2.onnx"), inputs={"image": "nowhere.npy"})
    with pytest.raises(UsageError, match="picture"):
        optimize(cnn, str(tmp_path / "out2.onnx"), inputs={"picture": str(picture)})


def test_more_runs_can_be_asked_for(tmp_path: Path) -> None:
    assert optimize(str(BLOCK), str(tmp_path / "out.onnx"), run_count=9).verification.run_count >= 9


def test_a_tolerance_of_nothing_leaves_out_what_rounds(tmp_path: Path) -> None:
    report = optimize(str(BLOCK), str(tmp_path / "out.onnx"), tolerance=0.0)
    assert (report.status, report.verification.status) == ("written", "equal")
    assert report.findings
    assert all(not PASSES[each.where.partition(":")[0]].exact for each in report.findings)


def test_a_loop_of_nothing_is_not_unrolled_for_ever(tmp_path: Path) -> None:
    text = ENDLESS.replace("1000000000", "4611686018427387904").replace("Sin", "Identity")
    report = optimize(write_model(tmp_path, text), str(tmp_path / "out.onnx"), verify=False)
    assert report.after.node_count <= report.before.node_count


# ---------------------------------------------------------------- frozen sizes

OPEN = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,4] x) => (float[M,4] y) '


CALLED_TWICE = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    agraph (float[n] x, bool c) => (float[n] y, float[n] z) { y = local.outer(x)  z = If (c) <
        then_branch = t () => (float[n] o) { o = local.outer(y) }, else_branch = e () => (float[n] o) { o = Neg(y) }
    > }
    <opset_import: ["" : 17, "local" : 1], domain: "local"> outer (v) => (r)
    { a = local.inner<alpha = 0.25>(v)  r = local.inner<alpha = 0.5>(a) }
    <opset_import: ["" : 17], domain: "local"> inner <alpha> (v) => (r)
    { a = LeakyRelu<alpha: float = @alpha>(v)  r = Exp(a) }"""


def test_functions_are_inlined_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write_model(tmp_path, CALLED_TWICE)
    kept = optimize(path, os.fspath(tmp_path / "kept.onnx"))
    assert {each.op_type for each in kept.after.operators} >= {"inner", "outer"}
    report = optimize(path, os.fspath(tmp_path / "out.onnx"), inline_functions=True)
    assert report.verification.status == "equal"
    left = {each.op_type: each.count for each in report.after.operators}
    assert left == {"LeakyRelu": 4, "Exp": 4, "If": 1, "Neg": 1}
    assert not onnx.load(tmp_path / "out.onnx").functions
    assert report.passes[0].name == "inline_functions"
    assert report.passes[0].rewrite_count == 6


def test_functions_for_another_opset_stay_and_are_told(tmp_path: Path) -> None:
    text = CALLED_TWICE.replace('<opset_import: ["" : 17], domain', '<opset_import: ["" : 16], domain')
    path = write_model(tmp_path, text)
    report = optimize(path, os.fspath(tmp_path / "out.onnx"), inline_functions=True)
    assert report.verification.status == "equal"
    assert {each.op_type: each.count for each in report.after.operators}["inner"] == 4
    assert next(each.count for each in report.refusals if "other versions" in each.reason) == 4


def test_a_frozen_size_is_frozen_everywhere(tmp_path: Path) -> None:
    source = write_model(tmp_path, OPEN.replace("M", "N") + "{ s = Shape(x)  r = Relu(x)  y = Reshape(r, s) }")
    report = optimize(source, str(tmp_path / "out.onnx"), dims={"N": 3})
    after = onnx.load(tmp_path / "out.onnx")
    assert [node.op_type for node in after.graph.node] == ["Relu"]
    assert [
        dim.dim_value for value in (*after.graph.input, *after.graph.output) for dim in value.type.tensor_type.shape.dim
    ] == [3, 4, 3, 4]
    assert report.verification.status == "equal"
    assert report.dims == (("N", 3),)


def test_a_dimension_without_a_name_is_fixed_by_that_of_its_input(tmp_path: Path) -> None:
    source = write_model(tmp_path, "g (float[?, 4] x) => (float[?, 4] y) { y = Relu(x) }")
    report = optimize(source, str(tmp_path / "out.onnx"), dims={"x.0": 3})
    shape = onnx.load(tmp_path / "out.onnx").graph.input[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim] == [3, 4]
    assert report.verification.status == "equal"


@pytest.mark.parametrize(
    ("text", "dims", "said"),
    [
        (OPEN + "<float[2,1] w = {1, 2}> { y = Add(x, w) }", {"N": 3}, r"'Add\(y\)': 3 and 2 must be equal"),
        (OPEN + "{ y = Relu(x) }", {"N": 3, "M": 4}, "computed 3, stated 4"),
        (OPEN.replace("M", "7") + "{ y = Relu(x) }", {"N": 3}, r"dimension 0: \(3\) vs \(7\)"),
        (OPEN + "{ y = Concat<axis=0>(x, x) }", {"N": 3, "M": 5}, "computed 6, stated 5"),
        (OPEN + "{ y = Relu(x) }", {"K": 3}, "no symbolic dimension 'K'"),
    ],
)
def test_a_size_that_contradicts_the_model_is_refused(
    text: str, dims: dict[str, int], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        optimize(write_model(tmp_path, text), str(tmp_path / "out.onnx"), dims=dims)
    assert os.listdir(tmp_path) == ["model.onnx"]


# ---------------------------------------------------------------- what is done and told


def test_data_that_is_left_behind_in_place_is_told(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "external_data", tmp_path, dirs_exist_ok=True)
    path = str(tmp_path / "external_data.onnx")
    first, second = (optimize(path, in_place=True, verify=False) for _ in range(2))
    assert [(each.code, each.severity) for each in first.findings] == [("data-left-behind", "info")]
    assert str(tmp_path / "external_data.data") in first.findings[0].message
    assert second.findings == (), "what it replaced was of its own making"


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    source = Path(shutil.copy(BLOCK, tmp_path))
    report = optimize(str(source), dry_run=True)
    assert (report.status, report.output, report.files_written) == ("dry run", None, ())
    assert report.verification.status == "equal"
    assert report.after.node_count < report.before.node_count
    assert os.listdir(tmp_path) == [source.name]
    assert source.read_bytes() == BLOCK.read_bytes()
    with pytest.raises(OutputExists):
        optimize(str(BLOCK), str(source), dry_run=True)


def test_every_node_that_was_left_alone_is_told_where_somebody_asks(tmp_path: Path) -> None:
    plain, explained = (optimize(str(BLOCK), dry_run=True, verify=False, explain=explain) for explain in (False, True))
    assert all(not each.nodes for each in plain.refusals)
    assert explained.refusals
    assert all(len(each.nodes) == each.count and each.nodes[0] == each.where for each in explained.refusals)


def test_what_slows_some_runtimes_down_is_for_level_max_or_asked_for_by_name(tmp_path: Path) -> None:
    pytest.importorskip("onnxsim")
    source = write_model(tmp_path, GROUPED)
    assert optimize(source, str(tmp_path / "default.onnx")).after.node_count == 5
    for chosen in ({"level": "max"}, {"passes": ["fuse_group_normalization"]}):
        report = optimize(source, str(tmp_path / "out.onnx"), force=True, **chosen)
        assert report.after.node_count == 1
        assert report.verification.status == "equal"


def test_the_stages_are_timed(tmp_path: Path) -> None:
    report = optimize(str(BLOCK), str(tmp_path / "out.onnx"), measure=True)
    assert [each.name for each in report.stages] == ["reading", "simplifying", "writing", "verifying", "measuring"]
    assert sum(each.elapsed_ns for each in report.stages) <= report.elapsed_ns
    assert report.speed is not None
    assert report.speed.ratio.low <= report.speed.ratio.ratio <= report.speed.ratio.high
    assert report.speed.before.sample_count == report.speed.after.sample_count >= LEAST_ROUND_COUNT * MINIMUM_PAIR_COUNT


def test_what_must_become_faster_is_written_only_then(tmp_path: Path) -> None:
    report = optimize(str(SAMPLES / "strings.onnx"), str(tmp_path / "out.onnx"), require_faster=True)
    assert report.speed is not None
    is_faster = report.speed.ratio.verdict == "faster"
    assert report.status == ("written" if is_faster else "not faster")
    assert (tmp_path / "out.onnx").exists() is is_faster


def test_a_speed_that_cannot_be_measured_is_a_finding(tmp_path: Path) -> None:
    source = write_model(tmp_path, TWIST)
    report = optimize(source, str(tmp_path / "out.onnx"), measure=True)
    assert report.status == "written"
    assert report.speed is None
    assert "not-measured" in {each.code for each in report.findings}


def test_weights_beside_the_model_are_only_fetched_from_there(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    weight = numpy_helper.from_array(np.arange(4096, dtype=np.float32).reshape(64, 64), "w")
    model = onnx.parser.parse_model(OPEN.replace("N,4", "N,64").replace("M,4", "N,64") + "{ y = MatMul(x, w) }")
    model.graph.initializer.append(weight)
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    report = optimize(str(folder / "model.onnx"), str(tmp_path / "out.onnx"))
    assert report.verification.status == "equal"
    assert report.files_written == (str(tmp_path / "out.onnx"), str(tmp_path / "out.onnx.data"))
    assert sorted(os.listdir(folder)) == ["model.onnx", "w.bin"]
