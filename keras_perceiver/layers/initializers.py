"""Initial weights that Keras does not have."""

import keras
from keras import ops


def normal(init_scale):
    """`keras.initializers.RandomNormal` around 0.

    Args:
        init_scale: standard deviation.

    Raises:
        ValueError: it is negative, of which backends make different things.
    """
    if not init_scale >= 0:
        raise ValueError(
            f"`init_scale` must be at least 0. Received: init_scale={init_scale}"
        )
    return keras.initializers.RandomNormal(0.0, init_scale)


@keras.saving.register_keras_serializable("keras_perceiver")
class PixelDifferences(keras.initializers.RandomNormal):
    """Normal weights for the pixels around a place, whose sum over each colour is 0.

    How bright a place is says nothing of its motion, but is ten times as much as what
    differs from pixel to pixel and from frame to frame. Weights of this size make of the
    differences as much as Fourier features are.

    Args:
        seed: see `keras.initializers.RandomNormal`.

    Call arguments:
        shape: `(pixels * 3, channels)`: the order of `keras_perceiver.ops.neighbourhoods`.
        dtype: of the weights.

    Example:
    >>> kernel = PixelDifferences(seed=0)((2 * 9 * 3, 8))
    >>> plain = keras.ops.ones((1, 2 * 9 * 3)) @ kernel
    >>> bool(ops.all(ops.abs(plain) < 1e-4))
    True
    """

    def __init__(self, seed=None):
        super().__init__(stddev=1.0, seed=seed)

    def __call__(self, shape, dtype=None):
        """Weights `[pixels * 3, channels]`."""
        weights = ops.reshape(super().__call__(shape, dtype), (-1, 3, shape[1]))
        weights -= ops.mean(weights, axis=0, keepdims=True)
        return ops.reshape(weights, shape)

    def get_config(self):
        """Arguments of the constructor."""
        return {"seed": super().get_config()["seed"]}
