"""Raw data to model inputs: numpy and optional packages only, saved with a preset."""

from keras_perceiver.preprocessing.images import ImagePreprocessor

__all__ = ["ImagePreprocessor"]
