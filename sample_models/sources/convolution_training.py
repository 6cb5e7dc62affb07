"""The few layers that the digits network needs, forward and backward, and Adam: plain numpy in double precision."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
EPSILON = 1e-5


def patches(images: Array) -> Array:
    """Return the 3x3 surroundings of every pixel, zero outside: [batch, height, width, channels * 9]."""
    batch, channels, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(batch, height, width, channels * 9)


def convolve(images: Array, weight: Array) -> Array:
    return (patches(images) @ weight.reshape(len(weight), -1).T).transpose(0, 3, 1, 2)


def convolve_backward(images: Array, weight: Array, gradient: Array) -> tuple[Array, Array]:
    """Return the gradients of the images and of the weight."""
    channels = len(weight)
    flat_gradient = gradient.transpose(0, 2, 3, 1).reshape(-1, channels)
    flat_patches = patches(images).reshape(len(flat_gradient), -1)
    weight_gradient = (flat_gradient.T @ flat_patches).reshape(weight.shape)
    turned = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    return convolve(gradient, turned), weight_gradient


def channel_statistics(values: Array) -> tuple[Array, Array]:
    return values.mean(axis=(0, 2, 3)), values.var(axis=(0, 2, 3))


def per_channel(vector: Array) -> Array:
    return vector[:, np.newaxis, np.newaxis]


def normalize(values: Array) -> tuple[Array, Array]:
    """Return the values with mean 0 and variance 1 per channel, and the deviations they were divided by."""
    mean, variance = channel_statistics(values)
    deviation = np.sqrt(variance + EPSILON)
    return (values - per_channel(mean)) / per_channel(deviation), deviation


def normalize_backward(normalized: Array, deviation: Array, gradient: Array) -> Array:
    mean_gradient = gradient.mean(axis=(0, 2, 3))
    mean_product = (gradient * normalized).mean(axis=(0, 2, 3))
    rest: Array = gradient - per_channel(mean_gradient) - normalized * per_channel(mean_product)
    return rest / per_channel(deviation)


def pool(values: Array) -> Array:
    """Return the largest value of each 2x2 block."""
    batch, channels, height, width = values.shape
    largest: Array = values.reshape(batch, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))
    return largest


def pool_backward(values: Array, pooled: Array, gradient: Array) -> Array:
    """Return the gradient of the values; equal largest values share it."""
    spread = pooled.repeat(2, axis=2).repeat(2, axis=3)
    is_largest: Array = (values == spread).astype(values.dtype)
    batch, channels, height, width = values.shape
    count = is_largest.reshape(batch, channels, height // 2, 2, width // 2, 2).sum(axis=(3, 5))
    shared: Array = is_largest * (gradient / count).repeat(2, axis=2).repeat(2, axis=3)
    return shared


class Adam:
    """Adam with decoupled weight decay; changes the parameters in place."""

    def __init__(self, parameters: dict[str, Array], decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.steps = 0
        self.first = {name: np.zeros_like(values) for name, values in parameters.items()}
        self.second = {name: np.zeros_like(values) for name, values in parameters.items()}

    def step(self, gradients: dict[str, Array], rate: float) -> None:
        self.steps += 1
        for name, gradient in gradients.items():
            self.first[name] += 0.1 * (gradient - self.first[name])
            self.second[name] += 0.001 * (gradient**2 - self.second[name])
            first = self.first[name] / (1 - 0.9**self.steps)
            second = self.second[name] / (1 - 0.999**self.steps)
            values = self.parameters[name]
            values -= rate * (first / (np.sqrt(second) + 1e-8) + self.decay * values)
