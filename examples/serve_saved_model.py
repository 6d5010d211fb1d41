"""Serve a trained digit classifier with TensorFlow alone, without keras_perceiver.

    python examples/serve_saved_model.py runs/digits/saved_model

Reads the 360 held-out digits of `keras_perceiver.data.digits()` through scikit-learn
and prints the accuracy.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf  # noqa: TID253 (that is what this program shows)
from sklearn.datasets import load_digits  # noqa: TID253
from sklearn.model_selection import train_test_split  # noqa: TID253


def held_out_digits():
    """The same split as `keras_perceiver.data.digits(seed=0)`."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype("float32")
    _, images, _, labels = train_test_split(
        images, labels, test_size=360, random_state=0, stratify=labels
    )
    return images, labels


def main(path):
    """Print and return the accuracy."""
    model = tf.saved_model.load(path)
    images, labels = held_out_digits()
    logits = model.serve((images - 0.5) / 0.5).numpy()  # normalised as in training
    accuracy = float(np.mean(logits.argmax(axis=-1) == labels))
    if "keras_perceiver" in sys.modules:
        raise RuntimeError("keras_perceiver should not be needed.")
    print(
        f"{path}, served by TensorFlow without keras_perceiver: {accuracy:.2%} of "
        f"{len(labels)} held-out digits"
    )
    return accuracy


if __name__ == "__main__":
    main(sys.argv[1])
