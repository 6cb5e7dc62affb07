"""What operators say about the shapes of what they read: the rules of the walk in `trace`.

Each rule gets the node and its inputs, joins sizes that must agree, and returns the shapes of the outputs it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnx import NodeProto

from onnxctl.model.nodes import attribute
from onnxctl.runtime.layout_rules import LAYOUT_RULES
from onnxctl.runtime.sizes import Dim, Inputs, Rule, Shape, agree, broadcast, settle, shape_at, unify


def output_shapes(node: NodeProto, inputs: Inputs) -> list[Shape]:
    """The shapes of the node's outputs as far as they are known, after joining the sizes that must agree."""
    if node.op_type in _SAME_SHAPE:
        return [shape_at(inputs, 0)] * len(node.output)
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


# ---------------------------------------------------------------- products and windows


def _convolution(data: int, weight: int, *, transposed: bool = False) -> Rule:
    def rule(node: NodeProto, inputs: Inputs) -> list[Shape]:
        x, w = shape_at(inputs, data), shape_at(inputs, weight)
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
    x = shape_at(inputs, 0)
    if x is None or len(x) < 3:
        return []
    spatial: Dim = 1 if node.op_type.startswith("Global") else None
    return [(x[0], x[1], *[spatial] * (len(x) - 2))]


def _channels(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x = shape_at(inputs, 0)
    for index in range(1, len(inputs)):
        if _rank(inputs, index) == 1:
            agree(x, 1, shape_at(inputs, index), 0)
    return [x]


def _rank(inputs: Inputs, index: int) -> int | None:
    shape = shape_at(inputs, index)
    return None if shape is None else len(shape)


def _trailing(node: NodeProto, inputs: Inputs) -> list[Shape]:
    """LayerNormalization and its kin: the scale has the sizes of the last axes."""
    x = shape_at(inputs, 0)
    for index in range(1, len(inputs)):
        other = shape_at(inputs, index)
        for axis in range(-len(other or ()), 0):
            if other is not None and settle(other[axis]) != 1:
                agree(x, axis, other, axis)
    return [x]


def _matmul(left: int, right: int) -> Rule:
    def rule(node: NodeProto, inputs: Inputs) -> list[Shape]:
        a, b = shape_at(inputs, left), shape_at(inputs, right)
        if not a or not b:
            return []
        agree(a, -1, b, -2 if len(b) > 1 else 0)
        if len(b) == 1:
            return [a[:-1]]
        if len(a) == 1:
            return [(*b[:-2], b[-1])]
        batch = broadcast([a[:-2], b[:-2]])
        return [None if batch is None else (*batch, settle(a[-2]), b[-1])]

    return rule


def _packed_matmul(node: NodeProto, inputs: Inputs) -> list[Shape]:
    """MatMulNBits and its kin say the sizes of their packed weight in attributes K and N."""
    a, depth, width = shape_at(inputs, 0), attribute(node, "K"), attribute(node, "N")
    if not a or depth is None or width is None:
        return []
    unify(a[-1], int(depth))
    return [(*a[:-1], int(width))]


def _gemm(node: NodeProto, inputs: Inputs) -> list[Shape]:
    right = 3 if node.op_type == "QGemm" else 1
    a, b = shape_at(inputs, 0), shape_at(inputs, right)
    if a is None or b is None or len(a) != 2 or len(b) != 2:
        return []
    turned_a, turned_b = bool(attribute(node, "transA", 0)), bool(attribute(node, "transB", 0))
    agree(a, 0 if turned_a else 1, b, 1 if turned_b else 0)
    return [(a[1] if turned_a else a[0], b[0] if turned_b else b[1])]


def _recurrent(node: NodeProto, inputs: Inputs) -> list[Shape]:
    x, w, r = shape_at(inputs, 0), shape_at(inputs, 1), shape_at(inputs, 2)
    if x is None or len(x) != 3:
        return []
    agree(x, 2, w, 2)
    batch_first = attribute(node, "layout", 0) == 1
    time, batch = (x[1], x[0]) if batch_first else (x[0], x[1])
    hidden = r[2] if r is not None and len(r) == 3 else None
    directions = w[0] if w is not None and len(w) == 3 else None
    state: Shape = (batch, directions, hidden) if batch_first else (directions, batch, hidden)
    for index in (5, 6):
        given = shape_at(inputs, index)
        for axis in range(3):
            agree(given, axis, state, axis)
    agree(shape_at(inputs, 4), 0, (batch,), 0)
    whole: Shape = (batch, time, directions, hidden) if batch_first else (time, directions, batch, hidden)
    return [whole, state, state]


def _einsum(node: NodeProto, inputs: Inputs) -> list[Shape]:
    equation = attribute(node, "equation", b"").decode(errors="replace").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    if "." in equation or not arrow:
        return []
    sizes: dict[str, Dim] = {}
    for term, index in zip(terms.split(","), range(len(inputs)), strict=False):
        for letter, dim in zip(term, shape_at(inputs, index) or (), strict=False):
            sizes[letter] = unify(sizes.get(letter), dim)
    return [tuple(sizes.get(letter) for letter in result)]


# ---------------------------------------------------------------- ai.onnx.ml


def _features(count: Callable[[NodeProto], int | None]) -> Rule:
    """A model over rows of features: the operator's attributes say how many it reads."""

    def rule(node: NodeProto, inputs: Inputs) -> list[Shape]:
        x, wanted = shape_at(inputs, 0), count(node)
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
    **LAYOUT_RULES,
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
    **dict.fromkeys(("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"), _features(_tree_features)),
    **dict.fromkeys(("LinearClassifier", "LinearRegressor"), _features(_linear_features)),
    **dict.fromkeys(("SVMClassifier", "SVMRegressor"), _features(_vector_features)),
    "Scaler": _features(_listed_features("offset", "scale")),
    "Imputer": _features(_listed_features("imputed_value_floats", "imputed_value_int64s")),
}
