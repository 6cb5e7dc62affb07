"""The passes in the order they run in. A new pass is a new file and one entry here, at its place."""

from __future__ import annotations

from onnxctl.passes.base import Pass
from onnxctl.passes.eliminate_add_zero import eliminate_add_zero
from onnxctl.passes.eliminate_arithmetic import eliminate_arithmetic
from onnxctl.passes.eliminate_cast import eliminate_cast
from onnxctl.passes.eliminate_common_subexpressions import eliminate_common_subexpressions
from onnxctl.passes.eliminate_dropout import eliminate_dropout
from onnxctl.passes.eliminate_identity import eliminate_identity
from onnxctl.passes.eliminate_pad import eliminate_pad
from onnxctl.passes.eliminate_reshape import eliminate_reshape
from onnxctl.passes.eliminate_slice import eliminate_slice
from onnxctl.passes.eliminate_transpose import eliminate_transpose
from onnxctl.passes.fold_constants import fold_constants
from onnxctl.passes.fold_shapes import fold_shapes
from onnxctl.passes.lift_constants import lift_constants
from onnxctl.passes.remove_unused import remove_unused
from onnxctl.passes.share_initializers import share_initializers

PIPELINE: tuple[Pass, ...] = (
    Pass("lift_constants", lift_constants, "turn Constant nodes into initializers"),
    Pass("remove_unused", remove_unused, "remove nodes, initializers, outputs and functions that nothing needs"),
    Pass("eliminate_identity", eliminate_identity, "remove Identity and operators of one input that hand it on"),
    Pass("eliminate_dropout", eliminate_dropout, "remove Dropout at inference"),
    Pass("fold_shapes", fold_shapes, "replace Shape, Size and what is picked of them by known sizes"),
    Pass("fold_constants", fold_constants, "compute what depends on constants only"),
    Pass("eliminate_cast", eliminate_cast, "remove Cast to the type a value has"),
    Pass("eliminate_reshape", eliminate_reshape, "remove Reshape, Expand, ... to the shape a tensor has"),
    Pass("eliminate_slice", eliminate_slice, "remove Slice that takes everything"),
    Pass("eliminate_pad", eliminate_pad, "remove Pad that adds nothing and Tile that repeats nothing"),
    Pass("eliminate_transpose", eliminate_transpose, "remove Transpose that moves no axis"),
    Pass("eliminate_arithmetic", eliminate_arithmetic, "remove multiplication by 1, subtraction of 0 and the like"),
    Pass("eliminate_add_zero", eliminate_add_zero, "remove float addition of 0.0", exact=False),
    Pass("share_initializers", share_initializers, "keep one of several initializers of equal content"),
    Pass("eliminate_common_subexpressions", eliminate_common_subexpressions, "compute equal expressions once"),
)
"""Cleaning first makes what follows cheaper; sharing comes before equal expressions: it makes more of them."""
