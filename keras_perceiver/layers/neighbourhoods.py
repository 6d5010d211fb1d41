"""Patches around each pixel."""

import keras

from keras_perceiver.layers.configured import Configured
from keras_perceiver.ops.neighbourhoods import neighbourhoods


@keras.saving.register_keras_serializable("keras_perceiver")
class Neighbourhoods(Configured, keras.layers.Layer):
    """The 3 x 3 pixels around each pixel of all frames: `keras_perceiver.ops`' function."""

    def call(self, inputs):
        """`[B, T, H, W, C]` to `[B, H, W, T*9*C]`."""
        return neighbourhoods(inputs)

    def compute_output_shape(self, inputs_shape):
        """`[B, H, W, T*9*C]`."""
        batch, frames, height, width, channels = inputs_shape
        return (batch, height, width, frames * 9 * channels)
