"""Task models: an encoder and a head, wired as functional graphs. No maths."""

from keras_perceiver.models.flops import flops
from keras_perceiver.models.image import ImageClassifier, ImageEncoder

__all__ = ["ImageClassifier", "ImageEncoder", "flops"]
