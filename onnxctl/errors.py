"""Every error onnxctl raises on purpose, and the exit code each one ends in.

OnnxctlError                      message, hint, exit code
├── UsageError                    2   asked wrongly: a bad option, an unknown symbol
│   └── OutputExists              2   the output is there already and --force was not given
├── ModelError                    3   this file can't be used
│   ├── UnreadableFile            3   missing, a directory, a device, no permission, an I/O error
│   ├── NotOnnx                   3   something else: an LFS pointer, HTML, a zip, nothing at all
│   ├── CorruptModel              3   not a well-formed protobuf: truncated, spliced, nested too deep
│   ├── InvalidModel              3   well-formed, but breaks the ONNX specification
│   ├── UnsupportedModel          3   valid, but not for this tool or this runtime
│   └── UnsafePath                3   points outside the model's folder, or at something that is no regular file
├── MachineError                  4   this machine can't do it
│   ├── ProviderUnavailable       4   the execution provider asked for can't be used here
│   ├── MissingPackage            4   an optional package is not installed
│   ├── ResourceLimit             4   more memory, time or disk than allowed
│   ├── ChildCrashed              4   native code killed the child process that was to do the work
│   └── StorageError              4   writing failed: disk full, read-only, an I/O error
└── AnswerIsNo                    1   done, and the answer is no: models differ, an assertion failed

A verb whose report answers "no" without an exception (a failed verification, say) exits with 1 as well.
An exception outside this tree is our bug: exit 70.
"""

from __future__ import annotations

from collections.abc import Collection

EXIT_DONE = 0
EXIT_NO = 1
EXIT_USAGE = 2
EXIT_MODEL = 3
EXIT_MACHINE = 4
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class OnnxctlError(Exception):
    """What went wrong, in one line that names the file, the node or the field; the hint says what to do next."""

    exit_code = EXIT_BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(OnnxctlError):
    """The command or call was asked wrongly."""

    exit_code = EXIT_USAGE


class OutputExists(UsageError):
    """The output exists and nobody said that it may be replaced."""


class ModelError(OnnxctlError):
    """The file can't be read, or isn't a valid or supported model."""

    exit_code = EXIT_MODEL


class UnreadableFile(ModelError):
    """The operating system would not give us the file, or it is no regular file."""


class NotOnnx(ModelError):
    """The file is recognisably something other than ONNX, or nothing."""


class CorruptModel(ModelError):
    """The bytes are not a well-formed protobuf message."""


class InvalidModel(ModelError):
    """The message is well-formed but breaks the ONNX specification."""


class UnsupportedModel(ModelError):
    """The model is valid, but this tool or the installed runtime can't use it."""


class UnsafePath(ModelError):
    """The model names a file outside its own folder, or something that is no regular file."""


class MachineError(OnnxctlError):
    """This machine can't do what was asked."""

    exit_code = EXIT_MACHINE


class ProviderUnavailable(MachineError):
    """The execution provider asked for can't be used here."""


class MissingPackage(MachineError):
    """An optional package is not installed."""


class ResourceLimit(MachineError):
    """The work needs more memory, time or disk than is allowed."""


class ChildCrashed(MachineError):
    """Native code killed the child process that did the work."""


class StorageError(MachineError):
    """The output could not be written."""


class AnswerIsNo(OnnxctlError):
    """The work is done and the answer is no."""

    exit_code = EXIT_NO


def did_you_mean(name: str, known: Collection[str]) -> str:
    """How a hint begins where something unknown was named: "did you mean a or b? ", "" where nothing is spelt alike."""
    import difflib

    near = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}? " if near else ""
