"""What onnx itself says of a model: onnx.checker and strict type inference, on the skeleton, in a child process.

Neither sees a weight: for the checker large tensors are emptied, and nothing has a place outside the message, so no
path is followed and no model is too large.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from onnx import ModelProto, TensorProto

from onnxctl.analysis.problems import Problem
from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import MachineError
from onnxctl.model.loading import Model, tensors_of_model
from onnxctl.reports import JSON

OPINION_TIMEOUT_S = 60.0

FIRST_IR_VERSION = 3
"""The oldest IR version whose rules onnx.checker knows: before it attributes had no types and models no opsets."""

_LONGEST = 2_000


class Opinion(NamedTuple):
    """checker is its objection or "", types what strict inference tells; unasked says why neither is there."""

    checker: str = ""
    types: tuple[Problem, ...] = ()
    unasked: str = ""


def ask_onnx(model: Model, child: Child, *, timeout_s: float = OPINION_TIMEOUT_S) -> Opinion:
    """Both opinions. Never raises for what the model does to the C++ code."""
    if model.proto.ir_version < FIRST_IR_VERSION:
        return Opinion(unasked=f"onnx does not check IR version {model.proto.ir_version}")
    try:
        answer, _ = child.call(
            "onnxctl.analysis.onnx_opinion:judge",
            {},
            [_emptied(model).SerializePartialToString(), model.proto.SerializePartialToString()],
            timeout_s=timeout_s,
            doing="the check by onnx",
        )
    except MachineError as error:
        return Opinion(unasked=error.message)
    return Opinion(checker=answer["checker"], types=tuple(_type_problems(answer["inference"])))


def _emptied(model: Model) -> ModelProto:
    """A copy in which tensors on disk have no elements, and so need no data."""
    copy = ModelProto()
    copy.CopyFrom(model.proto)
    for tensor in tensors_of_model(copy):
        if model.payload(tensor) is not None:
            tensor.CopyFrom(TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[0]))
    return copy


# ---------------------------------------------------------------- the child's side


def judge(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: what onnx.checker says of blob 0, and strict inference of blob 1, both ModelProtos."""
    import onnx.checker
    import onnx.shape_inference

    checker, inference = "", []
    try:
        onnx.checker.check_model(bytes(blobs[0]))
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        checker = str(error)[:_LONGEST] or type(error).__name__
    for check_type in (False, True):  # with check_type it ends at the first wrong type, without it tells all shapes
        try:
            onnx.shape_inference.infer_shapes(bytes(blobs[1]), check_type=check_type, strict_mode=True, data_prop=True)
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError, RuntimeError) as error:
            inference.append(str(error))
    return {"checker": checker, "inference": inference}, ()


# ---------------------------------------------------------------- what strict inference says, line by line

_SAID = re.compile(
    r"\(op_type:(?P<op_type>\w*)(?:, node name: (?P<name>[^\n]*?))?\): (?P<message>(?!\[\w+\] Inference)[^\n]+)"
)
_KIND = re.compile(r"^\[(?P<kind>\w+)\] ")
_UNTRUE = (
    "expected to have type but instead is null",  # of nodes behind one that has no type
    "has unsupported type: sparse_tensor",  # of those that read a sparse initializer, which counts as dense
    "Cannot parse data from external tensors",  # of those that read a large tensor: it is not in what onnx is shown
)


def _type_problems(texts: Sequence[str]) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for text in texts:
        for found in _SAID.finditer(text):
            where = found["name"] or found["op_type"]
            kind = _KIND.match(found["message"])
            message = _KIND.sub("", found["message"]).strip()
            if (where, message) in seen or _is_untrue(message):
                continue
            seen.add((where, message))
            code = "type-error" if kind is None or kind["kind"] == "TypeInferenceError" else "shape-error"
            if "existing shape differ" in message:
                code = "stated-shape"
            yield Problem(code, message, where, subject=f"node {where!r} ({found['op_type']})")
    if not seen and texts and not any(map(_is_untrue, texts)):
        yield Problem("type-error", " ".join(texts[0].split())[:_LONGEST])


def _is_untrue(text: str) -> bool:
    return any(each in text for each in _UNTRUE)
