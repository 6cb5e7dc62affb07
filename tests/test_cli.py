"""The boundary: every way a command can end has its exit code, one line on standard error, and never a traceback."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from types import ModuleType

import pytest

from onnxctl import cli, errors
from tests.command_line import COMMAND, environment, onnxctl, strict_json
from tests.conftest import SAMPLES

CNN = os.fspath(SAMPLES / "digits_cnn.onnx")


def with_command_that_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `onnxctl fail` a command that raises the error."""

    def command(json: bool = False) -> None:
        """Fail."""
        raise error

    module = ModuleType("fail")
    module.command, module.EXAMPLES = command, "onnxctl fail"  # type: ignore[attr-defined]
    monkeypatch.setattr(cli, "COMMANDS", (module, module))


ENDS = [
    (errors.UsageError("asked wrongly", hint="ask well"), 2, "UsageError"),
    (errors.OutputExists("out.onnx exists", hint="--force"), 2, "OutputExists"),
    (errors.NotOnnx("a zip"), 3, "NotOnnx"),
    (errors.UnsafePath("../x"), 3, "UnsafePath"),
    (errors.ProviderUnavailable("no cuda", hint="install it"), 4, "ProviderUnavailable"),
    (errors.ChildCrashed("SIGSEGV"), 4, "ChildCrashed"),
    (errors.AnswerIsNo("they differ"), 1, "AnswerIsNo"),
    (MemoryError(), 4, "ResourceLimit"),
    (KeyboardInterrupt(), 130, "Interrupted"),
    (RecursionError("too deep"), 70, "InternalError"),
    (ZeroDivisionError("division"), 70, "InternalError"),
]


@pytest.mark.parametrize(("error", "code", "name"), ENDS, ids=[name + str(code) for _, code, name in ENDS])
def test_every_error_ends_in_its_code_and_one_line(
    error: BaseException, code: int, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_command_that_raises(monkeypatch, error)
    assert cli.execute(["fail", "--json"]) == code
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert lines[0].startswith("onnxctl: error: ")
    assert all(line.startswith("  hint: ") for line in lines[1:])
    assert len(lines) <= 2
    envelope = strict_json(said.out.encode())
    assert (envelope["schema"], envelope["kind"]) == (1, "error")
    assert (envelope["data"]["error"], envelope["data"]["exit_code"]) == (name, code)


def test_without_json_standard_output_stays_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_command_that_raises(monkeypatch, errors.NotOnnx("name \x1b[31m\nsecond line"))
    assert cli.execute(["fail"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "onnxctl: error: name \\x1b[31m\\nsecond line\n"


def test_debug_shows_the_traceback_harmlessly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_command_that_raises(monkeypatch, ValueError("\x1b[31m"))
    assert cli.execute(["--debug", "fail"]) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "\x1b" not in said


# ---------------------------------------------------------------- usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "inspect"], "No such option: --json"),
        (["inspect", "--json"], "Missing argument 'MODEL...'"),
        (["inspect", "x.onnx", "--format=json", "--nodse"], "--nodes"),
        (["inspekt", "--format", "json"], "inspect"),
        (["run", "x.onnx", "--runs", "zero", "--json"], "'--runs'"),
        (["run", "x.onnx", "--duration", "-1", "--json"], "greater than 0"),
        (["run", "x.onnx", "--duration", "nan", "--json"], "greater than 0"),
        (["providers", "x.onnx", "--json"], "x.onnx"),
        (["inspect", "x.onnx", "--json", "--format", "yaml"], "yaml"),
    ],
)
def test_usage_errors_are_json_too(arguments: list[str], said: str) -> None:
    done = onnxctl(*arguments)
    assert done.returncode == 2
    data = strict_json(done.stdout)["data"]
    assert said in data["message"]
    assert data["error"] == "UsageError"
    assert data["hint"].startswith("see onnxctl")
    assert b"Traceback" not in done.stderr


def test_a_file_named_like_the_option_is_no_wish_for_json() -> None:
    done = onnxctl("inspect", "--", "--json")
    assert (done.returncode, done.stdout) == (3, b"")


def test_no_arguments_show_the_help_and_count_as_asked_wrongly() -> None:
    done = onnxctl()
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Commands:" in done.stderr


def test_version() -> None:
    done = onnxctl("--version")
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, b"onnxctl", b"")


@pytest.mark.parametrize("command", [module.__name__.rpartition(".")[2] for module in cli.COMMANDS])
def test_every_command_has_help_with_examples(command: str) -> None:
    done = onnxctl(command, "--help")
    assert done.returncode == 0
    text = done.stdout.decode()
    assert f"Examples:\n  onnxctl {command}" in text
    assert "--json" in text
    assert f"onnxctl {command} " in text.splitlines()[0]


def test_shells_can_complete_commands_and_options() -> None:
    def complete(words: str) -> bytes:
        env = environment(_ONNXCTL_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")))
        return onnxctl(env=env).stdout

    assert complete("onnxctl op").split() == [b"optimize"]
    assert b"--in-place" in complete("onnxctl optimize --in")


# ---------------------------------------------------------------- pipes, terminals, signals


def test_a_reader_that_leaves_early_is_no_error() -> None:
    model = os.fspath(SAMPLES / "transformer_block.onnx")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "inspect", model, "--nodes"], stdout=write, stderr=subprocess.PIPE, env=environment(), check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_an_error() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "inspect", CNN, "--json"], stdout=full, stderr=subprocess.PIPE, env=environment(), check=False
        )
    assert done.returncode == 4
    assert done.stderr.startswith(b"onnxctl: error: standard output: ")
    assert b"Exception" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_so_it_is_for_the_help() -> None:
    with open("/dev/full", "wb") as full:
        command = [*COMMAND, "--help"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment(), check=False)
    assert ended.returncode == errors.EXIT_MACHINE
    assert ended.stderr.splitlines() == [b"onnxctl: error: no space left on device"]


def test_ascii_output_is_ascii() -> None:
    done = onnxctl("inspect", CNN, env=environment(LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert b"####" in done.stdout


def in_a_terminal(*arguments: str, **changes: str) -> bytes:
    """What a terminal shows of a command, colours included."""
    leader, follower = pty.openpty()
    env = environment(TERM="xterm-256color", COLUMNS="80", **changes)
    process = subprocess.Popen([*COMMAND, *arguments], stdout=follower, stderr=follower, env=env)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux says that nobody is at the other end any more
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert process.wait() == 0
    return shown


def test_colours_are_for_terminals_that_want_them() -> None:
    assert b"\x1b[36m" in in_a_terminal("inspect", CNN)
    assert b"\x1b[36m" not in in_a_terminal("inspect", CNN, NO_COLOR="1")
    assert b"\x1b" not in onnxctl("inspect", CNN).stdout


def test_the_first_screen_of_a_small_model_fits_a_small_terminal() -> None:
    shown = in_a_terminal("inspect", CNN, NO_COLOR="1").decode()
    lines = shown.rpartition("\x1b[K")[2].splitlines()  # after a status line that a slow machine may have shown
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_command_quietly(number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        [*COMMAND, "inspect", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    wait_until_reading(process.pid)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, b"")
    assert b"Traceback" not in err


def wait_until_reading(pid: int) -> None:
    """Wait until the process sleeps in a read of standard input; where the system does not tell, wait a while."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
                words = file.read().split()
        except OSError:
            time.sleep(3)
            return
        if words[:2] == ["0", "0x0"]:  # read(0, ...) on x86-64
            return
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("onnxctl bis", ["bisect"]),
        ("onnxctl run m.onnx --provider open", ["openvino"]),
        ("onnxctl run m.onnx --graph-optimization all,ex", ["all,extended"]),
        ("onnxctl optimize m.onnx --skip fold_signs,merge_pad", ["fold_signs,merge_pads"]),
        ("onnxctl explain unfused", ["unfused-batch-normalization"]),
    ],
)
def test_shells_complete_names_as_well_as_options(words: str, offered: list[str]) -> None:
    count = str(len(words.split()) - 1)
    done = onnxctl(env=environment(_ONNXCTL_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count))
    assert (done.returncode, sorted(done.stdout.decode().split())) == (0, offered)
