"""Training: what `model.fit` needs and Keras does not have."""

from keras_perceiver.training.schedules import warmup_cosine

__all__ = ["warmup_cosine"]
