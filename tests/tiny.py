"""The smallest image classifier with every part, for tests that need any."""

import numpy as np

import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec

IMAGE_SHAPE = (6, 5, 1)
NUM_CLASSES = 3
# Of the smallest PerceiverEncoder that reads by two heads.
ENCODER = {
    "num_latents": 4,
    "latent_channels": 8,
    "cross_attention": AttentionSpec(num_heads=2, qk_channels=8),
    "self_attention": AttentionSpec(num_heads=2),
    "layers_per_block": 1,
}


def classifier(head="decoder", **options):
    """An ImageClassifier; `options` are those of its encoder."""
    encoder = kp.models.ImageEncoder(
        IMAGE_SHAPE,
        num_bands=3,
        num_latents=4,
        latent_channels=8,
        self_attention=AttentionSpec(num_heads=2),
        **{"layers_per_block": 1, **options},
    )
    return kp.models.ImageClassifier(encoder, NUM_CLASSES, head=head)


def images(count, seed=0):
    """Normalised images `[count, 6, 5, 1]`."""
    return np.random.default_rng(seed).normal(size=(count, *IMAGE_SHAPE)).astype("float32")
