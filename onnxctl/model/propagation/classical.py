"""The operators of ai.onnx.ml: trees, linear models, scalers, encoders."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import TensorProto

from onnxctl.model.dimensions import Dimension
from onnxctl.model.propagation.call import Call, ShapeFunction
from onnxctl.model.propagation.facts import Fact, tensor


def _rows(call: Call) -> Dimension:
    """How many samples: the first dimension, or 1 where the input is one sample."""
    shape = call.shape(0)
    if shape is None:
        return call.fresh(0)
    return shape[0] if len(shape) >= 2 else 1


def _float_of_same_shape(call: Call) -> Fact:
    return tensor(TensorProto.FLOAT, call.shape(0))


def _same(call: Call) -> Fact:
    return tensor(call.dtype(0), call.shape(0))


def _label_type(call: Call, *names: str) -> tuple[int, int | None]:
    """The type of class labels and how many there are; names are the attributes for strings, then for integers."""
    for name, dtype in zip(names, (TensorProto.STRING, TensorProto.INT64), strict=True):
        found = call.attribute(name)
        if found is not None and (found.strings or found.ints):
            return dtype, len(found.strings) or len(found.ints)
    return TensorProto.INT64, None


def _classifier(call: Call) -> list[Fact]:
    names = (
        "classlabels_strings",
        "classlabels_ints" if call.op_type != "TreeEnsembleClassifier" else "classlabels_int64s",
    )
    dtype, count = _label_type(call, *names)
    width: Dimension = call.fresh(1, 1) if count is None else max(count, 2)
    if count == 1 or (count == 2 and call.op_type == "LinearClassifier"):
        width = call.fresh(1, 1) if count == 1 else 2
    rows = _rows(call)
    return [tensor(dtype, (rows,)), tensor(TensorProto.FLOAT, (rows, width))]


def _regressor(call: Call) -> Fact:
    if call.op_type == "SVMRegressor":
        targets = 1
    else:
        name = {"LinearRegressor": "targets"}.get(call.op_type, "n_targets")
        targets = call.integer(name, 1)
    return tensor(TensorProto.FLOAT, (_rows(call), targets))


def _tree_ensemble(call: Call) -> Fact:
    return tensor(call.dtype(0), (_rows(call), call.integer("n_targets", 1)))


def _label_encoder(call: Call) -> Fact:
    dtype: int | None = None
    for name, number in (
        ("values_strings", TensorProto.STRING),
        ("values_int64s", TensorProto.INT64),
        ("values_floats", TensorProto.FLOAT),
    ):
        if call.has_attribute(name):
            dtype = number
    table = call.attribute("values_tensor")
    if table is not None:
        dtype = table.t.data_type
    if call.opset < 2:  # classes_strings maps either way
        dtype = TensorProto.INT64 if call.dtype(0) == TensorProto.STRING else TensorProto.STRING
    return tensor(dtype, call.shape(0))


def _category_mapper(call: Call) -> Fact:
    return tensor(TensorProto.INT64 if call.dtype(0) == TensorProto.STRING else TensorProto.STRING, call.shape(0))


def _one_hot_encoder(call: Call) -> Fact:
    shape = call.shape(0)
    count = len(call.integers("cats_int64s") or ())
    found = call.attribute("cats_strings")
    if found is not None and found.strings:
        count = len(found.strings)
    return tensor(TensorProto.FLOAT, None if shape is None or not count else (*shape, count))


def _feature_extractor(call: Call) -> Fact:
    shape, indices = call.shape(0), call.shape(1)
    if shape is None or indices is None or not shape:
        return tensor(call.dtype(0))
    count: Dimension = 1
    for size in indices:
        count = count * size
    return tensor(call.dtype(0), (*((1,) if len(shape) == 1 else shape[:-1]), count))


def _feature_vectorizer(call: Call) -> Fact:
    widths = call.integers("inputdimensions")
    width: Dimension = sum(widths) if widths else call.fresh(1)
    return tensor(TensorProto.FLOAT, (_rows(call), width))


def _cast_map(call: Call) -> Fact:
    dtype = {"TO_STRING": TensorProto.STRING, "TO_INT64": TensorProto.INT64}.get(
        call.text("cast_to"), TensorProto.FLOAT
    )
    dense = call.text("map_form", "DENSE") == "DENSE"
    return tensor(dtype, (1, call.fresh(1) if dense else call.integer("max_map", 1)))


def _dict_vectorizer(call: Call) -> Fact:
    found = call.attribute("string_vocabulary") or call.attribute("int64_vocabulary")
    width: Dimension = call.fresh(1) if found is None else len(found.strings) or len(found.ints)
    return tensor(None, (1, width))


def _zip_map(call: Call) -> Fact:
    return Fact("sequence", element=Fact("map"))


OPERATORS: Mapping[str, ShapeFunction] = {
    "ArrayFeatureExtractor": _feature_extractor,
    "Binarizer": _same,
    "CastMap": _cast_map,
    "CategoryMapper": _category_mapper,
    "DictVectorizer": _dict_vectorizer,
    "FeatureVectorizer": _feature_vectorizer,
    "Imputer": _same,
    "LabelEncoder": _label_encoder,
    "LinearClassifier": _classifier,
    "LinearRegressor": _regressor,
    "Normalizer": _float_of_same_shape,
    "OneHotEncoder": _one_hot_encoder,
    "SVMClassifier": _classifier,
    "SVMRegressor": _regressor,
    "Scaler": _float_of_same_shape,
    "TreeEnsemble": _tree_ensemble,
    "TreeEnsembleClassifier": _classifier,
    "TreeEnsembleRegressor": _regressor,
    "ZipMap": _zip_map,
}
