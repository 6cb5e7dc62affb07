"""What operators say about the shapes of what they read: the rules of the walk in `trace`.

Each rule gets the node and its inputs, joins sizes that must agree, and returns the shapes of the outputs it knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from onnx import NodeProto

from onnxctl.model.graph import attribute
from onnxctl.runtime.sizes import Dim, Shape, Size, Value, broadcast, product, settle, unify

Inputs = Sequence[Value | None]
Rule = Callable[[NodeProto, Inputs], list[Shape]]


def output_shapes(node: NodeProto, inputs: Inputs) -> list[Shape]:
    """The shapes of the node's outputs as far as they are known, after joining the sizes that must agree."""
    if node.op_type in _SAME_SHAPE:
        return [_shape(inputs, 0)] * len(node.output)
    if node.op_type in _BROADCAST:
        return [broadcast([value.shape if value else None for value in inputs])]
    rule = _RULES.get(node.op_type)
    return rule(node, inputs) if rule is not None else []


def rank_wanted(node: NodeProto, index: int, shapes: Sequence[Shape]) -> int | None:
    """The rank that the operator expects of its input number `index`, where it says so."""
    fixed = _RANKS.get((node.op_type, index))
    if fixed is not None:
        return fixed
    if node.op_type in ("Conv", "ConvTranspose", "FusedConv") and len(shapes) > 1 and shapes[1] is not None:
        return len(shapes[1])
    if node.op_type == "Transpose" and (permutation := attribute(node, "perm")):
        return len(permutation)
    return None


_RANKS = {
    **dict.fromkeys([("Gemm", 0), ("MatMul", 0), ("Gather", 1), ("EmbedLayerNormalization", 0)], 2),
    **dict.fromkeys([("LSTM", 0), ("GRU", 0), ("RNN", 0)], 3),
    **dict.fromkeys([("MaxPool", 0), ("AveragePool", 0), ("BatchNormalization", 0), ("GlobalAveragePool", 0)], 4),
    **dict.fromkeys([("Reshape", 1), ("Expand", 1), ("Tile", 1), ("ConstantOfShape", 0)], 1),
    **dict.fromkeys([("Loop", 0), ("Loop", 1), ("If", 0), ("Range", 0), ("Range", 1), ("Range", 2)], 0),
    **dict.fromkeys([("Scaler", 0), ("TreeEnsembleClassifier", 0), ("TreeEnsembleRegressor", 0)], 2),
    **dict.fromkeys([("LinearClassifier", 0), ("LinearRegressor", 0), ("SVMClassifier", 0), ("Normalizer", 0)], 2),
}


def _shape(inputs: Inputs, index: int) -> Shape:
    value = inputs[index] if index < len(inputs) else None
    return None if value is None or value.shape is None else tuple(map(settle, value.shape))


def _agree(first: Shape, axis: int, second: Shape, other_axis: int) -> None:
    """Let two shapes agree at one axis each."""
    for shape, at in ((first, axis), (second, other_axis)):
        if shape is None or not -len(shape) <= at < len(shape):
            return
    assert first is not None and second is not None
    unify(first[axis], second[other_axis])


def _integers(value: Value | None) -> list[int] | None:
    """The numbers of a constant integer tensor."""
    array = None if value is None else value.constant()
    return None if array is None or array.dtype.kind not in "iu" else [int(each) for each in array.reshape(-1)]


def _axes(node: NodeProto, inputs: Inputs, index: int) -> list[int] | None:
    """The axes that an attribute gives, or (from opset 13 or 18 on) input number `index`; [] where none are given."""
    written = attribute(node, "axes")
    if written is not None:
        return list(written)
    if index < len(inputs) and inputs[index] is not None:
        return _integers(inputs[index])
    return []


# ---------------------------------------------------------------- products and windows


def _convolution(data: int, weight: int, *, transposed: bool = False) -> Rule:
    def rule(node: NodeProto, inputs: Inputs) -> list[Shape]:
        x, w = _shape(inputs, data), _shape(inputs, weight)
        if x is None or w is None or len(x) != len(w) or len(x) < 3:
            return []
        group = attribute(node, "group", 1)
        read, made = (w[0], w[1]) if transposed else (w[1], w[0])
        if isinstance(read, int):
            unify(x[1], read if transposed else read * group)
        channels = made * group if transposed and isinstance(made, int) else made
        return [(x[0], channels, *[None] * (len(x) - 2))]

    return rule


def _pool(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = _shape(inputs, 0)
    if x is None or len(x) < 3:
        return []
    spatial: Dim = 1 if node.op_type.startswith("Global") else None
    return [(x[0], x[1], *[spatial] * (len(x) - 2))]


def _channels(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = _shape(inputs, 0)
    for index in range(1, len(inputs)):
        if _rank(inputs, index) == 1:
            _agree(x, 1, _shape(inputs, index), 0)
    return [x]


def _rank(inputs: Inputs, index: int) -> int | None:
    shape = _shape(inputs, index)
    return None if shape is None else len(shape)


def _trailing(node: NodeProto, inputs: Inputs) -> list[Shape]:
    """LayerNormalization and its kin: the scale has the sizes of the last axes."""
    x = _shape(inputs, 0)
    for index in range(1, len(inputs)):
        other = _shape(inputs, index)
        for axis in range(-len(other or ()), 0):
            if other is not None and settle(other[axis]) != 1:
                _agree(x, axis, other, axis)
    return [x]


def _matmul(left: int, right: int) -> Rule:
    def rule(node: NodeProto, inputs: Inputs) -> list[Shape]:
        a, b = _shape(inputs, left), _shape(inputs, right)
        if not a or not b:
            return []
        _agree(a, -1, b, -2 if len(b) > 1 else 0)
        if len(b) == 1:
            return [a[:-1]]
        if len(a) == 1:
            return [(*b[:-2], b[-1])]
        batch = broadcast([a[:-2], b[:-2]])
        return [None if batch is None else (*batch, settle(a[-2]), b[-1])]

    return rule


def _packed_matmul(node: NodeProto, inputs: Inputs) -> list[Shape]:
    """MatMulNBits and its kin say the sizes of their packed weight in attributes K and N."""
    a, depth, width = _shape(inputs, 0), attribute(node, "K"), attribute(node, "N")
    if not a or depth is None or width is None:
        return []
    unify(a[-1], int(depth))
    return [(*a[:-1], int(width))]


def _gemm(node: NodeProto, inputs: Inputs) -> list[Shape]:
    right = 3 if node.op_type == "QGemm" else 1
    a, b = _shape(inputs, 0), _shape(inputs, right)
    if a is None or b is None or len(a) != 2 or len(b) != 2:
        return []
    turned_a, turned_b = bool(attribute(node, "transA", 0)), bool(attribute(node, "transB", 0))
    _agree(a, 0 if turned_a else 1, b, 1 if turned_b else 0)
    return [(a[1] if turned_a else a[0], b[0] if turned_b else b[1])]


def _recurrent(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x, w, r = _shape(inputs, 0), _shape(inputs, 1), _shape(inputs, 2)
    if x is None or len(x) != 3:
        return []
    _agree(x, 2, w, 2)
    batch_first = attribute(node, "layout", 0) == 1
    time, batch = (x[1], x[0]) if batch_first else (x[0], x[1])
    hidden = r[2] if r is not None and len(r) == 3 else None
    directions = w[0] if w is not None and len(w) == 3 else None
    state: Shape = (batch, directions, hidden) if batch_first else (directions, batch, hidden)
    for index in (5, 6):
        given = _shape(inputs, index)
        for axis in range(3):
            _agree(given, axis, state, axis)
    _agree(_shape(inputs, 4), 0, (batch,), 0)
    whole: Shape = (batch, time, directions, hidden) if batch_first else (time, directions, batch, hidden)
    return [whole, state, state]


def _einsum(node: NodeProto, inputs: Inputs) -> list[Shape]:
    equation = attribute(node, "equation", b"").decode(errors="replace").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    if "." in equation or not arrow:
        return []
    sizes: dict[str, Dim] = {}
    for term, index in zip(terms.split(","), range(len(inputs)), strict=False):
        for letter, dim in zip(term, _shape(inputs, index) or (), strict=False):
            sizes[letter] = unify(sizes.get(letter), dim)
    return [tuple(sizes.get(letter) for letter in result)]


# ---------------------------------------------------------------- other shapes of the same elements


def _reshape(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x, target = _shape(inputs, 0), _integers(inputs[1] if len(inputs) > 1 else None)
    if len(inputs) == 1:
        target = attribute(node, "shape")
    if target is None:
        return []
    if x is None:
        return [tuple(each if each > 0 else None for each in target)]
    zero_means_zero = bool(attribute(node, "allowzero", 0))
    result: list[Dim] = []
    for axis, each in enumerate(target):
        if each == 0 and not zero_means_zero:
            result.append(x[axis] if axis < len(x) else None)
        else:
            result.append(each if each >= 0 else None)
    free = target.index(-1) if -1 in target else None
    _balance(x, [dim for axis, dim in enumerate(result) if axis != free], result, free)
    return [tuple(map(settle, result))]


def _balance(x: Sequence[Dim], known: Sequence[Dim], result: list[Dim], free: int | None) -> None:
    """Settle open sizes of x so that the elements fit the target; name the free axis (-1) where one size is left."""
    if None in x or None in known:
        return
    numbers_in = product([dim for dim in x if isinstance(dim, int)]) or 1
    numbers_out = product([dim for dim in known if isinstance(dim, int)]) or 1
    open_in = Counter(dim.root() for dim in x if isinstance(dim, Size))
    open_out = Counter(dim.root() for dim in known if isinstance(dim, Size))
    left, missing = list((open_in - open_out).elements()), open_out - open_in
    if missing:
        return
    if free is None:
        if len(left) == 1 and numbers_out % numbers_in == 0:
            left[0].settle(numbers_out // numbers_in)
        return
    if not left and numbers_in % numbers_out == 0:
        result[free] = numbers_in // numbers_out
    elif len(left) == 1 and numbers_in == numbers_out:
        result[free] = left[0]
    elif left and numbers_out % numbers_in == 0 and numbers_out > numbers_in:
        # [-1, 784] of [batch, height]: the last open size carries what the numbers of the target ask for
        left[-1].settle(numbers_out // numbers_in)
        result[free] = left[0] if len(left) == 2 else 1 if len(left) == 1 else None


def _flatten(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = _shape(inputs, 0)
    if x is None:
        return []
    axis = attribute(node, "axis", 1)
    axis = axis + len(x) if axis < 0 else axis
    return [(_folded(x[:axis]), _folded(x[axis:]))]


def _folded(dims: Sequence[Dim]) -> Dim:
    """The product of sizes: a number, or the one open size among ones."""
    wide = [dim for dim in dims if dim != 1]
    return wide[0] if len(wide) == 1 else product(wide)


def _transpose(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = _shape(inputs, 0)
    if x is None:
        return []
    order = attribute(node, "perm") or list(range(len(x)))[::-1]
    return [tuple(x[axis] if -len(x) <= axis < len(x) else None for axis in order)]


def _squeeze(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x, axes = _shape(inputs, 0), _axes(node, inputs, 1)
    if x is None or not axes:
        return []
    gone = {axis % len(x) for axis in axes} if x else set()
    for axis in gone:
        unify(x[axis], 1)
    return [tuple(dim for axis, dim in enumerate(x) if axis not in gone)]


def _unsqueeze(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x, axes = _shape(inputs, 0), _axes(node, inputs, 1)
    if x is None or axes is None:
        return []
    rank = len(x) + len(axes)
    new, rest = {axis % rank for axis in axes}, iter(x)
    return [tuple(1 if axis in new else next(rest, None) for axis in range(rank))]


def _concat(node: NodeProto, inputs: Inputs) -> list[Shape]:
    shapes = [_shape(inputs, index) for index in range(len(inputs))]
    known = [shape for shape in shapes if shape]
    if not known or len(known) != len(shapes) or len({len(shape) for shape in known}) > 1:
        return []
    rank = len(known[0])
    axis = attribute(node, "axis", 1) % rank
    result: list[Dim] = list(known[0])
    for shape in known[1:]:
        for at in range(rank):
            if at != axis:
                result[at] = unify(result[at], shape[at])
    sizes = [size for shape in known if isinstance(size := settle(shape[axis]), int)]
    result[axis] = sum(sizes) if len(sizes) == len(known) else None
    return [tuple(result)]


def _gather(node: NodeProto, inputs: Inputs) -> list[Shape]:
    data, indices = _shape(inputs, 0), _shape(inputs, 1)
    if not data or indices is None:
        return []
    axis = attribute(node, "axis", 0) % len(data)
    return [(*data[:axis], *indices, *data[axis + 1 :])]


def _gather_elements(node: NodeProto, inputs: Inputs) -> list[Shape]:
    data, indices = _shape(inputs, 0), _shape(inputs, 1)
    axis = attribute(node, "axis", 0)
    for at in range(len(indices or ())):
        if indices is not None and at != axis % len(indices):
            _agree(data, at, indices, at)
    return [indices]


def _slice(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = _shape(inputs, 0)
    if x is None:
        return []
    if attribute(node, "starts") is not None:
        axes = attribute(node, "axes") or list(range(len(attribute(node, "starts"))))
    elif len(inputs) > 3 and inputs[3] is not None:
        axes = _integers(inputs[3])
    else:
        axes = list(range(_length(inputs, 1) or len(x)))
    return [_forget(x, axes)]


def _length(inputs: Inputs, index: int) -> int | None:
    shape = _shape(inputs, index)
    return shape[0] if shape is not None and len(shape) == 1 and isinstance(shape[0], int) else None


def _forget(x: Sequence[Dim], axes: Sequence[int] | None) -> Shape:
    """The shape with these axes unknown, all of them where it isn't known which."""
    changed = set(range(len(x))) if axes is None else {axis % len(x) for axis in axes} if x else set()
    return tuple(None if axis in changed else dim for axis, dim in enumerate(x))


def _split(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = _shape(inputs, 0)
    if not x:
        return []
    axis = attribute(node, "axis", 0) % len(x)
    parts = attribute(node, "split") or _integers(inputs[1] if len(inputs) > 1 else None)
    if parts:
        unify(x[axis], sum(parts))
    sizes: list[Dim] = list(parts or [None] * len(node.output))
    return [(*x[:axis], size, *x[axis + 1 :]) for size in sizes]


def _pad(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = _shape(inputs, 0)
    pads = attribute(node, "pads") or _integers(inputs[1] if len(inputs) > 1 else None)
    if x is None:
        return []
    if pads is None or len(pads) != 2 * len(x):
        return [(None,) * len(x)]
    changed = [axis for axis in range(len(x)) if pads[axis] or pads[axis + len(x)]]
    return [_forget(x, changed)]


def _expand(node: NodeProto, inputs: Inputs) -> list[Shape]:
    target = _integers(inputs[1] if len(inputs) > 1 else None)
    return [] if target is None else [broadcast([_shape(inputs, 0), tuple(target)])]


def _reduce(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = _shape(inputs, 0)
    axes = [attribute(node, "axis", 0)] if node.op_type.startswith("Arg") else _axes(node, inputs, 1)
    if x is None or axes is None:
        return []
    gone = {axis % len(x) for axis in axes} if axes and x else set(range(len(x)))
    if attribute(node, "keepdims", 1):
        return [tuple(1 if axis in gone else dim for axis, dim in enumerate(x))]
    return [tuple(dim for axis, dim in enumerate(x) if axis not in gone)]


def _shape_operator(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = _shape(inputs, 0)
    whole = not any(attribute(node, name) for name in ("start", "end"))
    return [(len(x),)] if x is not None and whole else []


# ---------------------------------------------------------------- ai.onnx.ml


def _features(count: Callable[[NodeProto], int | None]) -> Rule:
    """A model over rows of features: the operator's attributes say how many it reads."""

    def rule(node: NodeProto, inputs: Inputs) -> list[Shape]:
        x, wanted = _shape(inputs, 0), count(node)
        if x and wanted:
            unify(x[-1], wanted)
        return [x] if node.op_type in ("Scaler", "Imputer", "Normalizer") else []

    return rule


def _tree_features(node: NodeProto) -> int | None:
    features = attribute(node, "nodes_featureids")
    return max(features) + 1 if features else None


def _linear_features(node: NodeProto) -> int | None:
    coefficients = attribute(node, "coefficients") or ()
    if node.op_type == "LinearRegressor":
        rows = attribute(node, "targets", 1)
    else:
        rows = attribute(node, "intercepts") and len(attribute(node, "intercepts"))
    return len(coefficients) // rows if rows else None


def _vector_features(node: NodeProto) -> int | None:
    vectors = attribute(node, "vectors_per_class")
    count = sum(vectors) if vectors else attribute(node, "n_supports", 0)
    return len(attribute(node, "support_vectors") or ()) // count if count else None


def _listed_features(*names: str) -> Callable[[NodeProto], int | None]:
    def count(node: NodeProto) -> int | None:
        lengths = [len(attribute(node, name) or ()) for name in names]
        return max(lengths) if max(lengths) > 1 else None

    return count


_SAME_SHAPE_NAMES = """
    Identity Cast CastLike Dropout Relu LeakyRelu Sigmoid Tanh Elu Selu Celu Gelu Mish HardSwish HardSigmoid Softplus
    Softsign ThresholdedRelu Abs Neg Exp Log Sqrt Reciprocal Floor Ceil Round Sign Erf Sin Cos Tan Asin Acos Atan Sinh
    Cosh Asinh Acosh Atanh Not BitwiseNot IsNaN IsInf Clip Softmax LogSoftmax Hardmax CumSum Trilu LpNormalization
    MeanVarianceNormalization LRN QuantizeLinear DequantizeLinear Shrink Swish FastGelu QuickGelu Binarizer
    LabelEncoder EyeLike RandomUniformLike RandomNormalLike Bernoulli ReverseSequence
"""
_BROADCAST_NAMES = """
    Add Sub Mul Div Pow Mod And Or Xor Equal Greater Less GreaterOrEqual LessOrEqual Where Max Min Sum Mean PRelu
    BitShift BitwiseAnd BitwiseOr BitwiseXor BiasGelu StringConcat
"""
_SAME_SHAPE = frozenset(_SAME_SHAPE_NAMES.split())
_BROADCAST = frozenset(_BROADCAST_NAMES.split())

_RULES: Mapping[str, Rule] = {
    "Conv": _convolution(0, 1),
    "FusedConv": _convolution(0, 1),
    "ConvInteger": _convolution(0, 1),
    "QLinearConv": _convolution(0, 3),
    "ConvTranspose": _convolution(0, 1, transposed=True),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _pool),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization", "GroupNormalization"), _channels),
    **dict.fromkeys(("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"), _trailing),
    **dict.fromkeys(("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"), _trailing),
    "MatMul": _matmul(0, 1),
    "MatMulInteger": _matmul(0, 1),
    "DynamicQuantizeMatMul": _matmul(0, 1),
    "MatMulIntegerToFloat": _matmul(0, 1),
    "QLinearMatMul": _matmul(0, 3),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4", "MatMulFpQ4"), _packed_matmul),
    **dict.fromkeys(("Gemm", "QGemm"), _gemm),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), _recurrent),
    "Einsum": _einsum,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Slice": _slice,
    "Split": _split,
    "Pad": _pad,
    "Expand": _expand,
    **dict.fromkeys(
        ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"), _reduce
    ),
    **dict.fromkeys(("ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "ArgMax", "ArgMin"), _reduce),
    "Shape": _shape_operator,
    **dict.fromkeys(("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"), _features(_tree_features)),
    **dict.fromkeys(("LinearClassifier", "LinearRegressor"), _features(_linear_features)),
    **dict.fromkeys(("SVMClassifier", "SVMRegressor"), _features(_vector_features)),
    "Scaler": _features(_listed_features("offset", "scale")),
    "Imputer": _features(_listed_features("imputed_value_floats", "imputed_value_int64s")),
}
