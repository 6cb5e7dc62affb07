"""A small convolutional network for handwritten digits, trained in numpy."""

import numpy as np
import onnx

from sources import convolution_training as layers
from sources.assemble import model_from_text, to_bytes
from sources.digits_data import load_digits_split, test_accuracy

EPOCHS = 40
BATCH = 64

TEXT = """
<
  ir_version: 8,
  opset_import: ["" : 17],
  producer_name: "onnxctl-samples",
  doc_string: "Convolutional network for 8x8 images of handwritten digits with grey values from 0 to 16."
>
digits_cnn (float[batch, 1, 8, 8] image) => (float[batch, 10] logits)
<
  float white = {16.0}
>
{
  [scale] scaled = Div(image, white)
  [conv1] conv1_out = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (scaled, conv1_weight)
  [norm1] norm1_out = BatchNormalization(conv1_out, norm1_scale, norm1_bias, norm1_mean, norm1_variance)
  [relu1] relu1_out = Relu(norm1_out)
  [pool1] pool1_out = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (relu1_out)
  [conv2] conv2_out = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (pool1_out, conv2_weight)
  [norm2] norm2_out = BatchNormalization(conv2_out, norm2_scale, norm2_bias, norm2_mean, norm2_variance)
  [relu2] relu2_out = Relu(norm2_out)
  [pool2] pool2_out = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (relu2_out)
  [flatten] features = Flatten <axis = 1> (pool2_out)
  [classify] logits = Gemm <transB = 1> (features, output_weight, output_bias)
}
"""


def accuracy(model: onnx.ModelProto) -> float:
    return test_accuracy(model)


def initial_weights(random: np.random.RandomState) -> dict[str, layers.Array]:
    def uniform(*shape: int) -> layers.Array:
        bound = np.sqrt(6 / np.prod(shape[1:]))
        return random.uniform(-bound, bound, shape)

    return {
        "conv1_weight": uniform(16, 1, 3, 3),
        "norm1_scale": np.ones(16),
        "norm1_bias": np.zeros(16),
        "conv2_weight": uniform(32, 16, 3, 3),
        "norm2_scale": np.ones(32),
        "norm2_bias": np.zeros(32),
        "output_weight": uniform(10, 128),
        "output_bias": np.zeros(10),
    }


def gradients(weights: dict[str, layers.Array], images: layers.Array, labels: layers.Array) -> dict[str, layers.Array]:
    """Return the gradient of the mean cross-entropy for each weight."""
    kept = []
    values = images
    for block in ("1", "2"):
        convolved = layers.convolve(values, weights[f"conv{block}_weight"])
        normalized, deviation = layers.normalize(convolved)
        scale, bias = weights[f"norm{block}_scale"], weights[f"norm{block}_bias"]
        rectified = np.maximum(normalized * layers.per_channel(scale) + layers.per_channel(bias), 0)
        pooled = layers.pool(rectified)
        kept.append((block, values, normalized, deviation, rectified, pooled))
        values = pooled
    features = values.reshape(len(values), -1)
    logits = features @ weights["output_weight"].T + weights["output_bias"]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    gradient = exponentials / exponentials.sum(axis=1, keepdims=True)
    gradient[np.arange(len(labels)), labels] -= 1
    gradient /= len(labels)

    found = {"output_weight": gradient.T @ features, "output_bias": gradient.sum(axis=0)}
    gradient = (gradient @ weights["output_weight"]).reshape(values.shape)
    for block, entered, normalized, deviation, rectified, pooled in reversed(kept):
        gradient = layers.pool_backward(rectified, pooled, gradient) * (rectified > 0)
        found[f"norm{block}_scale"] = (gradient * normalized).sum(axis=(0, 2, 3))
        found[f"norm{block}_bias"] = gradient.sum(axis=(0, 2, 3))
        gradient = gradient * layers.per_channel(weights[f"norm{block}_scale"])
        gradient = layers.normalize_backward(normalized, deviation, gradient)
        gradient, found[f"conv{block}_weight"] = layers.convolve_backward(
            entered, weights[f"conv{block}_weight"], gradient
        )
    return found


def add_statistics(weights: dict[str, layers.Array], images: layers.Array) -> None:
    """Add the mean and variance that each BatchNormalization sees over all the training images."""
    values = images
    for block in ("1", "2"):
        convolved = layers.convolve(values, weights[f"conv{block}_weight"])
        mean, variance = layers.channel_statistics(convolved)
        weights[f"norm{block}_mean"], weights[f"norm{block}_variance"] = mean, variance
        normalized, _ = layers.normalize(convolved)
        scale, bias = weights[f"norm{block}_scale"], weights[f"norm{block}_bias"]
        values = layers.pool(np.maximum(normalized * layers.per_channel(scale) + layers.per_channel(bias), 0))


def train() -> dict[str, layers.Array]:
    digits = load_digits_split()
    images = digits.train_images.astype(np.float64) / 16
    labels = digits.train_labels
    random = np.random.RandomState(0)
    weights = initial_weights(random)
    optimizer = layers.Adam(weights, decay=0.01)
    starts = range(0, len(labels), BATCH)
    for step in range(EPOCHS * len(starts)):
        if step % len(starts) == 0:
            order = random.permutation(len(labels))
        start = starts[step % len(starts)]
        chosen = order[start : start + BATCH]
        rate = 0.003 * 0.5 * (1 + np.cos(np.pi * step / (EPOCHS * len(starts))))
        optimizer.step(gradients(weights, images[chosen], labels[chosen]), rate)
    add_statistics(weights, images)
    return weights


def files() -> dict[str, bytes]:
    weights = {name: values.astype(np.float32) for name, values in train().items()}
    return {"digits_cnn.onnx": to_bytes(model_from_text(TEXT, weights))}
