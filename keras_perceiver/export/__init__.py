"""Models out of Keras: formats that programs without this package can serve."""

from keras_perceiver.export.saved_model import saved_model

__all__ = ["saved_model"]
