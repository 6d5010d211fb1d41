"""What brings inputs of several kinds into one array."""

import keras
from keras import ops

from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.initializers import normal
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.ops.masks import as_bool
from keras_perceiver.ops.patches import space_to_depth


@keras.saving.register_keras_serializable("keras_perceiver")
class SpaceToDepth(Configured, keras.layers.Layer):
    """Patches as channels, by `keras_perceiver.ops.space_to_depth`."""

    def __init__(self, patch_size, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size

    def call(self, inputs):
        """`[B, T, H, W, C]`, `[B, H, W, C]` or `[B, T, C]`, with smaller axes."""
        return space_to_depth(inputs, self.patch_size)


@keras.saving.register_keras_serializable("keras_perceiver")
class ChannelPadding(Configured, keras.layers.Layer):
    """Widens inputs `[B, M, C]` to a number of channels with a learned vector.

    The vector is the same for all inputs: it also says of which kind they are.
    """

    def __init__(self, channels, init_scale=0.02, **kwargs):
        super().__init__(**kwargs)
        check_positive("channels", channels)
        self.channels = channels
        self.init_scale = init_scale

    def build(self, inputs_shape):
        """Shape is `[B, M, C]`."""
        self.padding = self.add_weight(
            shape=(1, self.channels - inputs_shape[-1]),
            initializer=normal(self.init_scale),
            name="padding",
        )
        super().build(inputs_shape)

    def call(self, inputs):
        """`[B, M, channels]`."""
        inputs = ops.cast(inputs, self.compute_dtype)
        lead = ops.shape(inputs)[:2]
        padding = ops.cast(self.padding, self.compute_dtype)
        padding = ops.broadcast_to(padding, (*lead, padding.shape[-1]))
        return ops.concatenate([inputs, padding], axis=-1)

    def compute_output_shape(self, inputs_shape):
        """`[B, M, channels]`."""
        return (*inputs_shape[:-1], self.channels)


@keras.saving.register_keras_serializable("keras_perceiver")
class MaskToken(Configured, keras.layers.Layer):
    """Replaces all inputs `[B, M, C]` of the examples in which they are missing."""

    def __init__(self, init_scale=0.02, **kwargs):
        super().__init__(**kwargs)
        self.init_scale = init_scale

    def build(self, inputs_shape, present_shape):
        """Shape is `[B, M, C]`."""
        self.token = self.add_weight(
            shape=(1, inputs_shape[-1]),
            initializer=normal(self.init_scale),
            name="token",
        )
        super().build(inputs_shape)

    def call(self, inputs, present):
        """Inputs where `present` `[B]` is not 0, else the learned token: `[B, M, C]`."""
        # Chosen, not mixed by a product: 0 times NaN would be NaN.
        token = ops.cast(self.token, self.compute_dtype)
        return ops.where(as_bool(present)[:, None, None], inputs, token)

    def compute_output_shape(self, inputs_shape, present_shape):
        """Unchanged."""
        return inputs_shape
