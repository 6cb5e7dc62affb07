"""What other tools for ONNX files got wrong when they were tried, each with the tests that show that onnxctl does not.

At the end those tests that belong nowhere else: whole commands on the models that were theirs to fail on.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from onnxctl import cli
from onnxctl.api import optimize, run
from tests.command_line import strict_json
from tests.conftest import ROOT, SAMPLES
from tests.runtime.models import write_model

pytest.importorskip("onnxruntime")

TRAPS = "tests/passes/test_known_traps.py::"
COUNTING = "tests/analysis/cost/test_counting.py::"
EVERY_COMMAND = "tests/test_peers.py::test_odd_but_valid_models_go_through_every_command"

BUGS: dict[str, tuple[str, ...]] = {
    "Numbers in Constant nodes became double: an invalid model, exit code 0 (OnnxSlim, Polygraphy)": (
        TRAPS + "test_numbers_in_constants_stay_float32",
        EVERY_COMMAND,
    ),
    "Functions of the model: an invalid model, exit code 0 (OnnxSlim, Polygraphy)": (
        TRAPS + "test_functions_of_the_model_stay_valid",
        EVERY_COMMAND,
    ),
    "Optional inputs: a crash (OnnxSlim, Polygraphy)": (
        TRAPS + "test_an_optional_input_of_the_model_stays",
        TRAPS + "test_optional_inputs_that_are_left_out_stay_left_out",
        EVERY_COMMAND,
    ),
    "sparse_initializer was dropped: an invalid model (onnxscript), an incomplete text (onnx.printer)": (
        TRAPS + "test_a_sparse_initializer_stays",
        "tests/analysis/test_text.py::test_what_the_syntax_has_no_place_for_is_a_comment",
        EVERY_COMMAND,
    ),
    "Fixing the batch of one of two inputs that share it left the model inconsistent (onnxsim)": (
        "tests/test_peers.py::test_a_symbol_that_two_inputs_share_is_fixed_in_both",
        "tests/api/test_optimization.py::test_a_size_that_contradicts_the_model_is_refused",
    ),
    "A tiny model grew by metadata (onnxsim); doc strings, metadata, versions were dropped (OnnxSlim, Polygraphy)": (
        TRAPS + "test_a_tiny_model_does_not_grow",
        TRAPS + "test_doc_strings_and_metadata_stay",
        "tests/passes/test_gauntlet.py::test_sample_models",
    ),
    "The output pointed at the input's data file and failed from another folder (onnxruntime's optimizer)": (
        "tests/test_peers.py::test_the_output_stands_alone_in_another_folder",
        "tests/model/test_saving.py::test_data_gets_a_name_that_nothing_refers_to",
    ),
    "A mismatch was found: exit code 0 (OnnxSlim), and the file written all the same (onnxsim)": (
        "tests/api/test_proof.py::test_where_nothing_can_be_found_nothing_is_written",
        "tests/commands/test_optimize.py::test_a_difference_is_an_answer_and_that_is_no",
    ),
    "Indices beyond a small table (onnxruntime_test); strings, sequences, optionals: a crash (all runners in Python)": (
        "tests/runtime/test_feeds.py::test_indices_stay_within_what_they_index",
        "tests/runtime/test_feeds.py::test_sequences_optionals_and_maps_follow_their_types",
        "tests/runtime/test_feeds.py::test_strings_are_those_an_encoder_knows",
        "tests/commands/test_run.py::test_values_of_every_kind_are_kept_read_again_and_shared_by_variants",
    ),
    "CUDA was asked for and absent: a warning, then the CPU (onnxruntime)": (
        "tests/runtime/test_session.py::test_cuda_in_a_build_without_it_is_refused_with_the_command",
        "tests/commands/test_run.py::test_a_provider_that_is_not_here_is_a_machine_error",
    ),
    "A Loop of four trips was costed once (onnxsim); If, Loop, functions, int4: a crash (onnx-tool)": (
        COUNTING + "test_a_loop_costs_its_trips",
        COUNTING + "test_an_if_costs_its_dearer_branch",
        COUNTING + "test_a_function_costs_as_often_as_it_is_called",
        COUNTING + "test_elements_of_less_than_a_byte_are_packed",
        EVERY_COMMAND,
    ),
    "A missing path or a broken file: a page of traceback (all of them)": (
        "tests/test_peers.py::test_a_missing_or_broken_file_is_one_line_and_a_hint",
        "tests/hostile/test_commands.py::test_commands_survive_the_corpus",
    ),
    "A folded Tile, ConstantOfShape or Expand, or a second copy of a weight, blew the file up (onnxsim, OnnxSlim)": (
        "tests/passes/test_fold_constants.py::test_what_would_blow_the_file_up_is_refused_before_it_is_computed",
        "tests/passes/test_fold_constants.py::test_a_weight_that_is_used_elsewhere_is_not_stored_a_second_time",
    ),
    "A pass changed results silently, and its user bisected by hand (OnnxSlim)": (
        "tests/api/test_proof.py::test_a_faulty_pass_is_found_and_left_out",
        "tests/api/test_proof.py::test_the_very_node_is_named",
    ),
    "Unused and overridable inputs were dropped, ZipMap broken (OnnxSlim, onnxsim)": (
        TRAPS + "test_unused_and_overridable_inputs_stay",
        TRAPS + "test_maps_that_zipmap_makes_stay_the_output",
        "tests/hostile/test_inspect.py::test_optimize_keeps_odd_interfaces",
        EVERY_COMMAND,
    ),
    "A false type of a value in between rewrote an input's shape (onnxsim)": (
        TRAPS + "test_a_false_type_of_a_value_in_between_is_not_believed",
    ),
    "A path in external data was followed out of the folder; broken data became zeros, exit code 0 (onnxsim)": (
        "tests/model/test_loading.py::test_locations_lead_nowhere_else",
        "tests/model/test_loading.py::test_impossible_offsets_and_lengths_are_refused",
        "tests/passes/test_simplify_with_onnxsim.py::test_onnxsim_gets_no_weights",
    ),
    "A full disk during a run in place destroyed the input; saving twice doubled the data (onnxsim, OnnxSlim)": (
        "tests/model/test_saving.py::test_a_full_disk_leaves_all_as_it_was",
        "tests/model/test_saving_faults.py::test_in_place_again_and_again_neither_grows_nor_leaves_anything",
    ),
}


def test_every_bug_has_tests_that_exist() -> None:
    for bug, tests in BUGS.items():
        for test in tests:
            path, _, name = test.partition("::")
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{bug}: no {test}"


# ---------------------------------------------------------------- odd but valid

HEAD = '<ir_version: 10, opset_import: ["" : 21, "my.own" : 1, "ai.onnx.ml" : 3]> '

ODD_MODELS = {
    "numbers in constants": """g (float[2] x) => (float[2] y) {
        a = Constant<value_float = 1.5>()  b = Constant<value_floats = [1.5, 2.5]>()  c = Constant<value_int = 3>()
        d = Constant<value_ints = [1, 2]>()  e = Add(x, a)  f = Mul(e, b)  i = Add(d, c)  h = Cast<to = 1>(i)
        y = Add(f, h) }""",
    "functions": """g (float[2] x) => (float[2] y) { a = my.own.leaky<slope = 0.5>(x) y = my.own.leaky<slope = 0.1>(a) }
        <domain: "my.own", opset_import: ["" : 21]> leaky <slope> (v) => (w) {
            i = Identity(v)  w = LeakyRelu<alpha: float = @slope>(i) }""",
    "an optional input": """g (optional(float[2]) o, float[2] x) => (float[2] y) {
        h = OptionalHasElement(o)
        a = If(h) <then_branch = t () => (float[2] u) { u = OptionalGetElement(o) },
                   else_branch = e () => (float[2] v) { v = Neg(x) }>
        b = Identity(a)  y = Add(b, x) }""",
    "an unused and an overridable input": """g (float[2] x, float[k] unused, float[2] w) => (float[2] y)
        <float[2] w = {1, 2}> { y = Mul(x, w) }""",
    "maps": """g (float[N, 3] x) => (seq(map(int64, float)) y) {
        a = Identity(x)  y = ai.onnx.ml.ZipMap<classlabels_int64s = [4, 5, 6]>(a) }""",
    "a loop": """g (float[4, 4] x) => (float[4, 4] y) <int64 n = {4}, bool go = {1}> {
        y = Loop(n, go, x) <body = b (int64 i, bool c, float[4, 4] v) => (bool d, float[4, 4] w) {
            d = Identity(c)  w = MatMul(v, v) }> }""",
    "a branch": """g (bool c, float[4, 4] x) => (float[4, 4] y) {
        y = If(c) <then_branch = t () => (float[4, 4] u) { u = MatMul(x, x) },
                   else_branch = e () => (float[4, 4] v) { v = Neg(x) }> }""",
}


def sparse_model() -> ModelProto:
    """A model with a sparse initializer."""
    model = onnx.parser.parse_model(HEAD + "g (float[3] x) => (float[3] y) { a = Identity(s)  y = Add(x, a) }")
    values, indices = helper.make_tensor("s", TensorProto.FLOAT, [1], [5.0]), helper.make_tensor("", 7, [1], [1])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))
    return model


def int4_model() -> ModelProto:
    """A product with weights of four bits."""
    model = onnx.parser.parse_model(
        HEAD + "g (float[2, 4] x) => (float[2, 3] y) <float s = {0.5}> { w = DequantizeLinear(q, s)  y = MatMul(x, w) }"
    )
    model.graph.initializer.append(helper.make_tensor("q", TensorProto.INT4, [4, 3], np.arange(-6, 6).tolist()))
    return model


MODELS: dict[str, Callable[[], ModelProto]] = {
    **{name: lambda text=text: onnx.parser.parse_model(HEAD + text) for name, text in ODD_MODELS.items()},  # type: ignore[misc]
    "a sparse initializer": sparse_model,
    "weights of four bits": int4_model,
}


@pytest.mark.parametrize("name", MODELS)
def test_odd_but_valid_models_go_through_every_command(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = MODELS[name]()
    path, smaller = write_model(tmp_path, model), str(tmp_path / "smaller.onnx")
    assert cli.execute(["inspect", path, "--nodes", "--weights", "--cost", "--memory", "--full-text", "--json"]) == 0
    assert strict_json(capsys.readouterr().out.encode())["kind"] == "inspect"
    report = optimize(path, smaller)
    assert (report.status, report.verification.status, report.findings) == ("written", "equal", ())
    after = onnx.load(smaller)
    onnx.checker.check_model(after, full_check=not model.graph.sparse_initializer)  # which onnx gives no dense type
    assert (after.graph.input, after.graph.output) == (model.graph.input, model.graph.output)
    assert os.path.getsize(smaller) <= os.path.getsize(path)
    assert run(smaller, runs=1, warmup=0).outputs


def test_a_symbol_that_two_inputs_share_is_fixed_in_both(tmp_path: Path) -> None:
    path = write_model(tmp_path, "g (float[batch, 3] x, float[batch, 3] w) => (float[batch, 3] y) { y = Add(x, w) }")
    optimize(path, str(tmp_path / "out.onnx"), dims={"batch": 4})
    after = onnx.load(tmp_path / "out.onnx")
    shapes = [value.type.tensor_type.shape.dim for value in (*after.graph.input, *after.graph.output)]
    assert [[dim.dim_value for dim in shape] for shape in shapes] == [[4, 3]] * 3


def test_the_output_stands_alone_in_another_folder(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(SAMPLES / "external_data", source)
    target.mkdir()
    report = optimize(str(source / "external_data.onnx"), str(target / "model.onnx"))
    assert len(report.files_written) == 2
    shutil.rmtree(source)
    moved = tmp_path / "moved"
    target.rename(moved)
    assert run(str(moved / "model.onnx"), runs=1, warmup=0).outputs


@pytest.mark.parametrize("verb", ["inspect", "optimize", "run", "check", "diff"])
@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04" + bytes(100), b"\x08\x08\x12"])
def test_a_missing_or_broken_file_is_one_line_and_a_hint(
    verb: str, content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    more = {"optimize": ["-o", str(tmp_path / "out.onnx")], "diff": [str(SAMPLES / "digits_mlp.onnx")]}
    code = cli.execute([verb, str(path), *more.get(verb, [])])
    said = capsys.readouterr()
    if verb == "check":  # its findings are its report
        assert code in (1, 3)
        assert "Traceback" not in said.out + said.err
        return
    assert (code, said.out) == (3, "")
    first, *others = said.err.splitlines()
    assert first.startswith(f"onnxctl: error: {path}: ")
    assert all(line.startswith("  hint: ") for line in others)
    assert len(others) <= 1
    assert {each.name for each in tmp_path.iterdir()} <= {"model.onnx"}
