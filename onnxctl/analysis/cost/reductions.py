"""Operators that combine many elements into each result: reductions, pooling, normalization, softmax, interpolation."""

from __future__ import annotations

import math

from onnxctl.analysis.cost.attention import SOFTMAX_OPERATIONS
from onnxctl.analysis.cost.work import Formula, Operation, UnknownShapeError, Work, product

_REDUCTIONS = {
    # operations for each input element, and for each output element
    "ReduceSum": (1, 0),
    "ReduceMax": (1, 0),
    "ReduceMin": (1, 0),
    "ReduceProd": (1, 0),
    "ReduceMean": (1, 1),  # and a division
    "ReduceL1": (2, 0),  # abs, add
    "ReduceL2": (2, 1),  # square, add, and a square root
    "ReduceSumSquare": (2, 0),
    "ReduceLogSum": (1, 1),
    "ReduceLogSumExp": (2, 1),
    "ArgMax": (1, 0),
    "ArgMin": (1, 0),
    "GlobalAveragePool": (1, 1),
    "GlobalMaxPool": (1, 0),
    "GlobalLpPool": (2, 1),
    "CumSum": (1, 0),
    "CumProd": (1, 0),
    # normalizations: what each element goes through
    "BatchNormalization": (2, 0),  # x * a + b, with a and b of each channel known beforehand
    "LayerNormalization": (7, 0),  # sum, subtract, square, sum, divide, scale, shift
    "GroupNormalization": (7, 0),
    "InstanceNormalization": (7, 0),
    "MeanVarianceNormalization": (5, 0),
    "RMSNormalization": (4, 0),  # square, sum, divide, scale
    "SimplifiedLayerNormalization": (4, 0),  # the same in onnxruntime, which has it in this domain
    "LpNormalization": (3, 0),
    "Normalizer": (3, 0),
    "Softmax": (SOFTMAX_OPERATIONS, 0),
    "LogSoftmax": (SOFTMAX_OPERATIONS, 0),
    "Hardmax": (1, 0),
    "SoftmaxCrossEntropyLoss": (SOFTMAX_OPERATIONS, 1),
    "NegativeLogLikelihoodLoss": (1, 0),
    "Range": (0, 1),
}


def _reduction(operation: Operation) -> Work:
    """So many operations for each input element and each output element."""
    each, last = _REDUCTIONS[operation.op_type]
    others = each * operation.input_elements() if each else 0
    return Work(others=others + last * operation.output_elements())


def _pooling(operation: Operation) -> Work:
    """MaxPool, AveragePool, LpPool: each output element combines a whole window (padding included)."""
    kernel = operation.integers("kernel_shape")
    if kernel is None:
        raise UnknownShapeError
    figure = 2 if operation.op_type == "LpPool" else 1
    return Work(others=figure * math.prod(kernel) * operation.output_elements())


def _local_response(operation: Operation) -> Work:
    """LRN: squares over a window of channels, then a power and a division."""
    return Work(others=(2 * operation.integer("size", 1) + 4) * operation.output_elements())


def _interpolation(operation: Operation) -> Work:
    """Resize and Upsample: nothing for nearest, else a MAC for each neighbour: 2^n for linear, 4^n for cubic.

    n counts the axes that change their size.
    """
    mode = operation.text("mode", "nearest")
    if mode == "nearest":
        return Work()
    before, after = operation.input_shape(0), operation.output_shape()
    scaled = sum(1 for old, new in zip(before, after, strict=False) if old != new)
    neighbours = (4 if mode == "cubic" else 2) ** scaled
    return Work(macs=neighbours * product(after) if scaled else 0)


def _grid_sample(operation: Operation) -> Work:
    """GridSample: as interpolation, over every spatial axis."""
    mode = operation.text("mode", "linear")
    if mode == "nearest":
        return Work()
    axes = len(operation.output_shape()) - 2
    return Work(macs=(4 if mode in ("cubic", "bicubic") else 2) ** axes * operation.output_elements())


def _affine_grid(operation: Operation) -> Work:
    """AffineGrid: each point of the grid times an n by n + 1 matrix."""
    shape = operation.output_shape()
    width = shape[-1]
    return Work(macs=product(shape[:-1]) * width * (width + 1))


def _region_pooling(operation: Operation) -> Work:
    """RoiAlign: each output averages sampling_ratio^2 samples of four neighbours; MaxRoiPool is not counted."""
    ratio = operation.integer("sampling_ratio", 0)
    if not ratio:
        raise UnknownShapeError
    return Work(macs=4 * ratio * ratio * operation.output_elements(), others=operation.output_elements())


def _fourier(operation: Operation) -> Work:
    """DFT and STFT by a fast transform: 5 n log2 n real operations for each transform of n complex points.

    The customary figure (M. Frigo and S. G. Johnson, FFTW); where n is not known yet there is none.
    """
    shape = operation.output_shape()
    if operation.op_type == "DFT":
        # axis: an attribute before opset 20, an input since
        given = operation.constant(2) if operation.has(2) else None
        axis = given[0] if given else operation.integer("axis", 1 if operation.opset < 20 else -2)
        length = shape[axis]
    else:
        frame = operation.constant(3) if operation.has(3) else None
        window = operation.input_shape(2)[0] if operation.has(2) else (frame[0] if frame else None)
        if window is None:
            raise UnknownShapeError
        length = window
    if not isinstance(length, int) or length < 1:
        raise UnknownShapeError
    transforms = product(shape[:-1]) // length if operation.op_type == "DFT" else product(shape[:-2])
    return Work(others=transforms * round(5 * length * math.log2(length)))


def _determinant(operation: Operation) -> Work:
    """Det by elimination: 2/3 n^3 operations a matrix."""
    shape = operation.input_shape(0)
    return Work(others=product(shape[:-2]) * (2 * shape[-1] * shape[-1] * shape[-1] // 3))


REDUCTIONS: dict[str, Formula] = dict.fromkeys(_REDUCTIONS, _reduction)
REDUCTIONS |= {
    "MaxPool": _pooling,
    "AveragePool": _pooling,
    "LpPool": _pooling,
    "LRN": _local_response,
    "Resize": _interpolation,
    "Upsample": _interpolation,
    "GridSample": _grid_sample,
    "AffineGrid": _affine_grid,
    "RoiAlign": _region_pooling,
    "DFT": _fourier,
    "STFT": _fourier,
    "Det": _determinant,
}
