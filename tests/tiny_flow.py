"""The smallest optical flow model with every part, for tests that need any."""

import numpy as np

import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec

IMAGE_SHAPE = (6, 8)


def encoder(**options):
    """An OpticalFlowEncoder."""
    return kp.models.OpticalFlowEncoder(
        IMAGE_SHAPE,
        patch_channels=5,
        num_bands=2,
        num_latents=3,
        latent_channels=8,
        self_attention=AttentionSpec(num_heads=2),
        layers_per_block=1,
        **options,
    )


def model(**options):
    """An OpticalFlow; `options` are its own."""
    return kp.models.OpticalFlow(encoder(), **options)


def frames(count, size=IMAGE_SHAPE, seed=0):
    """Normalised pairs of frames `[count, 2, *size, 3]`."""
    shape = (count, 2, *size, 3)
    return np.random.default_rng(seed).uniform(-1, 1, size=shape).astype("float32")


def photographs(count, size, seed=0):
    """Frames `[count, *size, 3]` as a camera gives them, uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype="uint8")
