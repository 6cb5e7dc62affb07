"""The handwritten digits of scikit-learn; every fifth image is for testing, a split that depends on no library."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sources.assemble import answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """Images as float32[count, 1, 8, 8] with grey values from 0 to 16, labels as int64[count]."""

    train_images: NDArray[Any]
    train_labels: NDArray[Any]
    test_images: NDArray[Any]
    test_labels: NDArray[Any]


def load_digits_split() -> Digits:
    """Return 1437 images to learn from and 360 to test on; the latter play no part in training or calibration."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped,import-not-found,unused-ignore]

    data = load_digits()
    images = data.images.astype(np.float32)[:, np.newaxis]
    labels = data.target.astype(np.int64)
    is_test = np.arange(len(labels)) % 5 == 0
    return Digits(
        train_images=images[~is_test],
        train_labels=labels[~is_test],
        test_images=images[is_test],
        test_labels=labels[is_test],
    )


def test_accuracy(model: onnx.ModelProto) -> float:
    """Return the share of the 360 test images whose largest logit is the right digit."""
    digits = load_digits_split()
    logits = answers(model, {"image": digits.test_images})[0]
    return float(np.mean(np.argmax(logits, axis=1) == digits.test_labels))
