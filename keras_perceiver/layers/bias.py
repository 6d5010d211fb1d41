"""A bias alone."""

import keras
from keras import ops

from keras_perceiver.layers.configured import Configured


@keras.saving.register_keras_serializable("keras_perceiver")
class Bias(Configured, keras.layers.Layer):
    """Adds a learned vector to the last axis, as for logits of a tied embedding."""

    def build(self, inputs_shape):
        """Shape is `[..., C]`."""
        self.bias = self.add_weight(
            shape=inputs_shape[-1:], initializer="zeros", name="bias"
        )
        super().build(inputs_shape)

    def call(self, inputs):
        """`inputs + bias`."""
        return inputs + ops.cast(self.bias, self.compute_dtype)

    def compute_output_shape(self, inputs_shape):
        """Unchanged."""
        return inputs_shape
