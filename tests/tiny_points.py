"""The smallest models of sets of points, with coordinates and one channel of content."""

import numpy as np

import keras_perceiver as kp
import tiny

NUM_CLASSES = 3


def encoder(**options):
    """A PointEncoder; `options` are its own and those of its PerceiverEncoder."""
    return kp.models.PointEncoder(
        (8, 6),
        content_channels=1,
        num_bands=3,
        **{**tiny.ENCODER, **options},
    )


def classifier(preprocessor=None, **options):
    """A PointClassifier; `options` are those of its encoder."""
    return kp.models.PointClassifier(
        encoder(**options), NUM_CLASSES, preprocessor=preprocessor
    )


def sets(*sizes, seed=0):
    """Random sets of points `[m, 3]`."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, (size, 3)).astype("float32") for size in sizes]


def batch(count=3, size=9):
    """Sets of one size, without padding."""
    points = np.stack(sets(*[size] * count))
    return {"points": points, "padding_mask": np.ones((count, size), "int32")}
