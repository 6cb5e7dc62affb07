"""Constants computed by onnxruntime's own kernels, in a child process: what native code can't compute is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import ModelProto, TensorProto

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import ChildCrashed, ModelError, ResourceLimit
from onnxctl.reports import JSON

EVALUATION_TIMEOUT_S = 60.0


def evaluate_in_child(
    child: Child, model: ModelProto, *, timeout_s: float = EVALUATION_TIMEOUT_S
) -> tuple[list[TensorProto | None], str]:
    """The outputs of a small model without inputs, in order: None for one that can't be had, and the reason if so.

    A crash or a time-out of native code gives None for all of them; the child is fit for the next call.
    """
    try:
        answer, blobs = child.call(
            "onnxctl.runtime.evaluate:evaluate",
            {},
            [model.SerializeToString()],
            timeout_s=timeout_s,
            doing="the folding of constants",
        )
    except (ChildCrashed, ResourceLimit, ModelError) as error:
        return [None] * len(model.graph.output), error.message
    parts = iter(blobs)
    tensors = [None if reason else TensorProto.FromString(bytes(next(parts))) for reason in answer]
    return tensors, next((reason for reason in answer if reason), "")


def evaluate(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: run blob 0, a ModelProto without inputs, as it stands.

    Answers one reason per output, "" where it was computed, and the computed ones as TensorProtos.
    """
    from onnxctl.runtime.session import open_session

    session = open_session(bytes(blobs[0]), path="a constant expression", graph_optimization="disable")
    names = [value.name for value in session.outputs]
    try:
        values = session.run({})
    except (ModelError, ResourceLimit):
        values, reasons = _one_by_one(session.inference, names, session.failures)
    else:
        reasons = [""] * len(names)
    parts: list[bytes] = []
    for index, value in enumerate(values):
        if reasons[index]:
            continue
        tensor = _tensor(names[index], value)
        if tensor is None:
            reasons[index] = f"{names[index]!r} is no tensor"
        else:
            parts.append(tensor)
    return reasons, parts


def _one_by_one(
    inference: Any, names: Sequence[str], failures: tuple[type[Exception], ...]
) -> tuple[list[object], list[str]]:
    """Each output by itself, so that one node that fails costs only what depends on it."""
    import onnxruntime

    from onnxctl.runtime.failures import run_failure
    from onnxctl.runtime.values import fetch_outputs

    options = onnxruntime.RunOptions()
    options.only_execute_path_to_fetches = True
    values: list[object] = []
    reasons: list[str] = []
    for name in names:
        try:
            values.append(fetch_outputs(inference, {}, names=[name], options=options)[0])
            reasons.append("")
        except failures as error:
            values.append(None)
            reasons.append(run_failure(error, "a constant expression").message)
    return values, reasons


def _tensor(name: str, value: object) -> bytes | None:
    import numpy as np
    from onnx import numpy_helper

    if not isinstance(value, np.ndarray):
        return None
    if value.dtype != object:
        return bytes(numpy_helper.from_array(value, name).SerializeToString())
    texts = [text.encode("utf-8", "surrogateescape") for text in value.reshape(-1).tolist()]
    tensor = TensorProto(name=name, data_type=TensorProto.STRING, dims=value.shape, string_data=texts)
    return tensor.SerializeToString()
