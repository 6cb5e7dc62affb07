"""Every operator with a shape function, by domain."""

from __future__ import annotations

from collections.abc import Mapping

from onnxctl.model.propagation import (
    classical,
    contrib,
    control,
    convolution,
    elementwise,
    generation,
    indexing,
    layers,
    multiplication,
    reductions,
    sequences,
    shaping,
)
from onnxctl.model.propagation.call import ShapeFunction

STANDARD: Mapping[str, ShapeFunction] = {
    **elementwise.OPERATORS,
    **shaping.OPERATORS,
    **generation.OPERATORS,
    **indexing.OPERATORS,
    **reductions.OPERATORS,
    **convolution.OPERATORS,
    **multiplication.OPERATORS,
    **layers.OPERATORS,
    **sequences.OPERATORS,
    **control.OPERATORS,
    "SimplifiedLayerNormalization": layers.OPERATORS["LayerNormalization"],  # onnxruntime's own, in this domain
}

BY_DOMAIN: Mapping[str, Mapping[str, ShapeFunction]] = {
    "": STANDARD,
    "ai.onnx": STANDARD,
    "ai.onnx.ml": classical.OPERATORS,
    "com.microsoft": contrib.OPERATORS,
    "ai.onnx.preview": multiplication.PREVIEW_OPERATORS,
    "ai.onnx.preview.training": layers.TRAINING_OPERATORS,
}
