"""The twenty-five promises, each with the tests that hold it; and those tests that belong nowhere else."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

import onnx
import pytest

from tests.command_line import COMMAND, environment, onnxctl, strict_json
from tests.conftest import ROOT, SAMPLES
from tests.hostile.conftest import corpus as corpus
from tests.hostile.conftest import nursery as nursery
from tests.hostile.corpus import Case
from tests.hostile.nursery import Nursery, Task
from tests.hostile.sandbox import MEMORY_BYTES
from tests.hostile.test_commands import CONTROL

HOSTILE = "tests/hostile/test_commands.py::test_commands_survive_the_corpus"
SAVING = "tests/model/test_saving.py::"

PROMISES: dict[str, tuple[str, ...]] = {
    "1. No traceback and no signal, whatever the bytes": (
        HOSTILE,
        "tests/fuzz/test_crashes.py::test_ten_thousand_flips_cuts_and_splices_of_five_models_are_inspected",
        "tests/fuzz/test_crashes.py::test_ten_thousand_models_that_are_nearly_right",
    ),
    "2. Exit codes are an interface": (
        HOSTILE,
        "tests/test_cli.py::test_every_error_ends_in_its_code_and_one_line",
        "tests/test_exit_codes.py::test_every_code_and_every_error_has_its_row",
        "tests/test_exit_codes.py::test_the_examples_end_as_the_page_says",
        "tests/test_promises.py::test_causes_end_in_their_codes",
    ),
    "3. Errors name the thing": (HOSTILE, "tests/hostile/test_inspect.py::test_inspect_does_what_the_corpus_asks"),
    "4. What is not ONNX is told for what it is": (
        "tests/model/test_loading.py::test_what_is_no_model_is_named",
        "tests/hostile/test_audit.py::test_no_file_makes_python_load_run_or_connect",
    ),
    "5. inspect is bounded, and reads no weights": (
        HOSTILE,
        "tests/hostile/test_system_calls.py::test_weights_are_not_read_to_be_described",
    ),
    "6. Only regular files are opened": ("tests/model/test_loading.py::test_only_regular_files_are_opened",),
    "7. Nothing outside of the model's folder is read": (
        "tests/hostile/test_system_calls.py::test_nothing_outside_of_the_models_folder_is_opened",
        "tests/model/test_loading.py::test_locations_lead_nowhere_else",
        "tests/model/test_loading.py::test_a_linked_cache_works",
    ),
    "8. Weights are exact or refused": (
        "tests/model/test_tensors.py::test_what_disagrees_is_refused",
        "tests/model/test_loading.py::test_impossible_offsets_and_lengths_are_refused",
        SAVING + "test_every_model_comes_back_equal",
        SAVING + "test_a_wrong_checksum_is_refused",
    ),
    "9. One file, one meaning": (
        "tests/hostile/test_inspect.py::test_inspect_does_what_the_corpus_asks",
        "tests/hostile/test_inspect.py::test_what_readers_resolve_differently_is_refused_by_all",
    ),
    "10. Nothing is written but the output": (HOSTILE, "tests/commands/test_inspect.py::test_nothing_is_written"),
    "11. No network, no telemetry": (
        "tests/hostile/test_system_calls.py::test_no_network_is_used",
        "tests/test_child.py::test_the_child_does_not_send_telemetry",
    ),
    "12. Outputs appear whole or not at all": (
        SAVING + "test_killed_at_any_moment_the_output_is_old_or_new",
        SAVING + "test_killed_at_two_hundred_random_moments_of_a_200_mb_save",
    ),
    "13. A model and its data file are one": (
        SAVING + "test_data_gets_a_name_that_nothing_refers_to",
        SAVING + "test_the_inputs_data_file_is_never_overwritten",
        SAVING + "test_in_place_with_external_data",
        "tests/model/test_saving_faults.py::test_in_place_again_and_again_neither_grows_nor_leaves_anything",
        "tests/model/test_saving_faults.py::test_what_a_killed_save_left_goes_with_the_next",
        "tests/model/test_saving_faults.py::test_data_that_the_input_uses_stays_where_another_output_had_it",
    ),
    "14. A full disk leaves all as it was": (
        SAVING + "test_a_full_disk_leaves_all_as_it_was",
        SAVING + "test_an_output_that_does_not_reach_the_disk_is_not_published",
        "tests/model/test_saving_faults.py::test_whichever_call_fails_the_output_is_old_or_new",
    ),
    "15. Nothing is overwritten unasked": (
        SAVING + "test_existing_outputs_need_force_and_keep_their_mode",
        SAVING + "test_the_input_is_never_overwritten_by_mistake",
    ),
    "16. Native code is isolated": (
        "tests/test_child.py::test_a_crash_is_one_line_and_the_next_call_works",
        "tests/test_child.py::test_a_hang_ends_at_the_time_limit",
        "tests/test_child.py::test_memory_is_bounded",
        "tests/test_child.py::test_no_child_of_a_child_has_more_memory",
        "tests/api/test_optimization.py::test_the_processes_that_work_on_a_model_are_bounded",
        "tests/runtime/test_measure.py::test_a_native_crash_is_an_error_of_ours",
    ),
    "17. Bombs are predicted": (
        "tests/runtime/test_measure.py::test_a_value_that_no_memory_holds_is_refused_before_it_is_made",
        "tests/passes/test_fold_constants.py::test_what_would_blow_the_file_up_is_refused_before_it_is_computed",
    ),
    "18. optimize is verified or not published": (
        "tests/api/test_proof.py::test_there_are_twenty_mutations",
        "tests/api/test_proof.py::test_a_faulty_pass_is_found_and_left_out",
        "tests/runtime/test_compare.py::test_every_mutation_is_caught",
        "tests/runtime/test_compare.py::test_random_numbers_are_called_random_and_not_different",
        "tests/runtime/test_compare.py::test_a_difference_at_another_size_alone_is_found",
        "tests/api/test_proof.py::test_where_nothing_can_be_found_nothing_is_written",
    ),
    "19. The interface is kept": (
        "tests/hostile/test_inspect.py::test_optimize_keeps_odd_interfaces",
        "tests/passes/test_gauntlet.py::test_sample_models",
        "tests/passes/test_gauntlet.py::test_shared_models",
    ),
    "20. The same input gives the same bytes": (
        "tests/test_promises.py::test_the_same_bytes_come_out_wherever_and_however_it_runs",
    ),
    "21. The terminal is safe": (
        "tests/test_promises.py::test_names_are_harmless_in_a_terminal",
        "tests/render/test_escape.py::test_no_field_of_any_report_reaches_a_format_raw",
        "tests/render/test_escape.py::test_markup_is_shown_literally",
    ),
    "22. JSON is always valid, and names come back from it": (
        HOSTILE,
        "tests/test_promises.py::test_names_come_back_from_json_as_they_are",
        "tests/commands/test_inspect.py::test_file_names_that_are_no_utf8_come_back_from_json",
    ),
    "23. The device asked for is the device used": (
        "tests/runtime/test_session.py::test_a_provider_that_is_listed_but_left_out_is_never_replaced",
        "tests/runtime/test_session.py::test_a_provider_that_takes_no_node_is_refused",
        "tests/runtime/test_session.py::test_cuda_in_a_build_without_it_is_refused_with_the_command",
        "tests/runtime/test_session.py::test_openvino_runs_and_counts_what_it_left_to_the_cpu",
        "tests/runtime/test_measure.py::test_cuda_is_what_ran",
    ),
    "24. Timings are honest": (
        "tests/runtime/test_timing.py::test_what_is_timed_is_the_run_and_nothing_else",
        "tests/runtime/test_timing.py::test_a_slow_first_run_never_reaches_the_samples",
        "tests/runtime/test_statistics.py::test_two_of_the_same_are_told_apart_as_rarely_as_promised",
        "tests/runtime/test_speed.py::test_both_take_turns_in_random_order_after_a_warm_up",
    ),
    "25. Interrupts and pipes end quietly": (
        "tests/test_promises.py::test_an_interrupt_ends_native_code_and_leaves_nothing",
        "tests/test_promises.py::test_an_interrupt_ends_it_at_any_moment",
        "tests/test_cli.py::test_signals_end_the_command_quietly",
        "tests/test_signals.py::test_a_signal_ends_the_command_with_its_code",
        "tests/test_cli.py::test_a_reader_that_leaves_early_is_no_error",
        "tests/test_cli.py::test_ascii_output_is_ascii",
        SAVING + "test_two_writers_on_one_output_leave_one_whole_result",
        "tests/model/test_saving_faults.py::test_many_writers_on_one_output_with_data_leave_one_whole_result",
    ),
}


def test_every_promise_has_tests_that_exist() -> None:
    assert [int(name.partition(".")[0]) for name in PROMISES] == list(range(1, 26))
    for promise, tests in PROMISES.items():
        assert tests, promise
        for test in tests:
            path, _, name = test.partition("::")
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{promise}: no {test}"


# ---------------------------------------------------------------- the same bytes


@pytest.mark.parametrize("name", ["transformer_block.onnx", "digits_cnn.onnx"])
def test_the_same_bytes_come_out_wherever_and_however_it_runs(name: str, tmp_path: Path) -> None:
    digests = set()
    for number, threads in enumerate(("1", "4")):
        place = tmp_path / str(number)
        place.mkdir()
        env = environment(PYTHONHASHSEED=str(number), OMP_NUM_THREADS=threads, TZ=f"UTC+{number}")
        model = os.path.relpath(SAMPLES / name, place) if number else str(SAMPLES / name)
        command = [*COMMAND, "optimize", model, "-o", "out.onnx", "--level", "max"]
        subprocess.run(command, cwd=place, env=env, check=True, capture_output=True)
        digests.add(hashlib.sha256((place / "out.onnx").read_bytes()).hexdigest())
    assert len(digests) == 1


# ---------------------------------------------------------------- names

NAMES = (
    *("\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "a\rb", "a\bb", "a\nb", "\u202eright to left", "\u200bnothing"),
    *(
        "[bold red]markup[/]",
        ":smile:",
        "<b>&amp;</b>",
        "`code` | table",
        "$(id)",
        "%s{0}",
        "null",
        '"',
        "\\",
        "é",
        "名前",
    ),
    *("\ud7ff", "\U0010ffff", "x" * 5000),
)


def odd_model(path: Path) -> None:
    """A chain of nodes with odd names of nodes and values, and one that is not UTF-8."""
    values = [f"{name}." for name in NAMES]
    nodes = [
        onnx.helper.make_node("Relu", [source], [target], name=name)
        for source, target, name in zip(["x", *values], values, NAMES, strict=False)
    ]
    nodes.append(onnx.helper.make_node("Relu", [values[-1]], ["y"], name="PLACE"))
    value = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in ("x", "y")]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "\x1b[31m", value[:1], value[1:]))
    path.write_bytes(model.SerializeToString().replace(b"PLACE", b"\xff\xfe\x80\xc3("))


def test_names_come_back_from_json_as_they_are(tmp_path: Path) -> None:
    odd_model(tmp_path / "odd.onnx")
    done = onnxctl("inspect", str(tmp_path / "odd.onnx"), "--nodes", "--json")
    assert done.stdout.isascii()
    names = [node["name"] for node in strict_json(done.stdout)["data"]["nodes"]]
    assert names[:-1] == list(NAMES)
    assert names[-1].encode("utf-8", "surrogateescape") == b"\xff\xfe\x80\xc3("


def shown_in_a_terminal(nursery: Nursery, folder: Path, *arguments: str) -> str:
    """What a command writes to a terminal, without our own colours and what clears the status line."""
    leader, follower = pty.openpty()
    terminal, shown = Path(os.ttyname(follower)), [b""]
    reader = threading.Thread(target=lambda: shown.extend(iter(lambda: _read(leader), b"")))
    reader.start()
    nursery.run(
        Task(
            arguments=arguments,
            folder=folder,
            stdout=terminal,
            stderr=terminal,
            environment=environment(TERM="xterm-256color", COLUMNS="300"),
            memory_bytes=MEMORY_BYTES,
            kill_after_s=120,
        )
    )
    os.close(follower)
    reader.join()
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;]*m|\r\x1b\[K|\r\n", "", b"".join(shown).decode())


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says that nobody is at the other end any more
        return b""


def test_names_are_harmless_in_a_terminal(nursery: Nursery, tmp_path: Path) -> None:
    odd_model(tmp_path / "odd.onnx")
    shown = shown_in_a_terminal(nursery, tmp_path, "inspect", str(tmp_path / "odd.onnx"), "--nodes", "--findings")
    assert CONTROL.search(shown) is None
    assert "[bold red]markup[/]" in shown and ":smile:" in shown
    assert "\\x1b[31mred" in shown


@pytest.mark.slow
def test_names_of_the_corpus_are_harmless_in_a_terminal(corpus: list[Case], nursery: Nursery, tmp_path: Path) -> None:
    for case in corpus:
        if case.category in ("names", "filename"):
            for verb in (("inspect", "--nodes", "--tree"), ("check",), ("optimize", "--dry-run"), ("diff", case.path)):
                shown = shown_in_a_terminal(nursery, tmp_path, *verb, "--", case.path)
                assert shown, f"{verb} of {case.name}"
                assert CONTROL.search(shown) is None, f"{verb} of {case.name}"


# ---------------------------------------------------------------- interrupts

ENDLESS = """<ir_version: 8, opset_import: ["" : 17]> g (float[1] x) => (float[1] y)
<int64 trips = {4611686018427387904}, bool go = {1}> {
    y = Loop(trips, go, x) <body = b (int64 i, bool c, float[1] s) => (bool k, float[1] t) {
        k = Identity(c) t = Add(s, s) }> }"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_native_code_and_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    interrupt("run", number, [2.5], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["run", "optimize", "inspect", "check", "diff", "bisect"])
def test_an_interrupt_ends_it_at_any_moment(verb: str, number: signal.Signals, tmp_path: Path) -> None:
    interrupt(verb, number, [0.12 * step for step in range(20)], tmp_path)


LONGEST_END_S = 10
"""A second is promised; a machine that runs many tests at once may need more."""


def wait_until_begun(process: subprocess.Popen[bytes]) -> None:
    """Wait until the command catches SIGTERM: before, Python itself is starting, and dies of signals as it likes."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if int(status.partition("SigCgt:")[2].split()[0], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


def interrupt(verb: str, number: signal.Signals, moments: list[float], folder: Path) -> None:
    """Start the command on a model that never ends, and interrupt it each of these moments after it has begun."""
    model, temporary = folder / "endless.onnx", folder / "tmp"
    model.write_bytes(onnx.parser.parse_model(ENDLESS).SerializeToString())
    temporary.mkdir()
    limit = ("--timeout", "60")
    options: dict[str, tuple[str, ...]] = {
        "run": limit,
        "optimize": ("-o", str(folder / "out.onnx"), *limit),
        "inspect": ("--cost", "--findings", "--compatibility"),
        "check": limit,
        "diff": (str(model), "--run", *limit),
        "bisect": ("--graph-optimization", "disable,all", *limit),
    }
    for moment in moments:
        process = subprocess.Popen(
            [*COMMAND, verb, str(model), *options[verb]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(TMPDIR=str(temporary)),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
        )
        wait_until_begun(process)
        time.sleep(moment)
        process.send_signal(number)
        _, said = process.communicate(timeout=LONGEST_END_S)
        done_before = process.returncode == 0
        assert process.returncode == 128 + number or done_before, f"after {moment:.2f} s: {said!r}"
        assert b"Traceback" not in said and b"ignored" not in said
        assert list(temporary.iterdir()) == []
        assert {path.name for path in folder.iterdir()} <= {"endless.onnx", "tmp", "out.onnx"}
        (folder / "out.onnx").unlink(missing_ok=True)


# ---------------------------------------------------------------- exit codes

CNN = str(SAMPLES / "digits_cnn.onnx")
CAUSES: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "done": (0, CNN, ("run", "--runs", "2")),
    "outputs that are not those expected": (1, CNN, ("run", "--runs", "2", "--assert", "max < 1 ns")),
    "models that differ": (1, CNN, ("diff", str(SAMPLES / "digits_mlp.onnx"))),
    "an output that exists": (2, CNN, ("optimize", "-o", "there.onnx")),
    "a path that leads out": (3, "outside.onnx", ("run",)),
    "no model": (3, "empty.onnx", ("inspect",)),
    "a missing provider": (4, CNN, ("run", "--provider", "vitisai")),
    "a limit of time": (4, "endless.onnx", ("run", "--timeout", "2")),
    "a limit of memory": (4, CNN, ("run", "--dim", "batch=99999999999")),
    "a full disk": (4, CNN, ("optimize", "-o", "out.onnx")),
    "native code that crashes": (4, "trap.onnx", ("run",)),
}
TRAP = """<ir_version: 8, opset_import: ["": 17]> g () => (int64[1] y)
<int64[1] a = {-9223372036854775808}, int64[1] b = {-1}> { y = Div(a, b) }"""


@pytest.mark.parametrize("cause", CAUSES)
def test_causes_end_in_their_codes(cause: str, tmp_path: Path) -> None:
    code, model, (verb, *options) = CAUSES[cause]
    for name, text in (("endless.onnx", ENDLESS), ("trap.onnx", TRAP)):
        (tmp_path / name).write_bytes(onnx.parser.parse_model(text).SerializeToString())
    outside = onnx.parser.parse_model(TRAP)
    outside.graph.initializer[0].ClearField("int64_data")
    outside.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    outside.graph.initializer[0].external_data.add(key="location", value="../outside.data")
    (tmp_path / "outside.onnx").write_bytes(outside.SerializeToString())
    for name in ("empty.onnx", "there.onnx"):
        (tmp_path / name).touch()
    done = subprocess.run(
        [*COMMAND, verb, model, *options],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))) if "disk" in cause else None,
    )
    assert done.returncode == code, done.stderr
    assert (b"onnxctl: error: " in done.stderr) == (code > 1)
    assert not (tmp_path / "out.onnx").exists()
