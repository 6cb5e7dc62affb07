"""Whether the installed onnxruntime can open a model: a session in a child process, with its weights mapped."""

from __future__ import annotations

from collections.abc import Sequence

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.reports import JSON
from onnxctl.runtime.opening import check_tensors, refuse_native_code

LOADING_TIMEOUT_S = 300.0

REWRITTEN_BYTES = 1 << 30
"""Models up to this size are opened with onnxruntime's graph optimizations, which copy weights; larger ones without."""


def open_in_child(child: Child, path: str, *, timeout_s: float = LOADING_TIMEOUT_S) -> str:
    """Open the model file on the CPU; in words, what onnxruntime that was.

    Raises MissingPackage where there is no onnxruntime; ModelError where it refuses the model; ResourceLimit or
    ChildCrashed.
    """
    answer, _ = child.call(
        "onnxctl.runtime.loadable:load", {"path": path}, timeout_s=timeout_s, doing="loading the model"
    )
    return str(answer)


def load(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: open request["path"] on the CPU; answers with what and how it was opened."""
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.loading import open_model
    from onnxctl.runtime import library
    from onnxctl.runtime.mapping import MAPPED_CONFIG, mapped_model
    from onnxctl.runtime.session import SessionSettings, open_session

    onnxruntime = library.load_onnxruntime()
    model = open_model(request["path"])
    check_tensors(model)
    refuse_native_code(ModelGraphs(model))
    is_small = sum(payload.length for payload in model.payloads) <= REWRITTEN_BYTES
    settings = SessionSettings(
        graph_optimization="all" if is_small else "disable",
        memory_arena=False,
        config=(*MAPPED_CONFIG, ("session.disable_prepacking", "1")),
    )
    open_session(mapped_model(model), settings, path=request["path"])
    how = "" if is_small else " without graph optimizations"
    return f"onnxruntime {onnxruntime.__version__}{how}", ()
