"""The passes in the order they run in. A new pass is a new file and one entry here, at its place."""

from __future__ import annotations

from onnxctl.passes.base import Pass

PIPELINE: tuple[Pass, ...] = ()
