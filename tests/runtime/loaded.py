"""What a child process has loaded; this module itself loads nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from onnxctl.child import Answer, Blob, Progress
from onnxctl.reports import JSON


def loaded_packages(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: the names of the packages that are loaded."""
    return sorted({name.partition(".")[0] for name in sys.modules}), []
