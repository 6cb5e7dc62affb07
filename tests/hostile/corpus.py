"""The hostile corpus: what each file is, and what `inspect` must do with it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxctl.errors import (
    CorruptModel,
    InvalidModel,
    ModelError,
    NotOnnx,
    OnnxctlError,
    ResourceLimit,
    UnreadableFile,
    UnsafePath,
    UnsupportedModel,
)
from tests.conftest import SHARED

MAKER = SHARED / "hostile" / "make_hostile.py"

CANARY = b"CANARY-OUTSIDE-"
"""What the files outside of the models' folders begin with."""

CATEGORIES = (
    *("control", "container", "filename", "truncated", "wire", "nesting", "tensor", "dtype", "external"),
    *("graph", "io", "bomb", "scale", "kernel", "names", "metadata"),
)

CLASSES: dict[str, type[OnnxctlError]] = {
    "not_onnx": NotOnnx,
    "corrupt": CorruptModel,
    "invalid": InvalidModel,
    "unsupported": UnsupportedModel,
    "unsafe_path": UnsafePath,
    "resource_limit": ResourceLimit,
    "io": UnreadableFile,
}


@dataclass(frozen=True)
class Expectation:
    """outcome is "ok", "error" or "either"; words must be in the message, or in the findings."""

    outcome: str
    error: type[OnnxctlError] | None = None
    words: tuple[str, ...] = ()


NO_GRAPH = Expectation("error", InvalidModel, ("graph",))
NO_DOMAIN = Expectation("error", InvalidModel, ("domain",))
DEPARTURES: dict[str, dict[str, Expectation]] = {
    # The two bytes are 08 08: ir_version = 8, a whole field. The wire format has no length of the whole message, so
    # this is a well-formed ModelProto; what it lacks is the graph that the specification asks for.
    "trunc_2": dict.fromkeys(("inspect", "optimize", "run"), NO_GRAPH),
    # "Each model MUST explicitly name the operator sets that it relies on for its functionality" (IR.md).
    # The file names ai.onnx only: it is as invalid as `unimported_domain`, where an error is asked for.
    "name_domain_markup": dict.fromkeys(("inspect", "optimize", "run"), NO_DOMAIN),
    # ConstantOfShape: "all values must be >= 0" (Operators.md). No memory would do: onnxruntime refuses the model.
    "bomb_constofshape_negative": {"run": Expectation("error", InvalidModel)},
    # Not all of what it makes is there at once: onnxruntime takes the memory of what was read over for what comes next.
    "bomb_many_medium": {"run": Expectation("either")},
    # onnxruntime itself takes 27 to 50 s to open 100,000 initializers that nothing uses: the time limit may be shorter.
    "inits_100k_unused": {"run": Expectation("either")},
    # Range: the number of elements is ceil((limit - start) / delta), which a delta of 0 leaves undefined.
    "bomb_range_delta0": {"run": Expectation("error", UnsupportedModel)},
}
"""Cases whose verdict in cases.json is not what the specification says, each with the argument."""


@dataclass(frozen=True)
class Case:
    """One file of the corpus."""

    name: str
    category: str
    path: str
    flags: tuple[str, ...]
    maximum_seconds: float
    expected: dict[str, Expectation]

    @property
    def folder(self) -> str:
        """Where the file lies."""
        return os.path.dirname(self.path)

    @property
    def can_run_here(self) -> bool:
        """A file without read permission is none for root."""
        return "needs-non-root" not in self.flags or os.geteuid() != 0


def make_corpus(folder: Path) -> list[Case]:
    """Write the corpus below the folder. Its files are hostile: FIFOs, links, a sparse file of 64 GiB."""
    subprocess.run([sys.executable, MAKER, folder], check=True, capture_output=True)
    document = json.loads((folder / "cases.json").read_text())
    seconds = document["global"]["defaults"]["max_seconds"]
    return [_case(folder, each, seconds) for each in document["cases"]]


def _case(folder: Path, entry: dict[str, Any], seconds: float) -> Case:
    path = os.path.join(os.fsencode(folder), base64.b64decode(entry["path_b64"]))
    expected = {verb: _expectation(value) for verb, value in entry["expect"].items()}
    expected |= DEPARTURES.get(entry["id"], {})
    return Case(
        name=entry["id"],
        category=entry["category"],
        path=os.fsdecode(path),
        flags=tuple(entry["flags"]),
        maximum_seconds=entry["limits"].get("max_seconds", seconds),
        expected=expected,
    )


def _expectation(entry: dict[str, Any]) -> Expectation:
    error = CLASSES[entry["class"]] if "class" in entry else None
    return Expectation(entry["outcome"], error, tuple(entry.get("must_mention", ())))


def judge(expected: Expectation, error: OnnxctlError | None, said: str) -> str:
    """What is wrong with an outcome: nothing (""), or a few words. `said` is the message or all findings."""
    if error is not None and not isinstance(error, ModelError | ResourceLimit):
        return f"{type(error).__name__} is no error about a file"
    if expected.outcome == "either":
        return ""
    if (error is not None) != (expected.outcome == "error"):
        return f"{expected.outcome} was expected, it was {error!r}"
    if error is not None and type(error) is not expected.error:
        return f"{expected.error} was expected, it was {error!r}"
    missing = [word for word in expected.words if word not in said]
    return f"it does not mention {missing}: {said!r}" if missing else ""
