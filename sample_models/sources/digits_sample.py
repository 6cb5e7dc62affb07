"""Ten test images, the first of each digit, with the labels that people gave them."""

import io

import numpy as np

from sources.digits_data import load_digits_split


def files() -> dict[str, bytes]:
    digits = load_digits_split()
    chosen = [int(np.flatnonzero(digits.test_labels == digit)[0]) for digit in range(10)]
    buffer = io.BytesIO()
    np.savez(buffer, image=digits.test_images[chosen], label=digits.test_labels[chosen])
    return {"digits_sample.npz": buffer.getvalue()}
