"""Ctrl-C and SIGTERM at bad moments: none is lost, and none does harm."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import environment
from tests.conftest import SAMPLES

COMMAND_LINE = """
import contextlib, os, signal, sys, time
from onnxctl import __main__, cli, signals

MOMENT, NUMBER, MODEL = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def interrupt():
    os.kill(os.getpid(), NUMBER)
    time.sleep(0.1)

def in_a_destructor():
    class Deaf:
        def __del__(self):
            interrupt()
    Deaf()

def in_the_hook_for_what_is_lost():
    send_again = signals._send_again
    def send_at_once(number):
        signals._send_again = send_again
        os.kill(os.getpid(), number)
    signals._send_again = send_at_once
    in_a_destructor()

class ExtensionFileLoader:
    def exec_module(self):  # as native modules do that look whether another one is there
        with contextlib.suppress(BaseException):
            interrupt()

class SourceLoader:
    def source_to_code(self):  # as Python's compiler does, if rarely
        with contextlib.suppress(BaseException):
            interrupt()

def while_a_module_is_compiled():
    SourceLoader().source_to_code()

def _get_default_tempdir():  # as tempfile does after it made a file, and before it removes it
    with contextlib.suppress(BaseException):
        interrupt()

def while_tempfile_tries_a_folder():
    _get_default_tempdir()

def while_a_native_module_loads():
    ExtensionFileLoader().exec_module()

def while_a_data_file_gets_its_name():
    from onnxctl.model.loading import open_model
    from onnxctl.model.saving import save
    link = os.link
    def link_and_interrupt(*names):
        link(*names)
        interrupt()
    os.link = link_and_interrupt
    save(open_model(MODEL), "out.onnx", external=True)

def in_the_text_of_an_exec():
    cli._describe(KeyboardInterrupt())  # imports what makes dataclasses: the next exec takes the mark away
    exec("interrupt()")

def while_it_cleans_up():
    try:
        interrupt()
    finally:
        interrupt()
        print("cleaned up")

def command(model: str) -> None:
    globals()[MOMENT]()
    time.sleep(60)

def describe(error):
    interrupt()
    return cli_describe(error)

cli_describe = cli._describe
if MOMENT == "at_the_boundary":
    at_the_boundary, cli._describe = interrupt, describe
cli.inspect.command = command
sys.argv = ["onnxctl", "inspect", "model"]
__main__.main()
"""
MOMENTS = {
    "in_a_destructor": "",
    "in_the_hook_for_what_is_lost": "",
    "while_a_native_module_loads": "",
    "while_a_module_is_compiled": "",
    "while_tempfile_tries_a_folder": "",
    "while_a_data_file_gets_its_name": "",
    "in_the_text_of_an_exec": "",
    "while_it_cleans_up": "cleaned up\n",
    "at_the_boundary": "",
}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_ends_the_command_with_its_code(
    moment: str, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    (tmp_path / "command_line.py").write_text(COMMAND_LINE)
    done = subprocess.run(
        [sys.executable, "-m", "command_line", moment, str(int(number)), str(SAMPLES / "digits_cnn.onnx")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    told = "onnxctl: error: interrupted\n" if number == signal.SIGINT else ""
    assert (done.returncode, done.stdout, done.stderr) == (code, MOMENTS[moment], told)
    left = sorted(each.name for each in tmp_path.glob("*out.onnx*"))
    assert left in ([], ["out.onnx", "out.onnx.data"]), "no data without its model"


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    code = (
        "import os, signal; from onnxctl.signals import Interrupts; Interrupts(); os.kill(os.getpid(), signal.SIGINT)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as shells start jobs in the background
    )
    assert (done.returncode, done.stderr) == (0, b"")
