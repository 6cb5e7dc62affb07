"""Which onnxruntime takes which models: the newest opsets and IR version of each release.

Up to 1.14 as published, https://onnxruntime.ai/docs/reference/compatibility.html; from 1.15 on as found by loading a
model of each opset and IR version in the last patch release of each minor one. Releases load all older IR versions,
and opsets from 7 on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from onnx import ModelProto

from onnxctl.model.nodes import DEFAULT_DOMAINS
from onnxctl.reports import Finding

OLDEST_OPSET = 7
"""The oldest opset that onnxruntime promises to run."""


class Release(NamedTuple):
    """A minor release of onnxruntime with the newest ai.onnx and ai.onnx.ml opsets and IR version that it takes."""

    version: tuple[int, int]
    opset: int
    ml_opset: int
    ir_version: int

    @property
    def name(self) -> str:
        """The version as it is written."""
        return ".".join(map(str, self.version))

    def takes(self, opset: int, ml_opset: int, ir_version: int) -> bool:
        """Whether it takes a model of these versions; 0 stands for an opset that is not imported."""
        return opset <= self.opset and ml_opset <= self.ml_opset and ir_version <= self.ir_version


RELEASES = (
    Release((1, 0), 11, 2, 6),
    Release((1, 3), 12, 2, 7),
    Release((1, 6), 13, 2, 7),
    Release((1, 8), 14, 2, 7),
    Release((1, 9), 15, 2, 8),
    Release((1, 11), 16, 2, 8),
    Release((1, 12), 17, 3, 8),
    Release((1, 14), 18, 3, 8),
    Release((1, 15), 19, 3, 9),
    Release((1, 17), 20, 4, 9),
    Release((1, 18), 21, 5, 10),
    Release((1, 21), 22, 5, 10),
    Release((1, 23), 23, 5, 11),
    Release((1, 24), 25, 5, 13),
    Release((1, 25), 26, 5, 13),
    Release((1, 32), 28, 5, 14),
)
"""The releases that raised one of the limits, oldest first; those between are like the one before them."""


def oldest_release(opset: int, ml_opset: int, ir_version: int) -> Release | None:
    """The oldest release that takes a model of these versions, None where none does yet."""
    return next((each for each in RELEASES if each.takes(opset, ml_opset, ir_version)), None)


def release_of(version: str) -> Release | None:
    """The limits of an installed version ("1.30.1"): those of the last release not after it. None for what is older."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return next((each for each in reversed(RELEASES) if each.version <= numbers), None)


def imported_opsets(proto: ModelProto) -> tuple[int, int]:
    """The versions of ai.onnx and ai.onnx.ml that the model imports, 0 where it does not."""
    return _version(proto, DEFAULT_DOMAINS), _version(proto, ("ai.onnx.ml",))


def _version(proto: ModelProto, domains: Iterable[str]) -> int:
    return max((int(each.version) for each in proto.opset_import if each.domain in domains), default=0)


def version_findings(proto: ModelProto, installed: str) -> Iterator[Finding]:
    """What the model's versions mean for onnxruntime; installed is the version here, "" for none."""
    opset, ml_opset = imported_opsets(proto)
    if 0 < opset < OLDEST_OPSET:
        yield Finding(
            code="opset-too-old",
            severity="warning",
            message=f"opset {opset} is older than {OLDEST_OPSET}, the oldest that onnxruntime promises to run",
            hint="convert the model: onnx.version_converter.convert_version(model, 13)",
        )
    here = release_of(installed) if installed else None
    if here is not None and not here.takes(opset, ml_opset, proto.ir_version):
        needed = oldest_release(opset, ml_opset, proto.ir_version)
        wanted = f"{needed.name} is the first that does" if needed is not None else "no release so far does"
        yield Finding(
            code="runtime-too-old",
            severity="warning",
            message=f"onnxruntime {installed} here does not take opset {opset} with IR version {proto.ir_version}: "
            f"{wanted}",
            hint="update onnxruntime; `onnxctl inspect --compatibility` tells whether lower versions would do",
        )
