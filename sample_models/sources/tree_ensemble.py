"""A random forest for iris flowers, trained by scikit-learn and converted by skl2onnx."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sources.assemble import answers, to_bytes


def load_iris_split() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return train features, train names, test features, test names: every fifth flower is for testing."""
    from sklearn.datasets import load_iris  # type: ignore[import-untyped,import-not-found,unused-ignore]

    data = load_iris()
    features = data.data.astype(np.float32)
    names = data.target_names[data.target].astype(str)
    is_test = np.arange(len(names)) % 5 == 0
    return features[~is_test], names[~is_test], features[is_test], names[is_test]


def accuracy(model: onnx.ModelProto) -> float:
    """Return the share of the 30 test flowers that get the right name."""
    _, _, features, names = load_iris_split()
    return float(np.mean(answers(model, {"measurements": features})[0] == names))


def files() -> dict[str, bytes]:
    from skl2onnx import convert_sklearn  # type: ignore[import-untyped,import-not-found,unused-ignore]
    from skl2onnx.common.data_types import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
        FloatTensorType,
    )
    from sklearn.ensemble import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
        RandomForestClassifier,
    )

    features, names, _, _ = load_iris_split()
    forest = RandomForestClassifier(n_estimators=20, max_depth=4, random_state=0)
    forest.fit(features, names)
    model = convert_sklearn(
        forest,
        name="tree_ensemble",
        initial_types=[("measurements", FloatTensorType([None, 4]))],
        target_opset={"": 17, "ai.onnx.ml": 3},
        options={id(forest): {"zipmap": True}},
    )
    # skl2onnx lists the opsets in another order each time, leaves the number of flowers unnamed and signs the file.
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    model.ir_version = 8
    model.producer_name = "onnxctl-samples"
    model.producer_version = ""
    model.domain = ""
    model.doc_string = "Random forest for iris flowers: four measurements in centimetres give a name and probabilities."
    return {"tree_ensemble.onnx": to_bytes(model)}
