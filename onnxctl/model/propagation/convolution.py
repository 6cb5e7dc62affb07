"""Convolutions and pools: the spatial output size is (input + pads - dilated kernel) // stride + 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import TensorProto

from onnxctl.model.dimensions import Dimension, ceil_divide, exact_quotient, is_at_least, minimum
from onnxctl.model.propagation import arithmetic
from onnxctl.model.propagation.arithmetic import as_dimension
from onnxctl.model.propagation.call import Call, ShapeFunction
from onnxctl.model.propagation.facts import Fact, Shape, static_shape, tensor
from onnxctl.model.propagation.shaping import made_shape, sizes_of


class Window:
    """The attributes that convolutions and pools share, checked: strides, dilations, pads, auto_pad."""

    def __init__(self, call: Call, spatial_rank: int) -> None:
        self.rank = spatial_rank
        self.strides = _per_axis(call, "strides", spatial_rank)
        self.dilations = _per_axis(call, "dilations", spatial_rank)
        pads = call.integers("pads") or [0] * (2 * spatial_rank)
        if len(pads) != 2 * spatial_rank or min(self.strides + self.dilations, default=1) < 1:
            raise ValueError("strides, dilations or pads do not fit the input")
        self.padding = [pads[axis] + pads[axis + spatial_rank] for axis in range(spatial_rank)]
        self.ends = pads[spatial_rank:]
        self.auto_pad = call.text("auto_pad", "NOTSET") or "NOTSET"

    def size(self, axis: int, size: Dimension, kernel: Dimension, *, ceil_mode: bool = False) -> Dimension:
        """The output size along one axis."""
        stride = self.strides[axis]
        if self.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            return ceil_divide(size, stride)
        padding = 0 if self.auto_pad == "VALID" else self.padding[axis]
        span = size + padding - ((kernel - 1) * self.dilations[axis] + 1)
        if not ceil_mode:
            # onnx and onnxruntime divide towards zero: an input smaller than its window still gives one output
            return -(-span // stride) + 1 if isinstance(span, int) and span < 0 else span // stride + 1
        count = ceil_divide(span, stride) + 1
        if self.auto_pad != "NOTSET":
            return count
        # a last window that would begin in the padding behind the input is left out
        return minimum(count, ceil_divide(size + padding - self.ends[axis], stride))


def _per_axis(call: Call, name: str, rank: int) -> list[int]:
    given = call.integers(name) or [1] * rank
    if len(given) != rank:
        raise ValueError(f"{name} does not fit the input")
    return given


def convolved(call: Call, data: Shape | None, weight: Shape | None, kernel: Sequence[int] | None) -> Shape | None:
    """[batch, weight's first, spatial...] of a convolution."""
    if data is None or len(data) < 2:
        if weight is None or len(weight) < 3:
            return None
        return (call.fresh(0), weight[0], *(call.fresh(axis) for axis in range(2, len(weight))))
    spatial = len(data) - 2
    channels = weight[0] if weight is not None and weight else call.fresh(1)
    kernels: Sequence[Dimension] | None = kernel or (weight[2:] if weight is not None else None)
    if kernels is None or len(kernels) != spatial:
        if weight is not None and len(weight) != len(data):
            raise ValueError("input and weight differ in rank")
        return (data[0], channels, *(call.fresh(axis + 2) for axis in range(spatial)))
    if weight is not None and len(weight) == len(data):
        call.check_equal(data[1], weight[1] * call.integer("group", 1))
    window = Window(call, spatial)
    sizes = [window.size(axis, data[axis + 2], kernels[axis]) for axis in range(spatial)]
    return (data[0], channels, *sizes)


def _conv(call: Call) -> Fact:
    return tensor(call.dtype(0), convolved(call, call.shape(0), call.shape(1), call.integers("kernel_shape")))


def _conv_integer(call: Call) -> Fact:
    return tensor(TensorProto.INT32, convolved(call, call.shape(0), call.shape(1), call.integers("kernel_shape")))


def _qlinear_conv(call: Call) -> Fact:
    shape = convolved(call, call.shape(0), call.shape(3), call.integers("kernel_shape"))
    return tensor(call.dtype(7) or call.dtype(0), shape)


def _conv_transpose(call: Call) -> Fact:
    data, weight = call.shape(0), call.shape(1)
    if data is None or len(data) < 2:
        return tensor(call.dtype(0), call.unknown_shape(len(weight) if weight is not None else None))
    spatial, group = len(data) - 2, call.integer("group", 1)
    channels = call.fresh(1) if weight is None or len(weight) < 2 else weight[1] * group
    kernels: Sequence[Dimension] | None = call.integers("kernel_shape") or (weight[2:] if weight is not None else None)
    given = call.integers("output_shape")
    if given:
        return tensor(call.dtype(0), (data[0], channels, *given[-spatial:]))
    if kernels is None or len(kernels) != spatial:
        return tensor(call.dtype(0), (data[0], channels, *(call.fresh(axis + 2) for axis in range(spatial))))
    window = Window(call, spatial)
    extra = call.integers("output_padding") or [0] * spatial
    sizes: list[Dimension] = []
    for axis in range(spatial):
        stride, size = window.strides[axis], data[axis + 2]
        reach = (kernels[axis] - 1) * window.dilations[axis] + 1
        if window.auto_pad in ("SAME_UPPER", "SAME_LOWER"):  # a kernel shorter than the stride leaves the rest away
            sizes.append(size * stride if is_at_least(reach + extra[axis], stride) else call.fresh(axis + 2))
            continue
        padding = 0 if window.auto_pad == "VALID" else window.padding[axis]
        sizes.append((size - 1) * stride + extra[axis] + reach - padding)
    return tensor(call.dtype(0), (data[0], channels, *sizes))


def _deform_conv(call: Call) -> Fact:
    data, weight, offset = call.shape(0), call.shape(1), call.shape(2)
    shape = convolved(call, data, weight, call.integers("kernel_shape"))
    if shape is not None and offset is not None and len(offset) == len(shape):
        shape = (*shape[:2], *offset[2:])
    return tensor(call.dtype(0), shape)


def _pool(call: Call) -> list[Fact]:
    data, kernels = call.shape(0), call.integers("kernel_shape")
    if kernels is None:
        raise ValueError("kernel_shape is missing")
    if data is None or len(data) != len(kernels) + 2:
        shape: Shape | None = call.unknown_shape(len(kernels) + 2)
    else:
        window = Window(call, len(kernels))
        ceil_mode = bool(call.integer("ceil_mode", 0))
        sizes = [window.size(axis, data[axis + 2], kernel, ceil_mode=ceil_mode) for axis, kernel in enumerate(kernels)]
        shape = (*data[:2], *sizes)
    return [tensor(call.dtype(0), shape), tensor(TensorProto.INT64, shape)]


def _global_pool(call: Call) -> Fact:
    shape = call.shape(0)
    return tensor(call.dtype(0), None if shape is None else (*shape[:2], *(1 for _ in shape[2:])))


def _max_unpool(call: Call) -> Fact:
    data, kernels = call.shape(0), call.integers("kernel_shape")
    sizes = sizes_of(call, 2) if call.has(2) else None
    if call.has(2):
        rank = call.rank(0)
        return tensor(call.dtype(0), made_shape(call, sizes) if sizes is not None else call.unknown_shape(rank))
    if data is None or kernels is None or len(data) != len(kernels) + 2:
        return tensor(call.dtype(0))
    window = Window(call, len(kernels))
    spatial = [
        (data[axis + 2] - 1) * window.strides[axis] + kernel - window.padding[axis]
        for axis, kernel in enumerate(kernels)
    ]
    return tensor(call.dtype(0), (*data[:2], *spatial))


def _roi_pool(call: Call) -> Fact:
    data, regions = call.shape(0), call.shape(1)
    pooled = call.integers("pooled_shape")
    if pooled is None:
        pooled = [call.integer("output_height", 1), call.integer("output_width", 1)]
    batch = call.fresh(0) if not regions else regions[0]
    channels = call.fresh(1) if data is None or len(data) < 2 else data[1]
    return tensor(call.dtype(0), (batch, channels, *pooled))


# ---------------------------------------------------------------- resampling


def _resize(call: Call) -> Fact:
    """Resize and Upsample: sizes as given, or floor(input * scale)."""
    fact = call.fact(0)
    if fact.shape is None:
        return tensor(fact.dtype)
    rank = len(fact.shape)
    axes = call.integers("axes")
    axes = list(range(rank)) if axes is None else [axis + rank if axis < 0 else axis for axis in axes]
    result: list[Dimension | None] = list(fact.shape)
    if call.has(3) and (sizes := sizes_of(call, 3)) is not None and len(sizes) == len(axes):
        if call.text("keep_aspect_ratio_policy", "stretch") not in ("", "stretch"):
            return tensor(fact.dtype, _keeping_aspect(call, fact.shape, axes, sizes))
        for axis, size in zip(axes, sizes, strict=True):
            result[axis] = size
        return tensor(fact.dtype, made_shape(call, result))
    scales = call.reals("scales")
    at = 2 if call.op_type == "Resize" and call.opset >= 11 else 1
    given = scales if scales is not None else call.values(at)
    if call.has(3) or given is None or len(given) != len(axes):
        return tensor(fact.dtype, call.unknown_shape(rank))
    for axis, scale in zip(axes, given, strict=True):
        result[axis] = scaled(fact.shape[axis], scale)
    return tensor(fact.dtype, made_shape(call, result))


def scaled(size: Dimension, scale: object) -> Dimension | None:
    """floor(size * scale), rounded as float32 does where both are numbers."""
    if isinstance(scale, int | float):
        if isinstance(size, int):
            return int(float(size) * float(scale))
        if float(scale).is_integer():
            return size * int(scale)
    product = arithmetic.multiply(size, scale, TensorProto.FLOAT)  # type: ignore[arg-type]
    return as_dimension(arithmetic.floor(product, TensorProto.FLOAT))


def _keeping_aspect(call: Call, shape: Shape, axes: Sequence[int], sizes: Sequence[Dimension | None]) -> Shape | None:
    result: list[Dimension | None] = list(shape)
    own = static_shape(shape)
    if own is None or not all(isinstance(size, int) for size in sizes):
        for axis in axes:
            result[axis] = None
        return made_shape(call, result)
    ratios = [size / own[axis] for axis, size in zip(axes, sizes, strict=True)]  # type: ignore[operator]
    smaller = call.text("keep_aspect_ratio_policy") == "not_larger"
    scale = min(ratios) if smaller else max(ratios)
    for axis in axes:
        result[axis] = int(scale * own[axis] + 0.5)
    return made_shape(call, result)


def _grid_sample(call: Call) -> Fact:
    data, grid = call.shape(0), call.shape(1)
    if data is None or grid is None or len(data) < 3 or len(grid) != len(data):
        return tensor(call.dtype(0), call.unknown_shape(len(data) if data is not None else None))
    return tensor(call.dtype(0), (call.equal(data[0], grid[0]), data[1], *grid[1:-1]))


def _affine_grid(call: Call) -> Fact:
    sizes = sizes_of(call, 1)
    if sizes is None:
        return tensor(call.dtype(0))
    spatial = sizes[2:]
    return tensor(call.dtype(0), made_shape(call, [sizes[0], *spatial, len(spatial)]))


def _col2im(call: Call) -> Fact:
    data, image, block = call.shape(0), sizes_of(call, 1), sizes_of(call, 2)
    if image is None:
        return tensor(call.dtype(0))
    channels: Dimension | None = None
    if data is not None and len(data) == 3 and block is not None and all(isinstance(each, int) for each in block):
        window = 1
        for each in block:
            window *= each if isinstance(each, int) else 1
        channels = exact_quotient(data[1], window)
    return tensor(call.dtype(0), made_shape(call, [data[0] if data else None, channels, *image]))


def _causal_conv(call: Call) -> list[Fact]:
    data, weight = call.shape(0), call.shape(1)
    state = None
    if data is not None and len(data) == 3 and weight is not None and len(weight) == 3:
        state = (data[0], data[1], weight[2] - 1)
    return [tensor(call.dtype(0), data), tensor(call.dtype(0), state)]


OPERATORS: Mapping[str, ShapeFunction] = {
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "QLinearConv": _qlinear_conv,
    "ConvTranspose": _conv_transpose,
    "DeformConv": _deform_conv,
    "AveragePool": _pool,
    "MaxPool": _pool,
    "LpPool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "GlobalLpPool": _global_pool,
    "MaxUnpool": _max_unpool,
    "MaxRoiPool": _roi_pool,
    "RoiAlign": _roi_pool,
    "Resize": _resize,
    "Upsample": _resize,
    "GridSample": _grid_sample,
    "AffineGrid": _affine_grid,
    "Col2Im": _col2im,
    "CausalConvWithState": _causal_conv,
}
