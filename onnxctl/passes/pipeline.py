"""The passes in the order they run in. A new pass is a new file and one entry here, at its place."""

from __future__ import annotations

from onnxctl.passes.base import Pass
from onnxctl.passes.eliminate_add_zero import eliminate_add_zero
from onnxctl.passes.eliminate_arithmetic import eliminate_arithmetic
from onnxctl.passes.eliminate_cast import eliminate_cast
from onnxctl.passes.eliminate_common_subexpressions import eliminate_common_subexpressions
from onnxctl.passes.eliminate_dropout import eliminate_dropout
from onnxctl.passes.eliminate_expand import eliminate_expand
from onnxctl.passes.eliminate_identity import eliminate_identity
from onnxctl.passes.eliminate_involutions import eliminate_involutions
from onnxctl.passes.eliminate_masks import eliminate_masks
from onnxctl.passes.eliminate_pad import eliminate_pad
from onnxctl.passes.eliminate_reductions import eliminate_reductions
from onnxctl.passes.eliminate_reshape import eliminate_reshape
from onnxctl.passes.eliminate_resize import eliminate_resize
from onnxctl.passes.eliminate_sequences import eliminate_sequences
from onnxctl.passes.eliminate_slice import eliminate_slice
from onnxctl.passes.eliminate_transpose import eliminate_transpose
from onnxctl.passes.eliminate_zero_states import eliminate_zero_states
from onnxctl.passes.fold_constants import fold_constants
from onnxctl.passes.fold_layouts import fold_layouts
from onnxctl.passes.fold_scalars_into_weights import fold_scalars_into_weights
from onnxctl.passes.fold_shapes import fold_shapes
from onnxctl.passes.fold_signs import fold_signs
from onnxctl.passes.fuse_attention import fuse_attention
from onnxctl.passes.fuse_attention_heads import fuse_attention_heads
from onnxctl.passes.fuse_batch_normalization import fuse_batch_normalization
from onnxctl.passes.fuse_channel_arithmetic import fuse_channel_arithmetic
from onnxctl.passes.fuse_clip import fuse_clip
from onnxctl.passes.fuse_depth_to_space import fuse_depth_to_space
from onnxctl.passes.fuse_division import fuse_division
from onnxctl.passes.fuse_gelu import fuse_gelu
from onnxctl.passes.fuse_group_normalization import fuse_group_normalization
from onnxctl.passes.fuse_grouped_heads import fuse_grouped_heads
from onnxctl.passes.fuse_hard_sigmoid import fuse_hard_sigmoid
from onnxctl.passes.fuse_layer_normalization import fuse_layer_normalization
from onnxctl.passes.fuse_leaky_relu import fuse_leaky_relu
from onnxctl.passes.fuse_matmul_add import fuse_matmul_add
from onnxctl.passes.fuse_reduce_l2 import fuse_reduce_l2
from onnxctl.passes.fuse_reduction_shape import fuse_reduction_shape
from onnxctl.passes.fuse_rms_normalization import fuse_rms_normalization
from onnxctl.passes.fuse_self_gate import fuse_self_gate
from onnxctl.passes.inline_functions import inline_functions
from onnxctl.passes.inline_if import inline_if
from onnxctl.passes.lift_constants import lift_constants
from onnxctl.passes.merge_arithmetic import merge_arithmetic
from onnxctl.passes.merge_casts import merge_casts
from onnxctl.passes.merge_clips import merge_clips
from onnxctl.passes.merge_concats import merge_concats
from onnxctl.passes.merge_gathers import merge_gathers
from onnxctl.passes.merge_layouts import merge_layouts
from onnxctl.passes.merge_pads import merge_pads
from onnxctl.passes.merge_parallel_matmuls import merge_parallel_matmuls
from onnxctl.passes.merge_pieces import merge_pieces
from onnxctl.passes.merge_product_transposes import merge_product_transposes
from onnxctl.passes.merge_reshapes import merge_reshapes
from onnxctl.passes.merge_short_pieces import merge_short_pieces
from onnxctl.passes.merge_slices import merge_slices
from onnxctl.passes.merge_slices_into_split import merge_slices_into_split
from onnxctl.passes.merge_splits import merge_splits
from onnxctl.passes.merge_strided_slices import merge_strided_slices
from onnxctl.passes.merge_transposes import merge_transposes
from onnxctl.passes.move_reshapes import move_reshapes
from onnxctl.passes.move_slices import move_slices
from onnxctl.passes.move_splits import move_splits
from onnxctl.passes.move_transposes import move_transposes
from onnxctl.passes.remove_unused import remove_unused
from onnxctl.passes.share_initializers import share_initializers
from onnxctl.passes.share_sizes import share_sizes
from onnxctl.passes.simplify_shape_arithmetic import simplify_shape_arithmetic
from onnxctl.passes.unroll_loops import unroll_loops

_REMOVE_UNUSED = Pass(
    "remove_unused", remove_unused, "remove nodes, initializers, outputs and functions that nothing needs"
)
"""First, so that nobody works on what goes; and last, or it would take another round for what the others left."""

PIPELINE: tuple[Pass, ...] = (
    Pass("lift_constants", lift_constants, "turn Constant nodes into initializers"),
    _REMOVE_UNUSED,
    Pass("inline_functions", inline_functions, "put the body of a function in place of its only call"),
    Pass("eliminate_identity", eliminate_identity, "remove Identity and operators of one input that hand it on"),
    Pass("eliminate_dropout", eliminate_dropout, "remove Dropout at inference"),
    Pass("fold_shapes", fold_shapes, "replace Shape, Size and what is picked of them by known sizes"),
    Pass("simplify_shape_arithmetic", simplify_shape_arithmetic, "write down what computed shapes come to"),
    Pass("fold_layouts", fold_layouts, "store weights in the shape and order they are read in"),
    Pass("fold_constants", fold_constants, "compute what depends on constants only"),
    Pass("inline_if", inline_if, "put the branch that is always taken in place of an If"),
    Pass("unroll_loops", unroll_loops, "put the iterations of a Loop in its place where that pays"),
    Pass("eliminate_cast", eliminate_cast, "remove Cast to the type a value has"),
    Pass("eliminate_reshape", eliminate_reshape, "remove Reshape, Expand, ... to the shape a tensor has"),
    Pass("eliminate_slice", eliminate_slice, "remove Slice that takes everything"),
    Pass("eliminate_pad", eliminate_pad, "remove Pad that adds nothing and Tile that repeats nothing"),
    Pass("eliminate_masks", eliminate_masks, "let masks that are known decide"),
    Pass("eliminate_expand", eliminate_expand, "let operators broadcast by themselves"),
    Pass("eliminate_reductions", eliminate_reductions, "remove reductions over axes of size 1"),
    Pass("eliminate_resize", eliminate_resize, "remove Resize to the size a tensor has"),
    Pass("eliminate_transpose", eliminate_transpose, "remove Transpose that moves no axis"),
    Pass("eliminate_arithmetic", eliminate_arithmetic, "remove multiplication by 1, subtraction of 0 and the like"),
    Pass("eliminate_add_zero", eliminate_add_zero, "remove float addition of 0.0, sums of one float", exact=False),
    Pass(
        "eliminate_involutions", eliminate_involutions, "undo what is done twice: negation, Abs of Abs, Relu of Sigmoid"
    ),
    Pass("merge_casts", merge_casts, "cast once where no value is lost between"),
    Pass("merge_clips", merge_clips, "clamp once, and not between infinite bounds"),
    Pass("fuse_attention", fuse_attention, "make one Attention of its products and Softmax", exact=False),
    Pass("fuse_grouped_heads", fuse_grouped_heads, "let Attention repeat key and value heads"),
    Pass("fuse_attention_heads", fuse_attention_heads, "let Attention split and join heads", exact=False),
    Pass("merge_layouts", merge_layouts, "rearrange tensors in the fewest Reshapes and Transposes"),
    Pass("merge_reshapes", merge_reshapes, "reshape once"),
    Pass("merge_transposes", merge_transposes, "transpose once"),
    Pass("eliminate_sequences", eliminate_sequences, "name the tensors of a sequence instead of packing them"),
    Pass("eliminate_zero_states", eliminate_zero_states, "leave out initial states of zeros of LSTM, GRU, RNN"),
    Pass("merge_pads", merge_pads, "pad once, and inside the Conv or pooling that follows", exact=False),
    Pass("merge_concats", merge_concats, "join once, and hand on what is joined only to be split"),
    Pass("merge_gathers", merge_gathers, "gather once"),
    Pass("merge_arithmetic", merge_arithmetic, "add or multiply once by constants in a row", exact=False),
    Pass("merge_slices", merge_slices, "slice once"),
    Pass("merge_splits", merge_splits, "split once"),
    Pass("move_slices", move_slices, "slice the one part of a Concat that is needed"),
    Pass("merge_strided_slices", merge_strided_slices, "rearrange where strided Slices pick all phases apart"),
    Pass("merge_pieces", merge_pieces, "replace Concat of one tensor's pieces by the tensor, one Slice or one Gather"),
    Pass("merge_short_pieces", merge_short_pieces, "gather short pieces of one tensor (level max)", by_default=False),
    Pass("merge_slices_into_split", merge_slices_into_split, "split once where every part is sliced out"),
    Pass("fuse_gelu", fuse_gelu, "make one Gelu of its erf or tanh form", exact=False),
    Pass("fuse_division", fuse_division, "divide instead of multiplying by a reciprocal", exact=False),
    Pass("fold_signs", fold_signs, "let constants hold the signs of negated parts"),
    Pass("fuse_reduction_shape", fuse_reduction_shape, "let reductions leave out their axes", exact=False),
    Pass("fuse_layer_normalization", fuse_layer_normalization, "make one LayerNormalization of its parts", exact=False),
    Pass("fuse_rms_normalization", fuse_rms_normalization, "make one RMSNormalization of its parts", exact=False),
    Pass(
        "fuse_group_normalization",
        fuse_group_normalization,
        "make one GroupNormalization of its parts (level max)",
        exact=False,
        by_default=False,
    ),
    Pass("fuse_clip", fuse_clip, "make one Clip of Min and Max with numbers", exact=False),
    Pass("fuse_reduce_l2", fuse_reduce_l2, "make one ReduceL2 of the root of a sum of squares", exact=False),
    Pass("fuse_hard_sigmoid", fuse_hard_sigmoid, "make one HardSigmoid of addition, clamp and scaling", exact=False),
    Pass("fuse_self_gate", fuse_self_gate, "make one HardSwish or Mish of its parts", exact=False),
    Pass("fuse_leaky_relu", fuse_leaky_relu, "make one LeakyRelu of its parts", exact=False),
    Pass("fuse_depth_to_space", fuse_depth_to_space, "make one DepthToSpace or SpaceToDepth of its parts"),
    Pass("fuse_batch_normalization", fuse_batch_normalization, "take BatchNormalization into weights", exact=False),
    Pass("fuse_channel_arithmetic", fuse_channel_arithmetic, "take channel arithmetic into weights", exact=False),
    Pass("fold_scalars_into_weights", fold_scalars_into_weights, "take scalars into weights far before", exact=False),
    Pass("fuse_matmul_add", fuse_matmul_add, "make one Gemm of MatMul and Add; take Transpose into it", exact=False),
    Pass("merge_product_transposes", merge_product_transposes, "swap factors, not their product's axes", exact=False),
    Pass("merge_parallel_matmuls", merge_parallel_matmuls, "multiply a tensor by several weights at once", exact=False),
    Pass("move_splits", move_splits, "reshape and transpose before a Split, not each part behind it"),
    Pass("move_transposes", move_transposes, "choose the order of axes with the fewest Transposes", exact=False),
    Pass("move_reshapes", move_reshapes, "keep tensors two-dimensional between Reshapes"),
    Pass("share_sizes", share_sizes, "compute each size of a dynamic shape once"),
    Pass("share_initializers", share_initializers, "keep one of several initializers of equal content"),
    Pass("eliminate_common_subexpressions", eliminate_common_subexpressions, "compute equal expressions once"),
    _REMOVE_UNUSED,
)
"""Cleaning first makes what follows cheaper; sharing comes before equal expressions: it makes more of them."""
