"""Which formula belongs to which operator, which operators only move data, and which nobody can count beforehand."""

from __future__ import annotations

from onnxctl.analysis.cost.attention import ATTENTION, CONTRIB_ATTENTION
from onnxctl.analysis.cost.classical import CLASSICAL
from onnxctl.analysis.cost.contrib import CONTRIB
from onnxctl.analysis.cost.elementwise import ELEMENTWISE, OPERATIONS_PER_ELEMENT
from onnxctl.analysis.cost.products import PRODUCTS
from onnxctl.analysis.cost.reductions import REDUCTIONS
from onnxctl.analysis.cost.work import Formula, Work
from onnxctl.model.nodes import DEFAULT_DOMAINS, plain_domain

MOVES = frozenset(
    """Identity Cast CastLike BitCast Reshape Flatten Squeeze Unsqueeze Transpose Concat Split Slice Gather
    GatherElements GatherND Scatter ScatterElements ScatterND TensorScatter Pad Expand Tile DepthToSpace SpaceToDepth
    ReverseSequence Trilu CenterCropPad Col2Im Compress OneHot EyeLike Constant ConstantOfShape Shape Size Dropout
    MaxUnpool SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SplitToSequence
    ConcatFromSequence Optional OptionalGetElement OptionalHasElement""".split()
)
"""Standard operators that compute nothing: they move, view, convert or make data. Dropout as at inference."""

VIEWS = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Shape", "Size", "Constant"})
"""Those of them that no runtime moves data for."""

UNCOUNTED = frozenset(
    """TopK Unique NonZero NonMaxSuppression MaxRoiPool Multinomial Bernoulli RandomNormal RandomNormalLike
    RandomUniform RandomUniformLike ImageDecoder MelWeightMatrix HannWindow HammingWindow BlackmanWindow TfIdfVectorizer
    StringNormalizer StringConcat StringSplit RegexFullMatch SequenceMap""".split()
)
"""Standard operators whose work depends on the values, or is not arithmetic."""

_CLASSICAL_MOVES = frozenset(
    """ArrayFeatureExtractor CastMap CategoryMapper DictVectorizer FeatureVectorizer LabelEncoder OneHotEncoder
    ZipMap""".split()
)
_CONTRIB_MOVES = frozenset(
    """GatherBlockQuantized GatherND QLinearConcat ExpandDims Trilu Pad BitmaskDropout TorchEmbedding RemovePadding
    RestorePadding UnfoldTensor""".split()
)
_CONTRIB_UNCOUNTED = frozenset(
    """PagedAttention SparseAttention LongformerAttention DecoderAttention BeamSearch GreedySearch Sampling
    WhisperBeamSearch NGramRepeatBlock SparseToDenseMatMul Tokenizer Unique DynamicTimeWarping MurmurHash3
    EPContext""".split()
)
"""As UNCOUNTED: caches and windows filled by values, loops until a token appears, graphs compiled for a device."""


def _nothing(operation: object) -> Work:
    return Work()


STANDARD: dict[str, Formula] = {
    **dict.fromkeys(MOVES, _nothing),
    **ELEMENTWISE,
    **PRODUCTS,
    **REDUCTIONS,
    **ATTENTION,
}
FORMULAS: dict[str, dict[str, Formula]] = {
    "": STANDARD,
    "ai.onnx.ml": {
        **dict.fromkeys(_CLASSICAL_MOVES, _nothing),
        **CLASSICAL,
        **{name: ELEMENTWISE[name] for name in OPERATIONS_PER_ELEMENT if name in ("Binarizer", "Imputer", "Scaler")},
        "Normalizer": REDUCTIONS["Normalizer"],
    },
    "com.microsoft": {
        **dict.fromkeys(_CONTRIB_MOVES, _nothing),
        **CONTRIB,
        **CONTRIB_ATTENTION,
    },
}
"""Each operator's formula, by domain ("" for ai.onnx) and type. What is not here is reported as not counted."""


def formula_of(domain: str, op_type: str) -> Formula | None:
    """The operator's formula, None where there is none."""
    return FORMULAS.get(plain_domain(domain), {}).get(op_type)


def depends_on_data(domain: str, op_type: str) -> bool:
    """Whether the operator's work can't be told from shapes."""
    if domain in DEFAULT_DOMAINS:
        return op_type in UNCOUNTED
    return domain == "com.microsoft" and op_type in _CONTRIB_UNCOUNTED
