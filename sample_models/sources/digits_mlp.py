"""A multilayer perceptron for handwritten digits, trained by scikit-learn."""

import warnings

import numpy as np
import onnx

from sources.assemble import model_from_text, to_bytes
from sources.digits_data import load_digits_split, test_accuracy

TEXT = """
<
  ir_version: 8,
  opset_import: ["" : 17],
  producer_name: "onnxctl-samples",
  doc_string: "Multilayer perceptron for 8x8 images of handwritten digits with grey values from 0 to 16."
>
digits_mlp (float[batch, 1, 8, 8] image) => (float[batch, 10] logits)
<
  float white = {16.0}
>
{
  [scale] scaled = Div(image, white)
  [flatten] features = Flatten <axis = 1> (scaled)
  [hidden1_multiply] hidden1_product = MatMul(features, hidden1_weight)
  [hidden1_add] hidden1_sum = Add(hidden1_product, hidden1_bias)
  [hidden1_relu] hidden1 = Relu(hidden1_sum)
  [hidden2_multiply] hidden2_product = MatMul(hidden1, hidden2_weight)
  [hidden2_add] hidden2_sum = Add(hidden2_product, hidden2_bias)
  [hidden2_relu] hidden2 = Relu(hidden2_sum)
  [output_multiply] output_product = MatMul(hidden2, output_weight)
  [output_add] logits = Add(output_product, output_bias)
}
"""


def accuracy(model: onnx.ModelProto) -> float:
    return test_accuracy(model)


def files() -> dict[str, bytes]:
    from sklearn.neural_network import MLPClassifier  # type: ignore[import-untyped,import-not-found,unused-ignore]

    digits = load_digits_split()
    classifier = MLPClassifier(hidden_layer_sizes=(64, 32), alpha=1e-3, max_iter=100, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 100 passes are what we want, converged to 1e-4 or not
        classifier.fit(digits.train_images.reshape(-1, 64) / 16, digits.train_labels)
    weights = {}
    for name, weight, bias in zip(
        ("hidden1", "hidden2", "output"), classifier.coefs_, classifier.intercepts_, strict=True
    ):
        weights[f"{name}_weight"] = weight.astype(np.float32)
        weights[f"{name}_bias"] = bias.astype(np.float32)
    return {"digits_mlp.onnx": to_bytes(model_from_text(TEXT, weights))}
