"""From ONNX text and arrays to a model, and from a model to bytes and answers."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx import numpy_helper

Arrays = Mapping[str, NDArray[Any]]


def model_from_text(text: str, weights: Arrays | None = None) -> onnx.ModelProto:
    """Parse ONNX text and add the weights that are too many to write down as initializers, in the given order."""
    model = onnx.parser.parse_model(text)
    for name, values in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return model


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Serialize so that equal models give equal bytes."""
    return bytes(model.SerializeToString(deterministic=True))


def answers(model: onnx.ModelProto, feeds: Arrays) -> list[Any]:
    """Run a model in onnxruntime on the CPU and return all its outputs."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # type: ignore[import-untyped,import-not-found,unused-ignore]

    session = onnxruntime.InferenceSession(to_bytes(model), providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))
