"""Models as ONNX text with random weights: every value of its value_info that no node makes is an initializer.

`agraph (float[1, 2, 5, 5] x) => (float y) <float[3, 2, 3, 3] w> { y = Conv(x, w) }`; output shapes are inferred.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

MINIMUM, MAXIMUM = 0.3, 1.7
"""All weights are positive, so that they can be variances too."""


def weighted(text: str, seed: int = 0) -> ModelProto:
    """The model of the text with its weights; equal seeds give equal weights."""
    model = onnx.parser.parse_model(text)
    random = np.random.default_rng(seed)
    made = {name for node in model.graph.node for name in node.output}
    given = {tensor.name for tensor in model.graph.initializer}
    for value in list(model.graph.value_info):
        if value.name in made or value.name in given:
            continue
        kind = value.type.tensor_type
        shape = [dim.dim_value for dim in kind.shape.dim]
        array = random.uniform(MINIMUM, MAXIMUM, shape).astype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        model.graph.initializer.append(numpy_helper.from_array(array, value.name))
        model.graph.value_info.remove(value)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model)
    for value, known in zip(model.graph.output, inferred.graph.output, strict=True):
        value.CopyFrom(known)
    return model
