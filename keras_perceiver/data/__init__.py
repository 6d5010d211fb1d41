"""Data: random-access sources that return plain numpy, and pipelines on Grain."""

from keras_perceiver.data.pipeline import Augmentation, batches
from keras_perceiver.data.sources import (
    ArraySource,
    ImageData,
    digits,
    image_folder,
    tfds,
)

__all__ = [
    "ArraySource",
    "Augmentation",
    "ImageData",
    "batches",
    "digits",
    "image_folder",
    "tfds",
]
