"""Training: what `model.fit` needs and Keras does not have."""

from keras_perceiver.training.autoencoding import autoencoding_losses
from keras_perceiver.training.callbacks import GeneratedSamples, MaskedTokenSamples
from keras_perceiver.training.distribution import distribute
from keras_perceiver.training.flow import EndPointError, MeanEndPointError
from keras_perceiver.training.frequencies import unigram_entropy
from keras_perceiver.training.lora import enable_lora
from keras_perceiver.training.losses import TokenCrossentropy
from keras_perceiver.training.schedules import warmup_cosine

__all__ = [
    "EndPointError",
    "GeneratedSamples",
    "MaskedTokenSamples",
    "MeanEndPointError",
    "TokenCrossentropy",
    "autoencoding_losses",
    "distribute",
    "enable_lora",
    "unigram_entropy",
    "warmup_cosine",
]
