"""Serve our SavedModel inside a Keras 2 program (`tf_keras`).

    python examples/serve_with_tf_keras.py runs/digits/saved_model

Keras 2 has no layer for a SavedModel, and its `load_model` gives back a bare object.
A layer of five lines does it; the model around it predicts like any other.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf  # noqa: TID253 (that is what this program shows)
import tf_keras


class Served(tf_keras.layers.Layer):
    """What `keras_perceiver.export.saved_model` wrote, as a layer."""

    def __init__(self, path, **kwargs):
        super().__init__(**kwargs)
        self.loaded = tf.saved_model.load(path)

    def call(self, inputs):
        return self.loaded.serve(inputs)


def build(path, image_shape=(8, 8, 1)):
    """A Keras 2 model from images in [0, 1] to class probabilities."""
    images = tf_keras.Input(image_shape)
    logits = Served(path)((images - 0.5) / 0.5)
    return tf_keras.Model(images, tf_keras.layers.Softmax()(logits))


if __name__ == "__main__":
    model = build(sys.argv[1])
    probabilities = model.predict(np.zeros((2, 8, 8, 1), "float32"), verbose=0)
    print(f"Keras {tf_keras.__version__}, blank images: {probabilities.round(3)[0]}")
