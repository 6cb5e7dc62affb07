"""Every operator with a shape function, by domain."""

from __future__ import annotations

from collections.abc import Mapping

from onnxctl.model.propagation import control, elementwise, indexing, reductions, shaping
from onnxctl.model.propagation.call import ShapeFunction

STANDARD: Mapping[str, ShapeFunction] = {
    **elementwise.OPERATORS,
    **shaping.OPERATORS,
    **indexing.OPERATORS,
    **reductions.OPERATORS,
    **control.OPERATORS,
}

BY_DOMAIN: Mapping[str, Mapping[str, ShapeFunction]] = {"": STANDARD, "ai.onnx": STANDARD}
