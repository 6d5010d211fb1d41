"""What an image encoder reads: pixels, through a stem or not, and where they stand."""

import keras

from keras_perceiver.layers import FourierEncoding, LearnedPositions
from keras_perceiver.layers.dense import Dense


def stem_outputs(images, spec):
    """Images `[B, H, W, C]` after the stem of a `StemSpec`, or as they are."""
    if spec is None:
        return images
    if spec.kind == "pointwise":
        return Dense(spec.channels, name="stem")(images)
    symmetric, x = spec.padding == "symmetric", images
    if symmetric:
        x = keras.layers.ZeroPadding2D(3, name="stem_padding")(x)
    padding = "valid" if symmetric else "same"
    x = keras.layers.Conv2D(spec.channels, 7, 2, padding, use_bias=False, name="stem")(
        x
    )  # [B, H / 2, W / 2, C]
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="stem_norm")(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    return keras.layers.MaxPooling2D(3, 2, padding, name="stem_pool")(
        x
    )  # [B, H / 4, W / 4, C]


def with_positions(x, spec, num_bands, max_resolution):
    """`[B, M, C]` of `[B, H, W, C]`: Fourier features, or those of `spec`, beside it."""
    if spec is None:
        return FourierEncoding(num_bands, max_resolution, name="positions")(x)
    if max_resolution is not None:
        raise ValueError(
            "`max_resolution` sets Fourier features and must be None with learned "
            f"`positions`. Received: max_resolution={max_resolution}"
        )
    return LearnedPositions(
        channels=spec.channels,
        init_scale=spec.init_scale,
        projection=spec.projection,
        name="positions",
    )(x)
